"""What a treasurer does for many members at once: limits, and mass entries.

Each can be looked at before: the preview reads one snapshot and changes nothing. What
is then really done is decided by the clerk, all of it or nothing, and may differ from
the preview when something has happened in between.
"""

from collections.abc import Mapping, Sequence

import msgspec

from nodes import member_store
from nodes.member_store import Member
from nodes.rules import (
    FUND,
    MASS_MAX,
    Foreseen,
    ForeseenPosting,
    HandEntry,
    LimitLine,
    LimitsChange,
    foresee_entry,
    foresee_limits,
)
from nodes.treasurer import Treasurer, check_postings, new_id
from protocol import address, strict_json
from protocol.errors import MalformedMessageError
from protocol.ledger import Account, Posting
from protocol.messages import line_hash
from protocol.peer import ledger_store
from protocol.peer.clerk import Clerk
from protocol.peer.database import AnyConnection, Database
from protocol.peer.ledger_store import BookedEntry

#: Lines of limits that may be changed at once.
LIMITS_MAX = 10_000


class MassWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a treasurer wants to book for many: the fund gets, or gives, the sum.

    Attributes:
        each: what moves on each account, minor units; positive is credit.
        accounts: on whose; ``None``: on those of all active members.
        postings: instead of these, an amount for each account.
        reason: for everyone whose account it is on.
    """

    each: int | None
    accounts: tuple[str, ...] | None
    postings: tuple[Posting, ...] | None
    reason: str


class ForeseenMass(msgspec.Struct, frozen=True, kw_only=True):
    """What a mass entry would do.

    Attributes:
        lines: one for each member, in the order given.
        names: display names by account; of nobody there is none.
        fund: the fund's own, if its balance would change.
    """

    lines: tuple[ForeseenPosting, ...]
    names: Mapping[str, str]
    fund: ForeseenPosting | None

    @property
    def may_be_booked(self) -> bool:
        """Say whether nothing stands in the way now."""
        return all(line.code is None for line in self.lines)


class Bulk:
    """Limits and entries of many members.

    Args:
        treasurer: books entries.
        clerk: sets limits.
        database: read only here.
    """

    def __init__(self, treasurer: Treasurer, clerk: Clerk, database: Database) -> None:
        self._treasurer = treasurer
        self._clerk = clerk
        self._database = database

    async def foresee_limits(self, lines: Sequence[LimitLine]) -> Foreseen:
        """Say what new limits would change, and which lines are wrong."""
        _check_lines(lines)
        accounts = [line.account_id for line in lines]
        async with self._database.readers.acquire() as connection:
            members = await member_store.read_named(connection, accounts)
        return foresee_limits(_accounts(members), lines)

    async def change_limits(
        self, lines: Sequence[LimitLine], author: str, reason: str
    ) -> Foreseen:
        """Set limits, all or none; gives what was changed, or which lines are wrong."""
        _check_lines(lines)
        reason = address.read_reason(reason)
        order = LimitsChange(lines=tuple(lines), author=author, reason=reason)
        outcome = await self._clerk.take(order)
        assert isinstance(outcome, Foreseen)
        return outcome

    async def foresee_mass(self, wish: MassWish) -> ForeseenMass:
        """Say what a mass entry would do to each member, and whom it would stop."""
        address.read_reason(wish.reason)
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            members = await self._members(connection, wish)
            own = await ledger_store.read_accounts(connection, ())
        postings = _postings(wish, members)
        accounts = {account.account_id: account for account in own}
        foreseen = foresee_entry(accounts | _accounts(members), postings)
        return ForeseenMass(
            lines=tuple(one for one in foreseen if one.account_id != FUND),
            names={one.account.account_id: one.name for one in members},
            fund=next((one for one in foreseen if one.account_id == FUND), None),
        )

    async def book_mass(self, person: str, key: str, wish: MassWish) -> BookedEntry:
        """Book a mass entry, all of it or nothing; gives it once it is durable.

        Raises:
            MalformedMessageError: it is no entry.
            Problem: refused (422), or the key was used for something else (422).
        """
        reason = address.read_reason(wish.reason)
        # Over the wish, not over whom it met: asked again after somebody was admitted,
        # it is the same wish, and booked no second time.
        meant = ["mass", strict_json.write(wish).decode()]
        async with self._database.readers.acquire() as connection:
            known = await member_store.read_answers(connection, [(person, key)])
            # What was answered is answered again, also when it could not be today.
            members = [] if known else await self._members(connection, wish)
        order = HandEntry(
            entry_id=new_id(),
            postings=() if known else tuple(_postings(wish, members)),
            reason=reason,
            caller=person,
            key=key,
            body_hash=line_hash(strict_json.write(meant)),
        )
        return await self._treasurer.book_prepared(order)

    async def _members(self, connection: AnyConnection, wish: MassWish) -> list[Member]:
        if wish.postings is not None:
            named = [posting.account_id for posting in wish.postings]
            return await member_store.read_named(connection, named)
        if wish.accounts is not None:
            return await member_store.read_named(connection, wish.accounts)
        everybody = await member_store.read_members(connection)
        return [
            one for one in everybody if not (one.account.closed or one.account.frozen)
        ]


def _postings(wish: MassWish, members: Sequence[Member]) -> list[Posting]:
    """Write the entry: on each account its amount, on the fund what is left."""
    if wish.postings is not None:
        postings = list(wish.postings)
    else:
        assert wish.each is not None, "callers give the one or the other"
        accounts: Sequence[str] = [one.account.account_id for one in members]
        if wish.accounts is not None:
            accounts = wish.accounts
        if not accounts:
            raise MalformedMessageError("accounts", [], "at least one active member")
        postings = [Posting(account, wish.each) for account in accounts]
    total = sum(posting.amount for posting in postings)
    if total:
        postings.append(Posting(FUND, -total))
    check_postings(postings, MASS_MAX + 1)
    return postings


def _check_lines(lines: Sequence[LimitLine]) -> None:
    if not 1 <= len(lines) <= LIMITS_MAX:
        raise MalformedMessageError("limits", len(lines), f"1 to {LIMITS_MAX} of them")


def _accounts(members: Sequence[Member]) -> dict[str, Account]:
    return {one.account.account_id: one.account for one in members}
