"""Paying: quotes, orders, and what became of them, as members see it.

Between the API (and later the pages) and the clerk: it draws the chance that an
order needs, asks the clerk, and words the answer. What may be paid is decided in
``nodes.rules``.
"""

import asyncio
import secrets
from typing import Literal

from nodes import member_store
from nodes.house import NodeHouse
from nodes.payment_answers import (
    AmountsAnswer,
    QuoteAnswer,
    StepAnswer,
    StepName,
    TransferAnswer,
    TransferRequest,
    as_ordered,
    body_hash,
    must_wait,
    party,
    refused,
    unit_answer,
)
from nodes.rules import CancelWish, MustWait, Order, Ordered, OtherBody, read_content
from protocol import address, refund
from protocol.address import HUB, Group
from protocol.base64url import write_base64url
from protocol.directory import GroupRecord
from protocol.errors import RefusalCode
from protocol.instant import Instant, write_instant, write_nullable
from protocol.messages import Content
from protocol.peer import ledger_store, link_store, transfer_store
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk
from protocol.peer.courier import Courier
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.words import Language, refusal, say
from protocol.sealing import NONCE_LENGTH, SALT_LENGTH
from protocol.transfer import Role, State, Transfer
from protocol.unit import Amount, Quote, quote, quote_for_payer

_ENDED = (State.CLEARED, State.REFUSED)


class Payments:
    """A node's payments.

    Args:
        house: knows the directory.
        clerk: books.
        courier: knows whether the hub answers.
        database: read only here.
    """

    def __init__(
        self, house: NodeHouse, clerk: Clerk, courier: Courier, database: Database
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._courier = courier
        self._database = database

    async def account(self, caller: Caller) -> member_store.Member:
        """Give the caller's own account; 404 for someone who has none."""
        async with self._database.readers.acquire() as connection:
            found = await member_store.read_member(connection, caller.account_id or "")
        if found is None:
            raise Problem(404, "not-found", "You have no account in this group.")
        return found

    def own_record(self) -> GroupRecord:
        """Give our own entry; raises ``OutageError`` until this server is open."""
        self._clerk.check_ready()
        return self._house.own_record()

    def own_position(self) -> int:
        """Give the group's position, milliseconds; above zero it is owed."""
        return self._house.position

    def own_standing(self) -> str:
        """Say how the group stands between groups; "": it trades as always.

        One that is leaving may still be paid (``leaving-owes``), pay
        (``leaving-owed``) or neither (``leaving-even``).
        """
        state, position = self.own_record().state, self._house.position
        if state == "active":
            return ""
        if state != "leaving":
            return state
        if position == 0:
            return "leaving-even"
        return "leaving-owes" if position < 0 else "leaving-owed"

    def record(self, group: Group) -> GroupRecord:
        """Give a group's entry; raises ``Problem`` for one that nobody knows."""
        record = self._house.directory.get(group)
        if record is None:
            raise refused(RefusalCode.UNKNOWN_GROUP)
        return record

    def check_may_change(self) -> None:
        """Raise ``RestoredError`` while this server, restored, changes nothing."""
        self._clerk.check_may_change()

    async def quote(
        self, caller: Caller, to: str, amount: int, side: Literal["payee", "payer"]
    ) -> QuoteAnswer:
        """Say what a payment would be, without doing anything."""
        payer = (await self.account(caller)).account
        account, group = address.read_address(to)
        if (account, group) == (payer.account_id, self._house.own):
            raise refused(RefusalCode.SAME_ACCOUNT)
        own, other = self.own_record(), self.record(group)
        nearest: list[Quote] = []
        found: Quote | None
        if side == "payee":
            found = quote(Amount(amount), own.rate, other.rate)
        else:
            below, above = quote_for_payer(Amount(amount), own.rate, other.rate)
            nearest = [one for one in (below, above) if one is not None]
            if below is None and above is not None:
                raise refused(RefusalCode.AMOUNT_TOO_SMALL, nearest=_amounts(nearest))
            found = below
        if found is None:
            raise refused(RefusalCode.AMOUNT_OUT_OF_RANGE)
        return QuoteAnswer(
            to=address.write_address(account, group),
            payee_amount=found.payee_amount,
            milliseconds=found.milliseconds,
            payer_amount=found.payer_amount,
            payee_unit=unit_answer(other),
            payer_unit=unit_answer(own),
            nearest=_amounts(nearest),
            balance_after=payer.balance - payer.held_out - found.payer_amount,
        )

    async def order(
        self,
        member: member_store.Member,
        key: str,
        asked: TransferRequest,
        author: str | None = None,
    ) -> Ordered:
        """Order a payment; gives the transfer once it is durable.

        Args:
            member: who pays.
            key: the Idempotency-Key.
            asked: what she asks for.
            author: the person who asks for it in her name, if she does not herself.

        Raises:
            Problem: refused (422), the key was used for another body (422), or too
                much of hers was refused in other groups in this hour (429).
            OutageError: not known; ask again under the same key.
        """
        key = address.read_idempotency_key(key)
        memo = address.read_memo(asked.memo)
        account, group = address.read_address(asked.to)
        self.own_record()
        payer = address.AccountName(member.account.account_id)
        payer_address = address.write_address(payer, self._house.own)
        # A member's key holds no space: what is ordered in her name is never taken
        # for something that she ordered herself under the same key.
        whole_key = key if author is None else f"{author} {key}"
        order = Order(
            transfer_id=address.transfer_id(
                self._house.federation, payer_address, whole_key
            ),
            payer=payer,
            name=member.name,
            payee=account,
            payee_group=group,
            payee_amount=Amount(asked.payee_amount),
            payer_amount_max=asked.payer_amount_max,
            memo=memo,
            deliver=asked.deliver,
            salt=write_base64url(secrets.token_bytes(SALT_LENGTH)),
            nonce=secrets.token_bytes(NONCE_LENGTH),
            hub_now=self._clerk.peer_now(HUB),
            is_hub_reachable=self._courier.is_reachable(),
            caller=author or payer,
            key=key,
            body_hash=body_hash(asked, None if author is None else payer),
            refund_of=asked.refund_of,
            original=await self._content(asked.refund_of),
            author=author,
        )
        match await self._clerk.take(order):
            case Ordered() as ordered:
                return ordered
            case RefusalCode() as code:
                raise refused(code)
            case MustWait(wait_s):
                raise must_wait(wait_s)
            case OtherBody():
                raise Problem(
                    422,
                    "idempotency-key-reused",
                    "This Idempotency-Key was used for another payment.",
                )
            case outcome:
                raise AssertionError(f"an order cannot end in {outcome!r}")

    async def _content(self, transfer_id: str | None) -> Content | None:
        """Read what a transfer of ours was for; for the rule, which looks whose."""
        transfer = None if transfer_id is None else await self._read(transfer_id)
        return None if transfer is None else read_content(await self._line(transfer))

    async def _line(self, transfer: Transfer) -> bytes | None:
        async with self._database.readers.acquire() as connection:
            return await transfer_store.read_content(connection, transfer.content)

    async def _read(self, transfer_id: str) -> Transfer | None:
        async with self._database.readers.acquire() as connection:
            found = await transfer_store.read(connection, [transfer_id])
        return found.get(transfer_id)

    async def transfer(self, caller: Caller, transfer_id: str) -> Transfer:
        """Give one of the caller's transfers; anyone else's is a 404."""
        transfer = None
        if _is_id(transfer_id):
            transfer = await self._read(transfer_id)
        if transfer is None or not _is_party(caller, transfer):
            raise Problem(404, "not-found", "You have no such payment.")
        return transfer

    async def ordered_under(self, account: str, key: str) -> str | None:
        """Give the transfer that a member has ordered under a key, if she has."""
        payer = address.write_address(address.AccountName(account), self._house.own)
        key = address.read_idempotency_key(key)
        found = address.transfer_id(self._house.federation, payer, key)
        return found if await self._read(found) is not None else None

    async def of_member(self, transfer_id: str) -> tuple[Caller, Transfer]:
        """Give any of our members' transfers, and how to word it as for her."""
        transfer = await self._read(transfer_id) if _is_id(transfer_id) else None
        if transfer is None or not transfer.account:
            raise Problem(404, "not-found", "This group has no such payment.")
        return acting_for(transfer.account), transfer

    async def cancel(self, caller: Caller, transfer_id: str) -> Transfer:
        """Ask the hub to call one of the caller's own payments off."""
        transfer = await self.transfer(caller, transfer_id)
        if (transfer.role, transfer.account) != (Role.PAYER, caller.account_id):
            raise Problem(
                403, "not-yours-to-cancel", "Only the one who pays can call it off."
            )
        outcome = await self._clerk.take(CancelWish(transfer_id=transfer_id))
        assert isinstance(outcome, Ordered), "it was there just now"
        return outcome.transfer

    async def wait(self, transfer: Transfer, wait_s: int) -> Transfer:
        """Wait until a transfer has ended, or for so many seconds."""
        if transfer.state in _ENDED:
            return transfer
        try:
            async with asyncio.timeout(wait_s):
                # It may have changed since it was given: look once, then be told.
                changed = self._house.watch(transfer.transfer_id)
                transfer = await self._newest(transfer)
                while transfer.state not in _ENDED:
                    transfer = await asyncio.shield(changed)
                    if transfer.state not in _ENDED:
                        changed = self._house.watch(transfer.transfer_id)
        except TimeoutError:
            pass
        return transfer

    async def _newest(self, transfer: Transfer) -> Transfer:
        recent = self._house.recent(transfer.transfer_id)
        return recent or await self._read(transfer.transfer_id) or transfer

    async def answer_ordered(
        self, caller: Caller, ordered: Ordered, wait_s: int, language: Language
    ) -> TransferAnswer:
        """Word an order for its payer, at once or when it has ended.

        Args:
            caller: the member who pays.
            ordered: the order's transfer, new or found again.
            wait_s: how long she waits for its end; 0: she is answered at once, and
                the same each time.
            language: hers.
        """
        if wait_s:
            transfer = await self.wait(ordered.transfer, wait_s)
        else:
            transfer = as_ordered(ordered.transfer)
        return await self.answer(
            caller, transfer, language, ordered.content, is_retry=not wait_s
        )

    async def answer(
        self,
        caller: Caller,
        transfer: Transfer,
        language: Language,
        line: bytes | None = None,
        *,
        is_retry: bool = False,
    ) -> TransferAnswer:
        """Word a transfer for its member.

        Args:
            caller: the member, payer or payee.
            transfer: as it stands.
            language: the member's.
            line: its content line, where that is at hand.
            is_retry: an order is answered, the same each time it is given.
        """
        if line is None:
            line = await self._line(transfer)
        content = read_content(line)
        mine = (Role.PAYER, caller.account_id)
        sign = -1 if (transfer.role, transfer.account) == mine else 1
        return TransferAnswer(
            id=transfer.transfer_id,
            state=self.state_of(transfer),
            payer=party(content.payer if content else None, transfer.payer_group),
            payee=party(content.payee if content else None, transfer.payee_group),
            payee_amount=content.payee_amount if content else None,
            payer_amount=content.payer_amount if content else None,
            milliseconds=transfer.milliseconds,
            amount=sign * transfer.amount,
            unit=unit_answer(self.own_record()),
            memo=content.memo if content else None,
            deliver=transfer.deliver or None,
            code=transfer.code,
            told=self._told(transfer, language, is_retry=is_retry),
            ordered_at=write_instant(transfer.taken_at),
            decide_by=write_instant(transfer.decide_by),
            decided_at=write_nullable(transfer.decided_at),
            refund_of=transfer.refund_of,
            refunded=transfer.refunded,
            booked_by="treasurer" if transfer.author else None,
            refundable=self._refundable(caller, transfer, content),
        )

    def _told(
        self, transfer: Transfer, language: Language, *, is_retry: bool
    ) -> str | None:
        """Say why, and what to do; of what goes as it should, nothing."""
        if transfer.code:
            return refusal(transfer.code, language)
        is_late = (
            transfer.deliver == "now"
            and transfer.state not in _ENDED
            and self._clerk.peer_now(HUB) >= transfer.decide_by
        )
        return say("payment.late", language, {}) if is_late and not is_retry else None

    def _refundable(
        self, caller: Caller, transfer: Transfer, content: Content | None
    ) -> int | None:
        """Say how much the caller may still give back of what she was paid."""
        payer = self._house.directory.get(Group(transfer.payer_group))
        if (
            transfer.state is not State.CLEARED
            or transfer.payee_group != self._house.own
            or content is None
            or content.payee != caller.account_id
            or payer is None
        ):
            return None
        if transfer.payer_group == transfer.payee_group:
            # Counted in units: what is left of the original at its own rate.
            rate = payer.entry.rates[transfer.payee_rate - 1].milliseconds
            return refund.largest(transfer, rate, rate)
        return refund.largest(transfer, self.own_record().rate, payer.rate)

    async def steps(self, transfer: Transfer) -> list[StepAnswer]:
        """Say when a transfer took which step, as this node saw it, in order.

        It reads two rows more, so only whoever looks at one transfer asks for it.
        """
        number, sent = transfer.item_number, None
        is_payer = transfer.role is Role.PAYER
        async with self._database.readers.acquire() as connection:
            if is_payer and number is not None and self._is_sent(transfer, number):
                sent = await link_store.read_sealed_at(connection, HUB, number)
            booked = await ledger_store.read_booked_at(connection, transfer.transfer_id)
        # What a payee's node refused itself, it never accepted; nor was it decided.
        was_accepted = transfer.state is not State.REFUSED or transfer.decided_at
        times: dict[StepName, Instant | None] = {
            "ordered": transfer.taken_at if is_payer else None,
            "sent": sent,
            "accepted": transfer.taken_at if not is_payer and was_accepted else None,
            "decided": transfer.decided_at,
            "booked": booked,
        }
        return [
            StepAnswer(step, write_instant(at))
            for step, at in times.items()
            if at is not None
        ]

    def state_of(self, transfer: Transfer) -> str:
        """Say in one word how a transfer stands.

        An order is *sent* once the hub has acknowledged its prepare.
        """
        number = transfer.item_number
        if transfer.state is not State.ORDERED or number is None:
            return transfer.state.value
        is_sent = self._is_sent(transfer, number)
        return "sent" if is_sent else transfer.state.value

    def _is_sent(self, transfer: Transfer, number: int) -> bool:
        """What the hub has decided on or acknowledged has reached it."""
        if transfer.decided_at is not None:
            return True
        return number <= self._clerk.link(HUB).acknowledged


def _amounts(quotes: list[Quote]) -> list[AmountsAnswer]:
    return [
        AmountsAnswer(one.payee_amount, one.milliseconds, one.payer_amount)
        for one in quotes
    ]


def acting_for(account: str) -> Caller:
    """Look at a payment as this member would, for someone who acts in her name."""
    return Caller(person_id="", account_id=account, scopes=frozenset())


def _is_party(caller: Caller, transfer: Transfer) -> bool:
    # Inside the group one row stands for both members.
    return caller.account_id in (transfer.account, transfer.other)


def _is_id(text: str) -> bool:
    return address.UUID.fullmatch(text) is not None
