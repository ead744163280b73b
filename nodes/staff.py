"""Who runs this group: treasurers, and readers who see everything and change nothing.

A treasurer invites another person by a one-time link, takes it back, ends her sign-ins
and removes her. Never removed is the last treasurer whom something lets in, and what
is done here is noted in the database transaction that does it.
"""

from typing import Literal

from nodes import act_store
from nodes.rules import Deed, Detail, NoteAct
from protocol.errors import TreasurerRefusalCode
from protocol.instant import Instant
from protocol.peer import access_store
from protocol.peer.access_store import StaffMember
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import AnyConnection, Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import READER, TREASURER

Role = Literal["treasurer", "reader"]

#: What each role's sign-ins allow. A reader has no other scope, not even to ask for a
#: quote: what is not a GET is not hers.
SCOPES = {TREASURER: ("read", TREASURER), READER: (READER,)}


class Staff:
    """Those who run a group.

    Args:
        clerk: knows whether anything may change now.
        database: where people and what lets them in are kept.
        clock: the wall clock.
        public_url: where they sign in.
    """

    def __init__(
        self, clerk: Clerk, database: Database, clock: Clock, public_url: str
    ) -> None:
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._public_url = public_url

    async def everyone(self) -> list[StaffMember]:
        """Give all who run the group or did, by name, with what lets them in."""
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await access_store.read_staff(connection, self._clock.now())

    async def person(self, name: str) -> StaffMember:
        """Give one of them; 404 when nobody has this name."""
        return _named(await self.everyone(), name)

    async def invite(self, name: str, role: Role, author: str) -> str:
        """Let somebody run this group, by a one-time link; earlier ones end.

        One who is among the staff already gets a new link; with another role, nothing
        else lets her in any more.

        Args:
            name: hers, beginning with ``@``.
            role: what she may do.
            author: the person who invites her.

        Raises:
            Problem: she is the last treasurer, and would be one no more (422).
        """
        self._clerk.check_may_change()
        now = self._clock.now()
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            staff = await access_store.read_staff(connection, now, to_change=True)
            if role != TREASURER:
                _check_not_last(staff, name)
            link = await _invite(connection, name, role, author, now)
        return f"{self._public_url}/welcome#{link}"

    async def remove(self, name: str, author: str) -> StaffMember:
        """Let somebody run this group no more; what she did stays known.

        Raises:
            Problem: nobody has this name (404), or she is the last treasurer (422).
        """
        self._clerk.check_may_change()
        now = self._clock.now()
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            staff = await access_store.read_staff(connection, now, to_change=True)
            person = _named(staff, name)
            if person.removed_at is None:
                _check_not_last(staff, name)
                await access_store.remove_person(connection, person.person_id, now)
                await _note(connection, author, Deed.PERSON_REMOVED, name, {}, now)
            staff = await access_store.read_staff(connection, now)
        return _named(staff, name)

    async def end_sign_ins(
        self, name: str, author: str, sign_in: str | None = None
    ) -> StaffMember:
        """Let what lets somebody in count no more: all of it, or the one named.

        Raises:
            Problem: nobody has this name, or she has no such sign-in (404).
        """
        self._clerk.check_may_change()
        now = self._clock.now()
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            staff = await access_store.read_staff(connection, now, to_change=True)
            person = _named(staff, name)
            if sign_in is not None and not _has(person, sign_in):
                raise Problem(404, "not-found", f"{name} has no such sign-in.")
            ended = await access_store.end_sign_ins(
                connection, person.person_id, sign_in
            )
            if ended:
                deed, details = Deed.SIGN_INS_ENDED, {"ended": ended}
                await _note(connection, author, deed, name, dict(details), now)
            staff = await access_store.read_staff(connection, now)
        return _named(staff, name)


async def let_in(
    connection: AnyConnection, name: str, public_url: str, now: Instant
) -> str:
    """Give the treasurer of the command line a link; for commands beside no server.

    Call it in a database transaction. It lets her in also after she was removed:
    whoever can read the settings may do anything here.
    """
    code = await _invite(connection, name, TREASURER, None, now)
    return f"{public_url}/welcome#{code}"


async def _invite(
    connection: AnyConnection, name: str, role: str, author: str | None, now: Instant
) -> str:
    code = await access_store.invite_person(connection, name, SCOPES[role], now)
    await access_store.give_role(connection, name, role, now, author)
    await _note(connection, author, Deed.PERSON_INVITED, name, {"role": role}, now)
    return code


async def _note(
    connection: AnyConnection,
    author: str | None,
    deed: Deed,
    name: str,
    details: dict[str, Detail],
    now: Instant,
) -> None:
    act = NoteAct(author, deed, name, details)
    await act_store.write(connection, [act], now)


def _named(staff: list[StaffMember], name: str) -> StaffMember:
    for person in staff:
        if person.name == name:
            return person
    raise Problem(404, "not-found", "Nobody by this name runs this group.")


def _has(person: StaffMember, sign_in: str) -> bool:
    return any(one.id == sign_in for one in person.sign_ins)


def _check_not_last(staff: list[StaffMember], name: str) -> None:
    """Refuse what would leave no treasurer who is signed in.

    An invitation that nobody has used yet counts for nothing: it may never be.
    """
    person = next((one for one in staff if one.name == name), None)
    if person is None or person.role != TREASURER or person.removed_at is not None:
        return
    others = (
        sign_in
        for one in staff
        if one.name != name and one.role == TREASURER and one.removed_at is None
        for sign_in in one.sign_ins
    )
    if not any(sign_in.kind != "once" for sign_in in others):
        code = TreasurerRefusalCode.LAST_TREASURER
        told, extra = f"Refused: {code}.", {"person": name}
        raise Problem(422, "refused", told, code=code, extra=dict(extra))
