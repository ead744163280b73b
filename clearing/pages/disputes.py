"""A dispute: where a group's figures and the hub's part, and the way back."""

import msgspec
from aiohttp import web

from clearing.api.cycles import CyclesApi, TheirsAnswer, cycle_of
from clearing.api.transfers import TransfersApi
from protocol.messages import CycleMove
from protocol.peer.web.pages import Pages
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import Route

_PATH = "/cycles/{cycle}/disputes/{group}"
_GROUP_LENGTH_MAX = 32
_NOT_FOUND = 404


class FigureLine(msgspec.Struct, frozen=True):
    """One figure as the hub has it and as the group does; ``count`` is no time."""

    name: str
    hubs: int
    theirs: int


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub knows by a move's number."""

    path: str
    payer_group: str
    payee_group: str
    milliseconds: int
    at: str


class DisputePages:
    """Pages about disputes.

    Args:
        pages: shows them.
        cycles: knows statements, and what groups have put in their place.
        transfers: knows what a move was.
    """

    def __init__(
        self, pages: Pages, cycles: CyclesApi, transfers: TransfersApi
    ) -> None:
        self._pages = pages
        self._cycles = cycles
        self._transfers = transfers

    def routes(self) -> list[Route]:
        """List the pages."""
        return [Route.page("GET", _PATH, self.get_dispute, "admin")]

    async def get_dispute(self, request: web.Request) -> web.Response:
        """Show both versions side by side, down to the first move that differs."""
        number, group = cycle_of(request), request.match_info["group"]
        if "\0" in group or len(group) > _GROUP_LENGTH_MAX:
            raise Problem(_NOT_FOUND, "not-found", "There is no group by this name.")
        stated = await self._cycles.statement(number, group)
        if stated.theirs is None:
            raise Problem(_NOT_FOUND, "not-found", "This group disputes nothing.")
        found = stated.difference
        moves = [] if found is None else [found.hubs, found.nodes]
        known: dict[str, Named] = {}
        for move in moves:
            if move is not None and move.id not in known:
                named = await self._named(move)
                known |= {} if named is None else {move.id: named}
        return self._pages.show(
            request,
            "dispute.html",
            cycle=number,
            stated=stated,
            lines=[
                FigureLine(name, getattr(stated, name), getattr(stated.theirs, name))
                for name in TheirsAnswer.__struct_fields__
            ],
            difference=found,
            known=known,
        )

    async def _named(self, move: CycleMove) -> Named | None:
        """Look a move's number up: among transfers, then among legs."""
        try:
            found = await self._transfers.transfer(move.id)
        except Problem as problem:
            if problem.status != _NOT_FOUND:
                raise
        else:
            return Named(
                path=f"/transfers/{found.id}",
                payer_group=found.payer_group,
                payee_group=found.payee_group,
                milliseconds=found.milliseconds,
                at=found.decided or found.taken,
            )
        try:
            leg = await self._cycles.leg(move.id)
        except Problem as problem:
            if problem.status != _NOT_FOUND:
                raise
            return None
        return Named(
            path=f"/cycles/{leg.cycle}#legs",
            payer_group=leg.debtor,
            payee_group=leg.creditor,
            milliseconds=leg.milliseconds,
            at=leg.ended_at or leg.at,
        )
