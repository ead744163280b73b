"""What a treasurer does on her own ledger: members, entries by hand, corrections.

Between the API (and later the pages) and the clerk, as ``payments`` is for members.
What may be done is decided in ``nodes.rules``.
"""

import uuid
from collections import Counter
from collections.abc import Sequence

from nodes import act_store, member_store
from nodes.rules import (
    POSTINGS_MAX,
    POSTINGS_MIN,
    Answer,
    Booked,
    Correction,
    Deed,
    HandEntry,
    MemberChange,
    NewMember,
    NotBooked,
    NoteAct,
    OtherBody,
    Standing,
    is_reserved,
)
from protocol import address, strict_json
from protocol.errors import MalformedMessageError, TreasurerRefusalCode
from protocol.ledger import Posting
from protocol.messages import line_hash
from protocol.peer import access_store, ledger_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.ledger_store import BookedEntry
from protocol.peer.web.problems import Problem
from protocol.peer.web.sign_in import MEMBER_SCOPES
from protocol.unit import AMOUNT_MAX


def refused(code: TreasurerRefusalCode, account: str | None = None) -> Problem:
    """Say no, with the account that stands in the way where there is one."""
    status = 409 if code is TreasurerRefusalCode.NAME_TAKEN else 422
    extra: dict[str, object] = {} if account is None else {"account": account}
    return Problem(status, "refused", f"Refused: {code}.", code=code, extra=extra)


def other_body() -> Problem:
    """Say that a key was used before for another wish."""
    told = "This Idempotency-Key was used for something else."
    return Problem(422, "idempotency-key-reused", told)


class Treasurer:
    """A node as its treasurer uses it.

    Args:
        clerk: books.
        database: read here, and where people and their one-time codes are kept.
        clock: the wall clock.
        public_url: where members sign in.
    """

    def __init__(
        self, clerk: Clerk, database: Database, clock: Clock, public_url: str
    ) -> None:
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._public_url = public_url

    # Members.

    async def member(self, account: str) -> member_store.Member:
        """Give a member; 404 for a name that nobody has here."""
        found = None
        if _is_account(account):
            async with self._database.readers.acquire() as connection:
                found = await member_store.read_member(connection, account)
        if found is None:
            raise Problem(404, "not-found", "This group has no such member.")
        return found

    async def everyone(self) -> list[member_store.Member]:
        """Give all members, by account, also those who have left."""
        async with self._database.readers.acquire() as connection:
            return await member_store.read_members(connection)

    async def newest_member(self) -> member_store.Member | None:
        """Give who came in last, if anybody did."""
        members = await self.everyone()
        return max(members, key=lambda one: one.since, default=None)

    async def answered(self, person: str, key: str) -> Answer | None:
        """Say how an order under this key was answered before, if one was."""
        async with self._database.readers.acquire() as connection:
            found = await member_store.read_answers(connection, [(person, key)])
        return found.get((person, key))

    async def admit(self, member: NewMember) -> None:
        """Open a member's account; again under the same key it is the same account.

        Raises:
            Problem: the name is taken (409), it or the limits cannot be given, or the
                key was used for something else (422).
        """
        account = address.read_account(member.account_id)
        address.read_display_name(member.name)
        if is_reserved(account):
            raise refused(TreasurerRefusalCode.NAME_RESERVED, account)
        if (member.floor or 0) > 0 or (member.ceiling or 0) < 0:
            raise refused(TreasurerRefusalCode.LIMITS_NOT_AROUND_ZERO, account)
        outcome = await self._clerk.take(member)
        if isinstance(outcome, OtherBody):
            raise other_body()
        if not outcome:
            raise refused(TreasurerRefusalCode.NAME_TAKEN, account)

    async def invite(self, account: str, author: str) -> str:
        """Make a new one-time link by which a member signs in.

        Args:
            account: hers.
            author: the person who makes it.
        """
        self._clerk.check_may_change()
        member = await self.member(account)
        name, now = member.account.account_id, self._clock.now()
        act = NoteAct(author, Deed.SIGN_IN_MADE, name, {})
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            code = await access_store.invite_person(
                connection, name, MEMBER_SCOPES, now, name
            )
            await act_store.write(connection, [act], now)
        return f"{self._public_url}/welcome#{code}"

    async def shut_out(self, account: str, author: str) -> tuple[int, bool]:
        """Let nothing that a member has let anybody in, until she gets a new link.

        Args:
            account: hers.
            author: the person who does it.

        Returns:
            How many sign-ins and links ended, and whether she had a password.
        """
        self._clerk.check_may_change()
        member = await self.member(account)
        name, now = member.account.account_id, self._clock.now()
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            ended, had_password = await access_store.shut_out(connection, name)
            if ended or had_password:
                details = {"ended": ended, "had_password": had_password}
                act = NoteAct(author, Deed.SIGN_INS_ENDED, name, details)
                await act_store.write(connection, [act], now)
        return ended, had_password

    async def change(self, change: MemberChange) -> None:
        """Change what a treasurer decides about a member.

        Raises:
            Problem: nobody has this account (404), or it cannot be (422).
        """
        match await self._clerk.take(change):
            case Standing():
                return
            case TreasurerRefusalCode() as code:
                raise refused(code, change.account_id)
            case None:
                raise Problem(404, "not-found", "This group has no such member.")
            case outcome:
                raise AssertionError(f"a change cannot end in {outcome!r}")

    # Entries.

    async def entry(self, entry_id: str) -> BookedEntry:
        """Give an entry of the ledger; 404 when there is none by this id."""
        found = None
        if address.UUID.fullmatch(entry_id):
            async with self._database.readers.acquire() as connection:
                found = await ledger_store.read_entry(connection, entry_id)
        if found is None:
            raise Problem(404, "not-found", "This ledger has no such entry.")
        return found

    async def book(
        self, person: str, key: str, postings: Sequence[Posting], reason: str
    ) -> BookedEntry:
        """Book an entry by hand; gives it once it is durable.

        Args:
            person: who books.
            key: the Idempotency-Key.
            postings: minor units.
            reason: for everyone whose account it is on.

        Raises:
            MalformedMessageError: it is no entry.
            Problem: refused (422), or the key was used for something else (422).
        """
        check_postings(postings)
        reason = address.read_reason(reason)
        # Over what is meant, and never what a payment or a correction could say.
        meant = [
            ("by hand", reason),
            *((one.account_id, one.amount) for one in postings),
        ]
        order = HandEntry(
            entry_id=new_id(),
            postings=tuple(postings),
            reason=reason,
            caller=person,
            key=key,
            body_hash=line_hash(strict_json.write(meant)),
        )
        return await self._take(order)

    async def correct(
        self, person: str, key: str, entry_id: str, reason: str
    ) -> BookedEntry:
        """Book the counter-entry of an entry; gives it once it is durable.

        Raises:
            Problem: no such entry (404), refused (422), or the key was used for
                something else (422).
        """
        reason = address.read_reason(reason)
        # It never changes, so it may be read before the clerk decides.
        found = await self.entry(entry_id)
        meant = [("correction", reason), (found.entry.entry_id, 0)]
        order = Correction(
            entry_id=new_id(),
            entry=found.entry,
            reason=reason,
            caller=person,
            key=key,
            body_hash=line_hash(strict_json.write(meant)),
        )
        return await self._take(order)

    async def book_prepared(self, order: HandEntry) -> BookedEntry:
        """Book an entry whose postings somebody else has worked out and checked."""
        return await self._take(order)

    async def _take(self, order: HandEntry | Correction) -> BookedEntry:
        match await self._clerk.take(order):
            case Booked(entry_id):
                return await self.entry(entry_id)
            case NotBooked(code, account_id):
                raise refused(code, account_id)
            case OtherBody():
                raise other_body()
            case outcome:
                raise AssertionError(f"an entry cannot end in {outcome!r}")


def check_postings(postings: Sequence[Posting], most: int = POSTINGS_MAX) -> None:
    """Refuse what is no entry, whatever accounts there are.

    Args:
        postings: minor units.
        most: how many they may be.

    Raises:
        MalformedMessageError: too few or too many, a name that none can be, nothing
            moved, an account twice, or not zero in sum.
    """
    if not POSTINGS_MIN <= len(postings) <= most:
        expected = f"{POSTINGS_MIN} to {most} of them"
        raise MalformedMessageError("postings", len(postings), expected)
    for posting in postings:
        address.read_account(posting.account_id)
        if not 0 < abs(posting.amount) <= AMOUNT_MAX:
            expected = "a whole number other than 0, up to 10^12"
            raise MalformedMessageError("amount", posting.amount, expected)
    names = Counter(posting.account_id for posting in postings)
    twice = sorted(name for name, times in names.items() if times > 1)
    if twice:
        raise MalformedMessageError("postings", twice, "each account once")
    total = sum(posting.amount for posting in postings)
    if total:
        raise MalformedMessageError("postings", f"a sum of {total}", "a sum of 0")


def new_id() -> str:
    """Draw the id of an entry."""
    return str(uuid.uuid4())


def _is_account(text: str) -> bool:
    try:
        address.read_account(text)
    except MalformedMessageError:
        return False
    return True
