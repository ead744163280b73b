"""How the group stands in the federation, and its wish to leave."""

import msgspec
from aiohttp import web

from nodes import member_store
from nodes.house import NodeHouse
from nodes.rules import LeavingWish, NotWished, WishToLeave
from protocol.address import read_reason
from protocol.instant import write_instant, write_nullable
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import Route


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


class LeavingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the group stands: its state, and what it still owes or is owed.

    ``position`` is what our own ledger says, milliseconds: below zero, other groups
    have helped more than they were helped. ``wish`` is the newest to leave, if any.
    """

    group: str
    state: str
    position: int
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
        return json_response(await self._answer())

    async def post_leaving(self, request: web.Request) -> web.Response:
        """Tell the hub, once; the same wish again is the same wish."""
        asked = await read_json(request, _decoder)
        reason, author = read_reason(asked.reason), caller_of(request).person_id
        self._clerk.check_ready()
        self._house.own_record()
        outcome = await self._clerk.take(WishToLeave(author=author, reason=reason))
        if isinstance(outcome, NotWished):
            code, told = outcome.code, f"Refused: {outcome.code}."
            extra: dict[str, object] = {"group": self._house.own}
            raise Problem(409, "not-wished", told, code=code, extra=extra)
        return json_response(await self._answer(), 200 if outcome is None else 202)

    async def _answer(self) -> LeavingAnswer:
        self._clerk.check_ready()
        record, wish = self._house.own_record(), self._house.leaving_wish
        async with self._database.readers.acquire() as connection:
            clearing = await member_store.read_clearing(connection)
        return LeavingAnswer(
            group=self._house.own,
            state=record.state,
            position=-clearing,
            wish=None if wish is None else _wish(wish),
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
