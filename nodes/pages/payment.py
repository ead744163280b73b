"""One payment: how it goes, what may still be done about it, and its receipt."""

from aiohttp import web

from nodes.api.receipts import ReceiptApi
from nodes.pages.drafts import Drafts
from nodes.payments import Payments
from protocol.address import Group
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route
from protocol.transfer import State

_ENDED = (State.CLEARED.value, State.REFUSED.value)


class PaymentPages:
    """What became of payments.

    Args:
        pages: shows them.
        payments: knows them.
        drafts: knows units.
        receipts: proves them.
    """

    def __init__(
        self, pages: Pages, payments: Payments, drafts: Drafts, receipts: ReceiptApi
    ) -> None:
        self._pages = pages
        self._payments = payments
        self._drafts = drafts
        self._receipts = receipts

    def routes(self) -> list[Route]:
        """List the pages."""
        page, one = Route.page, "/payments/{id}"
        return [
            page("GET", one, self.get_payment, "read"),
            page("POST", f"{one}/cancel", self.post_cancel, "pay", form=one),
            page("GET", f"{one}/receipt", self._receipts.get_receipt, "read"),
        ]

    async def get_payment(self, request: web.Request) -> web.Response:
        """Show how a payment goes."""
        caller = caller_of(request)
        transfer = await self._payments.transfer(caller, request.match_info["id"])
        language = request[VISIT].language
        answer = await self._payments.answer(caller, transfer, language)
        steps = {one.step: one.at for one in await self._payments.steps(transfer)}
        is_payer = answer.amount < 0
        is_local = transfer.payer_group == transfer.payee_group
        return self._pages.show(
            request,
            "payment.html",
            payment=answer,
            steps=steps,
            is_payer=is_payer,
            is_local=is_local,
            has_ended=answer.state in _ENDED,
            other=answer.payee if is_payer else answer.payer,
            payee_unit=self._drafts.unit_of(Group(transfer.payee_group)),
            payer_unit=self._drafts.unit_of(Group(transfer.payer_group)),
            # A refund is in the unit of who has paid.
            refundable=answer.refundable or 0,
            may_pay="pay" in caller.scopes,
            has_receipt=not is_local and answer.state == State.CLEARED.value,
        )

    async def post_cancel(self, request: web.Request) -> web.Response:
        """Wish to call a payment off; its page tells what became of that."""
        transfer_id = request.match_info["id"]
        caller = caller_of(request)
        try:
            transfer = await self._payments.cancel(caller, transfer_id)
        except Problem as problem:
            if problem.status == 404:
                raise
        else:
            await self._payments.wait(transfer, 1)
        return see_other(f"/payments/{transfer_id}")
