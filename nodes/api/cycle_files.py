"""Cycles and legs as files: CSV of every table, and a bank statement (camt.053)."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from nodes.api.cycles import cycle_number
from nodes.cycle_desk import CycleDesk
from protocol.peer.web.problems import Handler
from protocol.peer.web.routes import TREASURER, Route

CSV = "text/csv"
XML = "application/xml"
_CYCLES = "/api/v1/group/cycles"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class CycleFilesApi:
    """Files about cycles, for whoever keeps or reads the ledger.

    Args:
        desk: writes them.
    """

    def __init__(self, desk: CycleDesk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """List the routes."""
        one = f"{_CYCLES}/{{cycle}}"

        def file(
            path: str, handler: Handler, told: str, media_type: str = CSV
        ) -> Route:
            return Route(
                method="GET",
                path=path,
                handler=handler,
                told=told,
                scope=TREASURER,
                answer=str,
                media_type=media_type,
            )

        return [
            file(f"{_CYCLES}.csv", self.get_cycles_csv, "All cycles, as CSV."),
            file(
                "/api/v1/group/legs.csv",
                self.get_legs_csv,
                "All legs, as one CSV file.",
            ),
            file(
                f"{one}/statement.csv",
                self.get_cycle_statement,
                "A cycle's moves by our own ledger, with who paid whom, as CSV.",
            ),
            file(
                f"{one}/figures.csv",
                self.get_cycle_figures,
                "What the hub states of a cycle beside what our own ledger says.",
            ),
            file(
                f"{one}/camt053.xml",
                self.get_cycle_camt053,
                "A cycle as a bank statement, ISO 20022 camt.053.001.08.",
                XML,
            ),
        ]

    async def get_cycles_csv(self, _request: web.Request) -> web.Response:
        """Give all cycles as CSV."""
        return _file(await self._desk.cycles_csv(), self._name("cycles"), CSV)

    async def get_legs_csv(self, _request: web.Request) -> web.Response:
        """Give all legs as CSV."""
        return _file(await self._desk.legs_csv(), self._name("legs"), CSV)

    async def get_cycle_statement(self, request: web.Request) -> web.Response:
        """Give a cycle's moves as CSV."""
        return await self._of_cycle(request, self._desk.moves_csv, "cycle", CSV)

    async def get_cycle_figures(self, request: web.Request) -> web.Response:
        """Give a cycle's figures as CSV."""
        return await self._of_cycle(request, self._desk.figures_csv, "figures", CSV)

    async def get_cycle_camt053(self, request: web.Request) -> web.Response:
        """Give a cycle as a bank statement."""
        return await self._of_cycle(request, self._desk.camt053, "camt053", XML)

    async def _of_cycle(
        self,
        request: web.Request,
        write: Callable[[int], Awaitable[bytes]],
        kind: str,
        media_type: str,
    ) -> web.Response:
        number = cycle_number(request)
        return _file(await write(number), self._name(f"{kind}-{number}"), media_type)

    def _name(self, kind: str) -> str:
        return f"{self._desk.group}-{kind}"


def _file(raw: bytes, name: str, media_type: str) -> web.Response:
    ending, parameters = "xml", "charset=utf-8"
    if media_type == CSV:
        ending, parameters = "csv", "charset=utf-8; header=present"
    return web.Response(
        body=raw,
        headers={
            "Content-Type": f"{media_type}; {parameters}",
            "Content-Disposition": f'attachment; filename="{name}.{ending}"',
            **_HEADERS,
        },
    )
