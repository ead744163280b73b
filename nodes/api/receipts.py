"""Receipts and refusals: what a member keeps, and shows to whom she likes.

The hub is asked for its evidence, since it alone has other groups' covers; while it
is away, or gone for good, this node proves a payment from its own rows.
"""

import asyncio
import logging
from typing import Literal

import msgspec
from aiohttp import web

from nodes.evidence import NodeEvidence, OwnReceipt
from nodes.hub_reader import HubReader
from nodes.member_store import Membership
from nodes.payments import Payments
from nodes.rules import Distrust
from protocol.address import HUB, FederationId
from protocol.contradiction import find_contradiction
from protocol.errors import NotSignedError, OutageError, PeerError
from protocol.messages import line_hash
from protocol.peer import transfer_store
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, read_query
from protocol.peer.web.routes import Route
from protocol.receipt import (
    MEDIA_TYPE,
    RECEIPT_LENGTH_MAX,
    Proven,
    Receipt,
    read_receipt,
    verify_receipt,
    with_words,
    write_receipt,
)
from protocol.refusal import MEDIA_TYPE as REFUSAL_TYPE
from protocol.refusal import Refusal, write_refusal
from protocol.transfer import State, Transfer

_LOG = logging.getLogger(__name__)
#: Nobody waits long for covers of other groups.
_HUB_S = 3.0


class ReceiptQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the receipt shows who paid whom, and for what."""

    # Text, as all that stands behind a "?": nobody reads "1" or "yes" for it.
    content: Literal["true", "false"] = "true"


class ReceiptApi:
    """Receipts and refusals of the caller's payments.

    Args:
        payments: knows whose payment it is.
        clerk: is told when the hub contradicts itself.
        database: read only here.
        evidence: what this node can prove itself.
        joined: the federation, and where its hub is.
    """

    def __init__(
        self,
        payments: Payments,
        clerk: Clerk,
        database: Database,
        evidence: NodeEvidence,
        joined: Membership,
    ) -> None:
        self._payments = payments
        self._clerk = clerk
        self._database = database
        self._evidence = evidence
        self._federation = FederationId(joined.federation)
        self._hub_url = joined.hub_url

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
            ),
            Route(
                method="GET",
                path="/api/v1/transfers/{id}/refusal",
                handler=self.get_refusal,
                told="A file that proves to anyone that the hub refused a payment.",
                scope="read",
                answer=Refusal,
                media_type=REFUSAL_TYPE,
            ),
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
        receipt = await self._receipt(transfer)
        if wish.content == "true":
            try:
                receipt = await self._with_content(receipt, transfer)
            except PeerError as error:
                raise _not_proved(
                    f"Its content is not what was signed: {error}"
                ) from None
        return _file(write_receipt(receipt), MEDIA_TYPE, transfer)

    async def get_refusal(self, request: web.Request) -> web.Response:
        """Give the proof that the hub refused a payment."""
        transfer = await self._payments.transfer(
            caller_of(request), request.match_info["id"]
        )
        if transfer.state is not State.REFUSED or transfer.log is None:
            told = "A payment has a refusal once the hub has refused it."
            raise Problem(404, "no-refusal", told)
        async with self._database.readers.acquire() as connection:
            found = await self._evidence.find_refusal(connection, transfer)
        if found is None:
            told = "This node has not yet found the decision in the hub's log."
            raise _not_proved(told)
        return _file(write_refusal(found.refusal), REFUSAL_TYPE, transfer)

    async def _receipt(self, transfer: Transfer) -> Receipt:
        """Give the hub's receipt, or else ours; each is proved here first."""
        own = await self._own(transfer)
        try:
            async with (
                asyncio.timeout(None if own is None else _HUB_S),
                HubReader(self._hub_url) as hub,
            ):
                path = f"evidence/{transfer.transfer_id}"
                raw = await hub.fetch(path, RECEIPT_LENGTH_MAX)
            theirs = await asyncio.to_thread(verify_receipt, raw, self._federation)
            receipt = read_receipt(raw)
            if own is not None:
                await self._compare(own, theirs, raw)
            self._check(receipt, theirs, transfer)
        except (PeerError, OutageError, TimeoutError) as error:
            if own is not None:
                _LOG.info("a receipt without the hub: %s", error)
                return own.receipt
            if not isinstance(error, PeerError):
                raise
            told = f"What the hub sent does not prove the payment: {error}"
            raise _not_proved(told) from None
        return receipt

    async def _own(self, transfer: Transfer) -> OwnReceipt | None:
        """Give the receipt that this node can prove by itself."""
        async with self._database.readers.acquire() as connection:
            try:
                found = await self._evidence.find(connection, transfer)
                if found is not None:
                    self._check(found.receipt, found.proven, transfer)
            except PeerError as error:
                _LOG.error("what is kept of %s: %s", transfer.transfer_id, error)
                return None
        return found

    def _check(self, receipt: Receipt, proven: Proven, transfer: Transfer) -> None:
        """Check that a proven receipt is about this payment; raises ``PeerError``."""
        words = (receipt.prepare.line, receipt.accept.line)
        found = (proven.decision.id, *(line_hash(word.encode()) for word in words))
        if found != (transfer.transfer_id, transfer.prepare, transfer.answer):
            raise NotSignedError("it is about another payment")

    async def _compare(self, own: OwnReceipt, theirs: Proven, raw: bytes) -> None:
        """Call people when the hub proves another decision than it told us."""
        lie = find_contradiction(own.proven, theirs)
        if lie is not None:
            await self._clerk.take(
                Distrust(
                    about=HUB,
                    told=lie,
                    ours=write_receipt(own.receipt).decode(),
                    theirs=raw.decode(),
                )
            )
            raise NotSignedError(lie)

    async def _with_content(self, receipt: Receipt, transfer: Transfer) -> Receipt:
        async with self._database.readers.acquire() as connection:
            line = await transfer_store.read_content(connection, transfer.content)
        content = None if line is None else line.decode("utf-8")
        whole = msgspec.structs.replace(receipt, content=content)
        return await asyncio.to_thread(with_words, whole)


def _file(raw: bytes, media_type: str, transfer: Transfer) -> web.Response:
    name = f"interlets-{transfer.transfer_id}.json"
    return web.Response(
        body=raw,
        content_type=media_type,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


def _not_proved(told: str) -> Problem:
    return Problem(503, "not-proved", told, headers={"Retry-After": "60"})
