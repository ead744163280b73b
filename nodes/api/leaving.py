"""How the group stands in the federation, and its wish to leave."""

import msgspec
from aiohttp import web

from nodes import cycle_store, member_store
from nodes.house import NodeHouse
from nodes.rules import LeavingWish, NotWished, OwnLeg, WishToLeave
from protocol.address import read_reason
from protocol.directory import GroupRecord
from protocol.instant import write_instant, write_nullable
from protocol.peer import transfer_store
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import Route

#: Of a list that is seldom longer than one.
_LEGS_MAX = 50


class LeaveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the group leaves, in the treasurer's words; kept for ever."""

    reason: str


class LeavingWishAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub was told: ``waiting``, ``begun`` or ``refused``."""

    number: int
    at: str
    author: str | None
    reason: str
    state: str
    answered_at: str | None


class LegUnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """A leg of ours that has not ended; ``is_signed``: our own word is given."""

    id: str
    debtor: str
    creditor: str
    milliseconds: int
    is_signed: bool


class LeavingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the group stands: its state, and what it still owes or is owed.

    ``position`` is what our own ledger says, milliseconds: below zero, other groups
    have helped more than they were helped. It may move between ``low`` and ``high``
    as things are now; once it is leaving, between where it stands and zero. What is
    under way comes first: ``undecided`` payments and ``legs``, the oldest first.
    ``wish`` is the newest to leave, if any.
    """

    group: str
    state: str
    position: int
    low: int
    high: int
    undecided: int
    legs: list[LegUnderWay]
    wish: LeavingWishAnswer | None


_decoder = msgspec.json.Decoder(LeaveRequest)


class LeavingApi:
    """The group's leaving, for its treasurer.

    Args:
        house: folds the directory.
        clerk: tells the hub.
        database: read only here.
    """

    def __init__(self, house: NodeHouse, clerk: Clerk, database: Database) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/group/leaving",
                handler=self.get_leaving,
                told="How the group stands in the federation, and its wish to leave.",
                scope="treasurer",
                answer=LeavingAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/group/leaving",
                handler=self.post_leaving,
                told="Tell the hub that the group wishes to leave: from its decision"
                " on the position only runs off. 200 when it is leaving already.",
                scope="treasurer",
                body=LeaveRequest,
                answer=LeavingAnswer,
                status=202,
                also=(200,),
            ),
        ]

    async def get_leaving(self, _request: web.Request) -> web.Response:
        """Say how the group stands."""
        return json_response(await self.standing())

    async def post_leaving(self, request: web.Request) -> web.Response:
        """Tell the hub, once; the same wish again is the same wish."""
        asked = await read_json(request, _decoder)
        reason, author = read_reason(asked.reason), caller_of(request).person_id
        wish = await self.leave(author, reason)
        return json_response(await self.standing(), 200 if wish is None else 202)

    async def leave(self, author: str, reason: str) -> LeavingWish | None:
        """Tell the hub that the group wishes to leave; ``None``: it is leaving.

        Raises:
            Problem: 409: it is frozen, or has left.
        """
        self._clerk.check_ready()
        self._house.own_record()
        outcome = await self._clerk.take(WishToLeave(author=author, reason=reason))
        if isinstance(outcome, NotWished):
            code, told = outcome.code, f"Refused: {outcome.code}."
            extra: dict[str, object] = {"group": self._house.own}
            raise Problem(409, "not-wished", told, code=code, extra=extra)
        assert outcome is None or isinstance(outcome, LeavingWish)
        return outcome

    async def standing(self) -> LeavingAnswer:
        """Say how the group stands, as answers show it."""
        self._clerk.check_ready()
        record, wish = self._house.own_record(), self._house.leaving_wish
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            position = -await member_store.read_clearing(connection)
            undecided = await transfer_store.count_undecided(connection)
            legs = await cycle_store.read_legs_under_way(connection, _LEGS_MAX)
        low, high = _window(record, position)
        return LeavingAnswer(
            group=self._house.own,
            state=record.state,
            position=position,
            low=low,
            high=high,
            undecided=undecided,
            legs=[_under_way(leg) for leg in legs],
            wish=None if wish is None else _wish(wish),
        )


def _window(record: GroupRecord, position: int) -> tuple[int, int]:
    """Say between which positions payments may move the group now."""
    match record.state:
        case "active":
            return record.floor, record.ceiling
        case "leaving":
            return min(position, 0), max(position, 0)
        case _:
            return position, position


def _under_way(leg: OwnLeg) -> LegUnderWay:
    return LegUnderWay(
        id=leg.leg_id,
        debtor=leg.debtor,
        creditor=leg.creditor,
        milliseconds=leg.milliseconds,
        is_signed=leg.signed_at is not None,
    )


def _wish(wish: LeavingWish) -> LeavingWishAnswer:
    return LeavingWishAnswer(
        number=wish.number,
        at=write_instant(wish.at),
        author=wish.author,
        reason=wish.reason,
        state=wish.state.value,
        answered_at=write_nullable(wish.answered_at),
    )
