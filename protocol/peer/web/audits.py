"""An audit over HTTP, for whoever runs a server."""

from aiohttp import web

from protocol.peer.audit import AuditAnswer, Auditor, AuditRunsError
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import Route

_RETRY_AFTER_S = 10


class AuditApi:
    """The audit as a treasurer or the regional admin asks for it.

    Args:
        auditor: the server's.
        scope: what a token must allow.
    """

    def __init__(self, auditor: Auditor, scope: str) -> None:
        self._auditor = auditor
        self._scope = scope

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/audit",
                handler=self.get_audit,
                told="Audit the whole ledger and the stored envelopes, now;"
                " 429 while an audit runs.",
                scope=self._scope,
                answer=AuditAnswer,
            ),
        ]

    async def get_audit(self, _request: web.Request) -> web.Response:
        """Audit now; it may take a minute at a million postings."""
        try:
            answer = await self._auditor.run()
        except AuditRunsError:
            raise Problem(
                429,
                "audit-runs",
                "An audit runs already; please ask again when it is done.",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            ) from None
        return json_response(answer)
