"""Asking for a payment, and opening what somebody else asks.

Between the API and the law in ``protocol.ask``. Nothing is stored: an ask that is
lost is made again, and one that is paid is an ordinary payment (``nodes.payments``).
"""

import io
import uuid
from typing import Annotated

import msgspec
import segno
from msgspec import Meta

from nodes.house import NodeHouse
from nodes.payment_answers import AmountField, QuoteAnswer, refused, unit_answer
from nodes.payments import Payments
from protocol.address import AccountName, Group, write_address
from protocol.ask import (
    ASK_DAYS_MAX,
    ASK_MEMO_LENGTH_MAX,
    Ask,
    read_ask,
    write_ask,
    write_link,
)
from protocol.errors import AskRefusalCode, RefusalCode
from protocol.inquiry import OPEN_STATES
from protocol.instant import Instant, write_instant
from protocol.peer.access_store import Caller
from protocol.peer.clock import Clock
from protocol.peer.web.problems import Problem
from protocol.peer.web.units import UnitAnswer
from protocol.unit import Amount, quote

_DAY_MS = 86_400_000
#: Quiet modules around a QR code, as ISO/IEC 18004 asks.
_QUIET = 4
_STATUS = {AskRefusalCode.TOO_LONG: 413, AskRefusalCode.UNREADABLE: 400}


class AskRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for ``amount`` minor units of the own unit; null: the payer chooses.

    The link counts for ``days``.
    """

    amount: AmountField | None
    memo: Annotated[str, Meta(max_length=ASK_MEMO_LENGTH_MAX)] = ""
    days: Annotated[int, Meta(ge=1, le=ASK_DAYS_MAX)] = 14


class AskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An ask to hand on: as signed text, as a link, and as a QR code of the link.

    ``qr_svg`` is a picture without a size of its own: it fills what it is put in.
    """

    ask: str
    link: str
    until: str
    qr_svg: str


class OpenAskRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The link that somebody gave, or the signed text behind its ``#``."""

    ask: str


class OpenAskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for what, as that person's group signed it.

    ``amount`` is minor units of ``payee_unit``; null: the payer chooses, and there
    is no quote. Under the key ``ask-`` and ``id`` one payer pays it once.
    """

    id: str
    to: str
    name: str
    group_name: str
    amount: int | None
    memo: str
    until: str
    payee_unit: UnitAnswer
    quote: QuoteAnswer | None


class Asks:
    """A node's asks.

    Args:
        house: has the group's key and knows the directory.
        payments: knows members, units and prices.
        clock: says what has expired.
        public_url: where links lead.
    """

    def __init__(
        self, house: NodeHouse, payments: Payments, clock: Clock, public_url: str
    ) -> None:
        self._house = house
        self._payments = payments
        self._clock = clock
        self._public_url = public_url

    async def make(self, caller: Caller, wanted: AskRequest) -> AskAnswer:
        """Sign an ask in the caller's name.

        Raises:
            Problem: she has left or is frozen, or cannot ask for so much.
        """
        self._payments.check_may_change()
        member = await self._payments.account(caller)
        if member.account.closed:
            raise refused(RefusalCode.ACCOUNT_CLOSED)
        if member.account.frozen:
            raise refused(RefusalCode.ACCOUNT_FROZEN)
        own = self._payments.own_record()
        if wanted.amount is not None and not _is_payable(wanted.amount, own.rate):
            raise refused(RefusalCode.AMOUNT_OUT_OF_RANGE)
        now = self._clock.now()
        until = write_instant(Instant(now + wanted.days * _DAY_MS))
        ask = Ask(
            v=1,
            federation=self._house.federation,
            id=str(uuid.uuid4()),
            group=self._house.own,
            account=member.account.account_id,
            name=member.name,
            amount=wanted.amount,
            rate=own.rate_version,
            memo=wanted.memo,
            at=write_instant(now),
            until=until,
        )
        signed = write_ask(ask, self._house.own_key)
        link = write_link(self._public_url, signed)
        return AskAnswer(ask=signed, link=link, until=until, qr_svg=draw_qr(link))

    async def open(self, caller: Caller, text: str) -> OpenAskAnswer:
        """Say who asks for what, and what it would cost the caller.

        Raises:
            Problem: it cannot be paid, or not by the caller.
        """
        await self._payments.account(caller)
        self._payments.own_record()
        house = self._house
        ask = read_ask(text, house.federation, house.trusted, self._clock.now())
        if isinstance(ask, AskRefusalCode):
            told = f"Refused: {ask}. Nothing was done."
            raise Problem(_STATUS.get(ask, 422), "ask-refused", told, code=ask)
        if (ask.account, ask.group) == (caller.account_id, house.own):
            raise refused(RefusalCode.SAME_ACCOUNT)
        record = house.directory[Group(ask.group)]
        if record.state not in OPEN_STATES:
            raise refused(RefusalCode.GROUP_FROZEN)
        to = write_address(AccountName(ask.account), Group(ask.group))
        quoted = None
        if ask.amount is not None:
            quoted = await self._payments.quote(caller, to, ask.amount, "payee")
        return OpenAskAnswer(
            id=ask.id,
            to=to,
            name=ask.name,
            group_name=record.entry.name,
            amount=ask.amount,
            memo=ask.memo,
            until=ask.until,
            payee_unit=unit_answer(record),
            quote=quoted,
        )


def _is_payable(amount: int, rate: int) -> bool:
    return quote(Amount(amount), rate, rate) is not None


def draw_qr(link: str) -> str:
    """Draw a link as a QR code; the lowest correction makes the largest modules."""
    drawn = io.BytesIO()
    segno.make_qr(link, error="l").save(
        drawn,
        kind="svg",
        border=_QUIET,
        dark="black",
        # Not left open: black on a dark page is no code.
        light="white",
        xmldecl=False,
        omitsize=True,
    )
    return drawn.getvalue().decode("ascii").rstrip("\n")
