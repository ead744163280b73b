"""What members, treasurers and the regional admin do, and what they were told.

This is the history that the checker compares with the ledgers: every wish was
invoked, and its answer was ok, refused, or never came (unknown). A wish whose answer
never came may be asked again under its key, and must then get the one true answer.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from clearing.rules import Approve, Freeze, Limit, Release, SetCap
from nodes.rules import (
    CancelWish,
    MemberChange,
    MustWait,
    Order,
    Ordered,
    OtherBody,
    Propose,
    Standing,
    read_content,
)
from protocol.address import HUB, AccountName, Group, transfer_id, write_address
from protocol.base64url import write_base64url
from protocol.directory import sign_entry
from protocol.errors import OutageError, RefusalCode
from protocol.instant import Instant
from protocol.messages import EntryRate
from protocol.peer import transfer_store
from protocol.transfer import Transfer
from protocol.unit import Amount
from tests.protocol.makers import hash_of
from tests.simulator.cycle_people import CyclePeople
from tests.simulator.federation import Federation
from tests.simulator.ledger_people import LedgerPeople
from tests.simulator.life_people import LifePeople
from tests.simulator.servers import UNKNOWN


@dataclass
class Wish:
    """One order of a member's, and what she was told of it.

    Attributes:
        told: ``invoked``, ``ok``, ``refused``, ``other-body``, ``wait`` or ``unknown``.
        ids: every transfer that she was told is hers under this key.
        code: the reason that she was told last, if any.
        could_reach: her node heard the hub when she asked last.
        asked_at: the hub's time, as her node reckoned it, whenever she asked.
    """

    group: str
    member: str
    key: str
    payee: str
    payee_group: str
    payee_amount: int
    payer_amount_max: int
    deliver: str
    refund_of: str | None
    transfer_id: str
    told: str = "invoked"
    was_ok: bool = False
    was_refused: bool = False
    tries: int = 0
    code: str = ""
    could_reach: bool = True
    asked_at: list[int] = field(default_factory=list)

    @property
    def body_hash(self) -> str:
        """Name what was asked."""
        asked = (
            self.payee,
            self.payee_group,
            self.payee_amount,
            self.payer_amount_max,
            self.deliver,
            self.refund_of,
        )
        return hash_of(repr(asked))


class People:
    """Everyone outside of the servers.

    Attributes:
        wishes: all orders, oldest first.
        cycles: what the regional admin and treasurers do about cycles.
        lives: what they do about groups that leave, and what is shared.
        ledgers: what treasurers do on their own ledgers.
    """

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.world = federation.world
        self.cycles = CyclePeople(federation)
        self.lives = LifePeople(federation)
        self.ledgers = LedgerPeople(federation, self)
        self.wishes: list[Wish] = []
        #: Transfers that somebody wished to call off.
        self.cancelled: set[str] = set()
        #: Told of every order that is not even looked at.
        self.on_no: Callable[[Wish], None] = lambda _: None
        #: Told of every change of an account that was answered with yes.
        self.on_changed: Callable[[str, str, dict[str, object]], None] = lambda *_: None
        #: Told of every order of the regional admin's that was answered.
        self.on_decided: Callable[[object, object], None] = lambda *_: None
        #: By group, account and which: every freeze and release that was wished.
        self.freezes: set[tuple[str, str, bool]] = set()
        self._keys: Counter[str] = Counter()
        #: By address: how many changes of an account were ever asked for.
        self.changes: Counter[str] = Counter()
        #: By server and account, every floor and ceiling that somebody has set.
        self.limits: dict[tuple[str, str], set[tuple[int | None, int | None]]] = {}
        for group, node in federation.nodes.items():
            home = node.home
            self.limits[HUB, group] = {(home.floor, home.ceiling)}
            for name, limits in home.members.items():
                self.limits[group, name] = {limits}

    def pay(
        self,
        payer: str,
        payee: str,
        amount: int,
        *,
        deliver: str = "now",
        refund_of: str | None = None,
        key: str | None = None,
        most: int | None = None,
    ) -> Wish:
        """Order a payment; addresses are ``marie@oostende``.

        Who says nothing of the ``most`` that she pays has just seen the price.
        """
        member, _, group = payer.partition("@")
        other, _, payee_group = payee.partition("@")
        # Everyone counts her own: two members' keys are the same word.
        self._keys[payer] += 1
        key = key or f"key-{self._keys[payer]}"
        node = self.federation.nodes[group]
        there = self.federation.nodes.get(payee_group, node)
        own, theirs = node.home.rate, there.home.rate
        if node.is_up:
            own = node.house.directory[Group(group)].rate
            record = node.house.directory.get(Group(payee_group))
            theirs = record.rate if record else theirs
        price = -(-amount * theirs // own)
        wish = Wish(
            group=group,
            member=member,
            key=key,
            payee=other,
            payee_group=payee_group,
            payee_amount=amount,
            payer_amount_max=price if most is None else most,
            deliver=deliver,
            refund_of=refund_of,
            transfer_id=transfer_id(
                self.federation.hub.federation,
                write_address(AccountName(member), Group(group)),
                key,
            ),
        )
        self.wishes.append(wish)
        told = f"{payer} pays {payee} {amount} units as {key}"
        if deliver != "now":
            told += " when reachable"
        if refund_of is not None:
            back = next(w for w in self.wishes if w.transfer_id == refund_of)
            told += f" back {back.member}@{back.group}:{back.key}"
        self.world.note(told)
        self.ask(wish)
        return wish

    def ask(self, wish: Wish) -> None:
        """Order it, or ask again under its key."""
        node, world = self.federation.nodes[wish.group], self.world
        wish.tries += 1
        wish.told, wish.could_reach = "unknown", node.is_reachable()
        if wish.tries > 1:
            world.note(f"{wish.member}@{wish.group} asks again {wish.key}")
        world.tell(
            "{}@{} pays {}@{} {} ({}, {}{})",
            wish.member,
            wish.group,
            wish.payee,
            wish.payee_group,
            wish.payee_amount,
            wish.deliver,
            wish.key,
            "" if wish.tries == 1 else ", again",
        )
        clerk = node.clerk
        # Whoever was admitted since a backup is not there any more when it is back.
        if clerk is None or wish.member not in node.database.table("account"):
            return
        draw = world.draw
        wish.asked_at.append(clerk.peer_now(HUB))
        order = Order(
            transfer_id=wish.transfer_id,
            payer=wish.member,
            name=wish.member.title(),
            payee=wish.payee,
            payee_group=Group(wish.payee_group),
            payee_amount=Amount(wish.payee_amount),
            payer_amount_max=wish.payer_amount_max,
            memo=f"for {wish.key}",
            deliver=wish.deliver,
            salt=write_base64url(draw.randbytes(16)),
            nonce=draw.randbytes(24),
            hub_now=Instant(wish.asked_at[-1]),
            is_hub_reachable=wish.could_reach,
            caller=wish.member,
            key=wish.key,
            body_hash=wish.body_hash,
            refund_of=wish.refund_of,
            original=self._content(wish),
        )
        node.submit(order, lambda outcome: self._note(wish, outcome))

    def _content(self, wish: Wish) -> object:
        node = self.federation.nodes[wish.group]
        row = node.database.table("transfer").get(wish.refund_of)
        if row is None:
            return None
        line = node.read(
            lambda connection: transfer_store.read_content(connection, row["content"])
        )
        return read_content(line)

    def _note(self, wish: Wish, outcome: object) -> None:
        """Keep what she was told."""
        match outcome:
            case Ordered(transfer=Transfer() as transfer):
                assert transfer.transfer_id == wish.transfer_id
                wish.told, wish.was_ok = "ok", True
            case RefusalCode():
                wish.told, wish.code = "refused", outcome.value
                # The same order may well succeed when the hub is back.
                wish.was_refused |= outcome is not RefusalCode.HUB_UNREACHABLE
                if outcome is RefusalCode.HUB_UNREACHABLE:
                    self.on_no(wish)
            case MustWait():
                wish.told = "wait"
                self.on_no(wish)
            case OtherBody():
                wish.told = "other-body"
                self.on_no(wish)
            case _:
                assert outcome is UNKNOWN, outcome
                wish.told = "unknown"
        self.world.tell("{}@{} is told: {}", wish.member, wish.group, _word(outcome))

    def cancel(self, wish: Wish) -> None:
        """Wish to call a payment off."""
        self.world.tell("{}@{} cancels {}", wish.member, wish.group, wish.key)
        self.world.note(f"{wish.member}@{wish.group} cancels {wish.key}")
        node = self.federation.nodes[wish.group]
        self.cancelled.add(wish.transfer_id)
        node.submit(CancelWish(transfer_id=wish.transfer_id), lambda _: None)

    def change_member(self, address: str, **changes: object) -> None:
        """Let the treasurer change a member's limits, freeze or release her."""
        member, _, group = address.partition("@")
        self.world.tell("the treasurer changes {}: {}", address, changes)
        self.world.note(_words_of_change(address, changes))
        if "floor" in changes:
            limits = changes["floor"], changes["ceiling"]
            self.limits[group, member].add(limits)  # type: ignore[arg-type]
        if "frozen" in changes:
            self.freezes.add((group, member, bool(changes["frozen"])))
        change = MemberChange(account_id=member, author="treasurer", **changes)  # type: ignore[arg-type]
        end = self.ledgers.begin_change(group, {member: changes})

        def note(outcome: object) -> None:
            # A later change of the same batch may have undone it again.
            if end() and isinstance(outcome, Standing):
                self.on_changed(group, member, changes)

        self.federation.nodes[group].submit(change, note)

    def freeze(self, group: str) -> None:
        """Let the regional admin freeze a group."""
        self.world.note(f"admin freezes {group}")
        self._decide(Freeze(Group(group)))

    def release(self, group: str) -> None:
        """Let the regional admin release a group."""
        self.world.note(f"admin releases {group}")
        self._decide(Release(Group(group)))

    def limit(self, group: str, floor: int, ceiling: int) -> None:
        """Let the regional admin limit a group's position."""
        self.limits[HUB, group].add((floor, ceiling))
        self.world.note(f"admin limits {group} {floor} .. {ceiling}")
        self._decide(Limit(Group(group), floor, ceiling, even_outside=True))

    def cap(self, payer: str, payee: str, milliseconds: int) -> None:
        """Let the regional admin cap what one group pays another in a month."""
        self.world.note(f"admin caps {payer} {payee} {milliseconds}")
        self._decide(
            SetCap(
                payer=Group(payer),
                payee=Group(payee),
                milliseconds=milliseconds,
                author="@admin",
                reason="agreed",
            )
        )

    def _decide(self, order: object) -> None:
        self.world.tell("the regional admin: {}", order)
        self.federation.hub.submit(order, lambda told: self.on_decided(order, told))

    def propose_rate(self, group: str, rate: int) -> None:
        """Let a treasurer ask for another rate."""
        self.world.note(f"{group} wants rate {rate}")
        node = self.federation.nodes[group]
        if not node.is_up or Group(group) not in node.house.directory:
            return
        self.world.tell("the treasurer of {} asks for the rate {}", group, rate)
        entry = node.house.own_record().entry
        rates = [*entry.rates, EntryRate(len(entry.rates) + 1, rate)]
        wanted = msgspec.structs.replace(entry, version=entry.version + 1, rates=rates)
        try:
            signed = sign_entry(wanted, node.house.own_key)
        except OutageError:
            # Her node has lost its keys, and waits for new ones.
            return
        node.submit(Propose(entry=wanted, signed=signed), lambda _: None)

    def approve(self, group: str) -> None:
        """Let the regional admin approve what a group has asked for."""
        self.world.note(f"admin approves {group}")
        hub = self.federation.hub
        if hub.is_up and Group(group) in hub.house.proposals:
            number = hub.house.proposals[Group(group)].number
            self._decide(Approve(Group(group), number))


def _words_of_change(address: str, changes: dict[str, object]) -> str:
    """Say a treasurer's change as the script has it."""
    if "frozen" in changes:
        verb = "freezes" if changes["frozen"] else "releases"
        return f"treasurer {verb} {address}"
    return f"treasurer limits {address} {changes['floor']} .. {changes['ceiling']}"


def _word(outcome: object) -> str:
    match outcome:
        case Ordered(transfer=transfer):
            return transfer.state.value
        case RefusalCode():
            return f"refused, {outcome.value}"
        case _:
            return type(outcome).__name__
