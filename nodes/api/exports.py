"""Everything of the group as CSV files, for whoever keeps or reads its ledger."""

import logging

from aiohttp import web

from nodes.exports import Exports, ExportsRunError, read_name
from protocol.errors import MalformedMessageError, OutageError
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import Route

_LOG = logging.getLogger(__name__)
_RETRY_AFTER_S = 10


class ExportsApi:
    """Exports over HTTP.

    Args:
        exports: reads them.
    """

    def __init__(self, exports: Exports) -> None:
        self._exports = exports

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/exports/{export}",
                handler=self.get_export,
                told="A CSV file of all members, entries, transfers, limits, acts or"
                " units; 429 while two are read already.",
                scope="treasurer",
                answer=str,
                media_type="text/csv",
            )
        ]

    async def get_export(self, request: web.Request) -> web.StreamResponse:
        """Give an export as it is read."""
        try:
            name = read_name(request.match_info["export"])
        except MalformedMessageError as error:
            raise Problem(404, "not-found", str(error)) from None
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": f'attachment; filename="{name}.csv"',
                "Cache-Control": "no-store",
            }
        )
        try:
            async with self._exports.open(name) as pieces:
                await response.prepare(request)
                if request.method == "HEAD":
                    return response
                async for piece in pieces:
                    await response.write(piece)
        except ExportsRunError as error:
            headers = {"Retry-After": str(_RETRY_AFTER_S)}
            told = f"{error}; please ask again."
            raise Problem(429, "exports-run", told, headers=headers) from None
        except (OutageError, TimeoutError) as error:
            if not response.prepared:
                raise
            # Cut off without an end, so that nobody takes half a file for a whole one.
            _LOG.warning("the export of %s was cut off: %s", name, error)
            if request.transport is not None:
                request.transport.abort()
        return response
