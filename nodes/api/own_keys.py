"""The group's own keys: their ids and digits, and the order to change them."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes.house import NodeHouse
from nodes.key_changes import KeyChanges
from nodes.rules import Renewal, signing_kid
from protocol.address import read_reason
from protocol.directory import check_digits, entry_key
from protocol.instant import write_instant, write_nullable
from protocol.keyring import key_id
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import Route

_PATH = "/api/v1/group/own-keys"


class RenewalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the keys are changed; and the version that the group's entry has now.

    Whoever asks twice by mistake changes keys once: after the first, it has another.
    """

    version: Annotated[int, Meta(ge=1)]
    reason: str


class RenewalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """New keys that were asked for: waiting, approved, refused or replaced."""

    version: int
    signing: str
    state: str
    by_recovery: bool
    at: str
    answered_at: str | None


class OwnKeysAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that count for the group, and the newest that were asked for."""

    group: str
    version: int
    signing: str
    sealing: str
    recovery: str
    digits: str
    renewal: RenewalAnswer | None


_decoder = msgspec.json.Decoder(RenewalRequest)


class OwnKeysApi:
    """The group's keys, as its treasurer sees and changes them.

    Args:
        house: knows the keys that count.
        changes: asks the hub for others.
    """

    def __init__(self, house: NodeHouse, changes: KeyChanges) -> None:
        self._house = house
        self._changes = changes

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path=_PATH,
                handler=self.get_own_keys,
                told="The ids of the group's keys, and new ones that were asked for.",
                scope="treasurer",
                answer=OwnKeysAnswer,
            ),
            Route(
                method="POST",
                path=_PATH,
                handler=self.post_own_keys,
                told="Make new keys for the group; they count from the hub's decision.",
                scope="treasurer",
                body=RenewalRequest,
                answer=OwnKeysAnswer,
                status=202,
            ),
        ]

    async def get_own_keys(self, _request: web.Request) -> web.Response:
        """Give what counts, and what was asked."""
        return json_response(self.standing())

    async def post_own_keys(self, request: web.Request) -> web.Response:
        """Change keys; a version that the entry has no more changes nothing."""
        asked = await read_json(request, _decoder)
        author, reason = caller_of(request).person_id, read_reason(asked.reason)
        await self.change(asked.version, author, reason)
        return json_response(self.standing(), 202)

    async def change(self, version: int, author: str, reason: str) -> None:
        """Change keys; raises ``Problem`` 409 as ``KeyChanges.change`` does."""
        await self._changes.change(version, author, reason)

    def standing(self) -> OwnKeysAnswer:
        """Give what counts, and what was asked, as answers show it."""
        newest = self._changes.newest()
        entry = self._house.own_record().entry
        return OwnKeysAnswer(
            group=entry.group,
            version=entry.version,
            signing=signing_kid(entry),
            sealing=key_id(entry_key(entry.keys, "sealing")),
            recovery=key_id(entry_key(entry.keys, "recovery")),
            digits=check_digits(self._house.federation, entry),
            renewal=None if newest is None else _renewal(newest),
        )


def _renewal(renewal: Renewal) -> RenewalAnswer:
    return RenewalAnswer(
        version=renewal.entry.version,
        signing=signing_kid(renewal.entry),
        state=renewal.state.value,
        by_recovery=renewal.is_recovery,
        at=write_instant(renewal.at),
        answered_at=write_nullable(renewal.answered_at),
    )
