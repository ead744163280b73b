"""A payment that is not one yet, made out of what somebody typed.

Whatever is typed is judged by the functions that judge a program's orders; here is
only what people need beside: more ways to say whom, and amounts as they write them.
"""

from typing import Literal

import msgspec

from nodes.api.account import AccountApi
from nodes.asks import Asks
from nodes.payees import PayeeAnswer, Payees
from nodes.payment_answers import AmountsAnswer, QuoteAnswer, refused, unit_answer
from nodes.payments import Payments
from protocol.address import (
    AccountName,
    Group,
    read_account,
    read_address,
    read_memo,
    write_address,
)
from protocol.errors import MalformedMessageError, RefusalCode
from protocol.peer.access_store import Caller
from protocol.peer.web.figures import AmountFault, read_amount
from protocol.peer.web.problems import Problem
from protocol.peer.web.units import UnitAnswer
from protocol.peer.web.words import Language

#: How our own group stands, where that alone keeps a payment from leaving it.
_IN_THE_WAY = {
    "leaving-owes": RefusalCode.PAYER_GROUP_LEAVING,
    "leaving-even": RefusalCode.PAYER_GROUP_LEAVING,
    "left": RefusalCode.GROUP_LEFT,
}


class PayFields(msgspec.Struct, frozen=True):
    """What is typed on the way, all of it text.

    Attributes:
        to: address, link, or name in the own group.
        amount: as typed.
        side: whose unit it is in: ``payee`` or ``payer``.
        memo: what for.
        deliver: ``when_reachable`` or "".
        unseen: she is sure of an address that shows no name.
        ask: the signed text of somebody's ask, instead of ``to``.
        refund_of: the payment that this one gives back, instead of ``to``.
        key: under which it is ordered.
    """

    to: str
    amount: str
    side: str
    memo: str
    deliver: str
    unseen: str
    ask: str
    refund_of: str
    key: str


class Payee(msgspec.Struct, frozen=True):
    """Who is to be paid; ``name`` is "" when it is not seen."""

    address: str
    name: str
    group_name: str
    unit: UnitAnswer


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A whole payment, to look at before it is one.

    Attributes:
        payee: who is paid.
        quote: her amount, the time, the price.
        own_milliseconds: what the price is worth.
        memo: what for.
        deliver: when the other group can be reached, or now.
        refund_of: the payment that it gives back, or "".
        other_amounts: nearest ones, when none is exactly what was typed.
        is_local: nobody outside of the group has part in it.
        stands_in_the_way: why it could not be paid now, or "".
    """

    payee: Payee
    quote: QuoteAnswer
    own_milliseconds: int
    memo: str
    deliver: str
    refund_of: str
    other_amounts: list[AmountsAnswer]
    is_local: bool
    stands_in_the_way: str


#: What is missing: the payee, or with her the amount or memo; and why.
Missing = tuple[Payee | None, Problem]


class Drafts:
    """Makes drafts.

    Args:
        payees: finds people.
        payments: knows prices.
        asks: opens links.
        accounts: knows what a member has left to spend.
    """

    def __init__(
        self, payees: Payees, payments: Payments, asks: Asks, accounts: AccountApi
    ) -> None:
        self._payees = payees
        self._payments = payments
        self._asks = asks
        self._accounts = accounts

    def own_unit(self) -> UnitAnswer:
        """Give the own group's unit."""
        return unit_answer(self._payments.own_record())

    def unit_of(self, group: Group) -> UnitAnswer:
        """Give a group's unit."""
        return unit_answer(self._payments.record(group))

    def rate_of(self, address: str) -> int:
        """Say what a minor unit of an address's group is worth, milliseconds."""
        return self._payments.record(read_address(address)[1]).rate

    async def find(
        self, caller: Caller, typed: str, *, is_sure: object = ""
    ) -> Payee | list[PayeeAnswer]:
        """Find who is meant by an address, or by a name in the own group.

        Args:
            caller: who looks.
            typed: as she typed it: capitals and spaces do no harm in an address.
            is_sure: an address without a name will do.

        Returns:
            One; or those who may be meant, none of them by their account.

        Raises:
            MalformedMessageError: nothing that anyone could be found by.
            Problem: nobody has that address, no such group, or asked too often.
        """
        address = "".join(typed.split()).lower()
        if "@" in address:
            account, group = read_address(address)
            return await self._find_account(caller, account, group, is_sure=is_sure)
        own = self._payees.own
        if is_account(address):
            found = await self._find_local(caller, read_account(address))
            if found is not None:
                return _seen(found)
        return await self._payees.find_name(caller, " ".join(typed.split()), own)

    async def _find_local(
        self, caller: Caller, account: AccountName
    ) -> PayeeAnswer | None:
        try:
            return await self._payees.find_account(caller, account, self._payees.own)
        except Problem as problem:
            if problem.code == RefusalCode.UNKNOWN_ACCOUNT:
                return None
            raise

    async def _find_account(
        self, caller: Caller, account: AccountName, group: Group, *, is_sure: object
    ) -> Payee:
        record = self._payments.record(group)
        try:
            return _seen(await self._payees.find_account(caller, account, group))
        except Problem as problem:
            hidden = problem.code == RefusalCode.UNKNOWN_ACCOUNT and is_sure
            if not hidden and problem.code != RefusalCode.PAYEE_UNREACHABLE:
                raise
        address = write_address(account, group)
        return Payee(address, "", record.entry.name, unit_answer(record))

    async def draft(
        self, caller: Caller, typed: PayFields, language: Language
    ) -> Draft | Missing:
        """Make a draft, or say what is missing for one."""
        try:
            payee, amount, memo = await self._whom(caller, typed)
        except (Problem, MalformedMessageError) as error:
            if isinstance(error, Problem):
                return None, error
            return None, Problem(422, "no-to", str(error))
        side: Literal["payee", "payer"]
        side = "payer" if typed.side == "payer" else "payee"
        try:
            if amount is None:
                unit = self.own_unit() if side == "payer" else payee.unit
                amount = _read(typed.amount, unit, language)
            quote = await self._payments.quote(caller, payee.address, amount, side)
        except Problem as problem:
            return payee, problem
        try:
            read_memo(memo)
        except MalformedMessageError as error:
            return payee, Problem(422, "memo-long", str(error))
        is_exact = side == "payee" or quote.payer_amount == amount
        others = [] if is_exact else quote.nearest
        return await self._drafted(caller, typed, payee, quote, memo, others)

    async def _whom(
        self, caller: Caller, typed: PayFields
    ) -> tuple[Payee, int | None, str]:
        """Say who is to be paid; and how much and what for where that is fixed."""
        if typed.ask:
            opened = await self._asks.open(caller, typed.ask)
            payee = Payee(opened.to, opened.name, opened.group_name, opened.payee_unit)
            memo = opened.memo if opened.amount is not None else typed.memo
            return payee, opened.amount, memo
        to, sure = typed.to, typed.unseen
        if typed.refund_of:
            transfer = await self._payments.transfer(caller, typed.refund_of)
            answer = await self._payments.answer(caller, transfer, "en")
            # Who has paid is there, whether or not she wants to be found.
            to, sure = answer.payer, "yes"
        found = await self.find(caller, to, is_sure=sure)
        if isinstance(found, list):
            if len(found) != 1:
                raise Problem(404, "nobody-found", to)
            found = _seen(found[0])
        return found, None, typed.memo

    async def _drafted(
        self,
        caller: Caller,
        typed: PayFields,
        payee: Payee,
        quote: QuoteAnswer,
        memo: str,
        others: list[AmountsAnswer],
    ) -> Draft:
        account = await self._accounts.account(caller)
        own = self._payments.own_record()
        way = ""
        if account.state == "closed":
            way = RefusalCode.ACCOUNT_CLOSED
        elif account.state == "frozen":
            way = RefusalCode.ACCOUNT_FROZEN
        elif account.available is not None and quote.payer_amount > account.available:
            way = RefusalCode.PAYER_FLOOR
        is_local = payee.address.endswith(f"@{self._payees.own}")
        if not way and not is_local:
            way = _IN_THE_WAY.get(self._payments.own_standing(), "")
        return Draft(
            payee=payee,
            quote=quote,
            own_milliseconds=quote.payer_amount * own.rate,
            memo=memo,
            deliver=typed.deliver if typed.deliver == "when_reachable" else "now",
            refund_of=typed.refund_of,
            other_amounts=others,
            is_local=is_local,
            stands_in_the_way=way,
        )


def is_account(text: str) -> bool:
    """Say whether a text could be an account's name."""
    try:
        read_account(text)
    except MalformedMessageError:
        return False
    return True


def _read(typed: str, unit: UnitAnswer, language: Language) -> int:
    found = read_amount(typed, unit.decimals, language)
    if isinstance(found, AmountFault):
        extra: dict[str, object] = {"unit": unit.plural, "decimals": unit.decimals}
        if found is AmountFault.TOO_LARGE:
            raise refused(RefusalCode.AMOUNT_OUT_OF_RANGE)
        raise Problem(422, f"amount-{found}", f"Found {typed!r}.", extra=extra)
    return found


def _seen(found: PayeeAnswer) -> Payee:
    return Payee(found.address, found.name, found.group_name, found.unit)
