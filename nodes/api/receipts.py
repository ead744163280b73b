"""Receipts: what a member keeps, and shows to whom she likes."""

from typing import Literal

import msgspec
from aiohttp import web

from nodes.hub_reader import HubReader
from nodes.payments import Payments
from protocol.address import FederationId
from protocol.errors import PeerError
from protocol.messages import line_hash
from protocol.peer import transfer_store
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, read_query
from protocol.peer.web.routes import Route
from protocol.receipt import (
    MEDIA_TYPE,
    RECEIPT_LENGTH_MAX,
    Receipt,
    prove_receipt,
    read_receipt,
    verify_receipt,
    with_words,
    write_receipt,
)
from protocol.transfer import State, Transfer


class ReceiptQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the receipt shows who paid whom, and for what."""

    # Text, as all that stands behind a "?": nobody reads "1" or "yes" for it.
    content: Literal["true", "false"] = "true"


class ReceiptApi:
    """Receipts of the caller's payments.

    Args:
        payments: knows whose payment it is.
        database: read only here.
        federation: the whole id.
        hub_url: who keeps the evidence.
    """

    def __init__(
        self,
        payments: Payments,
        database: Database,
        federation: FederationId,
        hub_url: str,
    ) -> None:
        self._payments = payments
        self._database = database
        self._federation = federation
        self._hub_url = hub_url

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/transfers/{id}/receipt",
                handler=self.get_receipt,
                told="A file that proves a cleared payment to anyone, offline.",
                scope="read",
                query=ReceiptQuery,
                answer=Receipt,
                media_type=MEDIA_TYPE,
            )
        ]

    async def get_receipt(self, request: web.Request) -> web.Response:
        """Give a receipt that this node itself has verified."""
        wish = read_query(request, ReceiptQuery)
        transfer = await self._payments.transfer(
            caller_of(request), request.match_info["id"]
        )
        if transfer.state is not State.CLEARED or not transfer.prepare:
            told = "A payment to another group has a receipt once it has cleared."
            raise Problem(404, "no-receipt", told)
        shows_content = wish.content == "true"
        raw = write_receipt(await self._receipt(transfer, shows_content=shows_content))
        return web.Response(
            body=raw,
            content_type=MEDIA_TYPE,
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": (
                    f'attachment; filename="interlets-{transfer.transfer_id}.json"'
                ),
            },
        )

    async def _receipt(self, transfer: Transfer, *, shows_content: bool) -> Receipt:
        try:
            async with HubReader(self._hub_url) as hub:
                raw = await hub.fetch(
                    f"evidence/{transfer.transfer_id}", RECEIPT_LENGTH_MAX
                )
            verify_receipt(raw, self._federation)
            receipt = read_receipt(raw)
            if shows_content:
                receipt = with_words(await self._with_content(receipt, transfer))
            proven = prove_receipt(receipt, self._federation)
        except PeerError as error:
            told = f"What the hub sent does not prove the payment: {error}"
            raise _not_proved(told) from None
        words = (receipt.prepare.line, receipt.accept.line)
        found = (proven.decision.id, *(line_hash(word.encode()) for word in words))
        if found != (transfer.transfer_id, transfer.prepare, transfer.answer):
            raise _not_proved("What the hub sent is about another payment.")
        return receipt

    async def _with_content(self, receipt: Receipt, transfer: Transfer) -> Receipt:
        async with self._database.readers.acquire() as connection:
            line = await transfer_store.read_content(connection, transfer.content)
        content = None if line is None else line.decode("utf-8")
        return msgspec.structs.replace(receipt, content=content)


def _not_proved(told: str) -> Problem:
    return Problem(503, "not-proved", told, headers={"Retry-After": "60"})
