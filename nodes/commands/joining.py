"""Joining: the node's keys, the hub's answer, and what is remembered of it.

Each step can be cut off and taken again: the request is kept in a file before it
is sent, and the hub answers the same request with the same answer.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
import msgspec

from nodes import app, member_store
from nodes.member_store import Membership
from protocol.address import FederationId
from protocol.directory import (
    check_digits,
    public_keys,
    read_entry,
    read_hub_statement,
)
from protocol.errors import InterletsError, OutageError, PeerError
from protocol.joining import (
    InvitationLink,
    hash_code,
    read_request,
    write_request,
)
from protocol.messages import EntryRate, EntryUnit, GroupEntry
from protocol.peer.command_line import confirm_sheet
from protocol.peer.key_files import (
    ensure_keys,
    keep_sheet,
    new_recovery_key,
    take_sheet,
    write_secret,
)
from protocol.peer.reading import read_up_to
from protocol.peer.runner import prepare_database
from protocol.peer.settings import Settings, read_secret
from protocol.peer.steps import KillSwitch
from protocol.steps import Step

_TIMEOUT_S = 15
_ANSWER_LENGTH_MAX = 64 * 1024


class JoiningError(InterletsError):
    """This node cannot join; says why."""


class Profile(msgspec.Struct, frozen=True):
    """What a group says of itself; ``rate`` is milliseconds per minor unit."""

    name: str
    unit: EntryUnit
    rate: int


class _WellKnown(msgspec.Struct):
    versions: list[int]
    statement: str


class Joining:
    """One node's joining of one federation.

    Args:
        settings: the node's.
        link: what the invitation says.
        profile: what the group says of itself.
    """

    def __init__(
        self, settings: Settings, link: InvitationLink, profile: Profile
    ) -> None:
        self._settings = settings
        self._link = link
        self._profile = profile
        self._request_file = settings.server.data / "join.request"
        self._kill_switch = KillSwitch(settings.test.kill_at)

    async def run(self) -> Mapping[str, object]:
        """Join; gives what the treasurer must see."""
        database = await prepare_database(self._settings, app.MIGRATIONS)
        try:
            async with database.desk.acquire() as connection:
                joined = await member_store.read_membership(connection)
            if joined is not None:
                return self._tell_again(joined)
            statement = await self._ask_who_the_hub_is()
            self._write_request()
            request = read_secret(self._request_file)
            stated = read_request(request.encode(), self._link.federation)
            await self._post("/federation/v1/join", request.encode())
            joined = Membership(
                self._link.federation,
                stated.entry.group,
                self._link.hub_url,
                statement,
                stated.signed,
            )
            self._kill_switch.reach(Step.JOIN, "before")
            async with database.desk.acquire() as connection:
                await member_store.write_membership(connection, joined)
            self._kill_switch.reach(Step.JOIN, "after")
        finally:
            await database.close()
        return self._tell(joined)

    def _tell(self, joined: Membership) -> Mapping[str, object]:
        federation = FederationId(joined.federation)
        answer: dict[str, object] = {
            "group": joined.group,
            "federation": federation,
            "digits": check_digits(federation, read_entry(joined.entry, federation)),
        }
        sheet = take_sheet(app.keys_folder(self._settings))
        return answer if sheet is None else {**answer, "recovery_sheet": sheet}

    def _tell_again(self, joined: Membership) -> Mapping[str, object]:
        """Tell what an earlier try, cut off at its very end, could not tell."""
        answer = self._tell(joined)
        if "recovery_sheet" not in answer:
            raise JoiningError(
                f"this node has joined {joined.federation} already, as {joined.group}; "
                f"digits to compare: {answer['digits']}"
            )
        return answer

    async def _ask_who_the_hub_is(self) -> str:
        """Get the hub's statement, and check it against the invitation."""
        raw = await self._get("/.well-known/interlets")
        try:
            found = msgspec.json.decode(raw, type=_WellKnown)
        except msgspec.MsgspecError as error:
            raise PeerError(f"the hub's statement cannot be read: {error}") from None
        if 1 not in found.versions:
            raise JoiningError(
                f"the hub speaks versions {found.versions} of the protocol; this "
                "node speaks version 1"
            )
        read_hub_statement(found.statement, self._link.federation)
        return found.statement

    def _write_request(self) -> None:
        """Make the keys and the request, unless an earlier try has."""
        if self._is_asked_already():
            return
        recovery, sheet = new_recovery_key()
        confirm_sheet(sheet)
        keep_sheet(app.keys_folder(self._settings), sheet)
        keys = ensure_keys(app.keys_folder(self._settings))
        entry = GroupEntry(
            v=1,
            federation=self._link.federation,
            group=self._link.group,
            version=1,
            name=self._profile.name,
            unit=self._profile.unit,
            rates=[EntryRate(1, self._profile.rate)],
            keys=public_keys(keys.signing.public, keys.sealing.public, recovery.public),
        )
        request = write_request(entry, self._link.code, keys.signing, recovery)
        read_request(request.encode(), self._link.federation)
        write_secret(self._request_file, request, replace=True)

    def _is_asked_already(self) -> bool:
        """Say whether an earlier try, cut off, has asked for just this."""
        if not self._request_file.exists():
            return False
        raw = read_secret(self._request_file).encode()
        try:
            stated = read_request(raw, self._link.federation)
        except PeerError:
            return False
        entry = stated.entry
        asked = (stated.code_hash, entry.group, entry.name, entry.unit)
        link, profile = self._link, self._profile
        return asked == (
            hash_code(link.code),
            link.group,
            profile.name,
            profile.unit,
        ) and entry.rates == [EntryRate(1, profile.rate)]

    async def _get(self, path: str) -> bytes:
        return await self._ask("GET", path, None)

    async def _post(self, path: str, body: bytes) -> bytes:
        return await self._ask("POST", path, body)

    async def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        url = f"{self._link.hub_url}{path}"
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.request(
                    method, url, data=body, allow_redirects=False
                ) as response,
            ):
                raw = await read_up_to(response.content, _ANSWER_LENGTH_MAX)
                status = response.status
        except (
            aiohttp.ClientError,
            TimeoutError,
            asyncio.IncompleteReadError,
        ) as error:
            raise OutageError(f"{url}: the hub cannot be reached: {error}") from None
        if raw is None:
            raise PeerError("the hub's answer is too long")
        if status >= 500:
            raise OutageError(f"{url}: the hub answered {status}; try again")
        if status >= 300:
            raise JoiningError(f"the hub says: {_told(raw, status)}")
        return raw


def _told(raw: bytes, status: int) -> str:
    """Give the sentence of a problem, or what stands there instead."""
    try:
        problem = msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.MsgspecError:
        return f"status {status}"
    return str(problem.get("detail", f"status {status}"))
