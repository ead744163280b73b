"""What a hub may lie about, by the words in which scripts tell it.

    hub             lies     invents-accept to oostende always
    hub             lies     shows-another to gent seldom
    hub             lies     another-key to all always
    hub             tells    the truth

A lie about items changes what one group is sent, whenever it fits (``always``) or now
and then (``seldom``). A lie about the log shows one group other leaves from then on, as
it stood at that moment. Covers may name another checkpoint than was signed, or none.
With the truth all of this ends; what was said stays said.
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from protocol import envelope
from protocol.address import HUB, FederationId
from protocol.base64url import write_base64url
from protocol.effects import SendItem
from protocol.errors import RefusalCode
from protocol.instant import write_instant
from protocol.messages import (
    Checkpoint,
    CycleStatement,
    DirectoryDecision,
    SettlementDecision,
    SettlementLeg,
    SharedDecision,
    SharedPlan,
    TransferAccept,
    TransferAnswer,
    TransferDecision,
    line_hash,
    read_item,
    write_line,
)
from protocol.shared import share_charge, share_left
from protocol.sharing import AveragePosition, ChargeRule, SharingRule
from protocol.unit import HOUR
from tests.protocol.makers import signing_key
from tests.simulator.checker import decode
from tests.simulator.lying_hub import Leaves, LyingHub

_NOBODYS = "0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"
_SELDOM = 0.3
#: The lines sent instead; ``None``: the true one.
Change = Callable[["HubLies", Any], list[bytes] | None]
_replace = msgspec.structs.replace


class Line(NamedTuple):
    """A line that was not what the hub's rules decided.

    Attributes:
        word: of the lie.
        true: what was to be sent.
        sent: what was sent instead; nothing where it was withheld.
    """

    word: str
    group: str
    true: bytes
    sent: tuple[bytes, ...]


def forged_answer(federation: FederationId, item: TransferAnswer) -> bytes:
    """Give an accept that its group never signed."""
    group = decode(item.proof.envelope.encode().split(b".")[1])["from"]
    return _forged(federation, group, item.line.encode())


def _forged(federation: FederationId, group: str, line: bytes) -> bytes:
    """Give an answer with a line that its group never signed."""
    lines = [line]
    payload = envelope.EnvelopePayload(
        federation=federation,
        from_=group,
        to=HUB,
        life="AAAAAAAAAAA",
        first=1,
        count=1,
        root=envelope.root_of(lines),
        prev=envelope.NOTHING_ROOT,
        at="2026-11-23T02:59:01.123Z",
    )
    line_1, _ = envelope.seal(payload, signing_key("a forger"))
    return write_line(TransferAnswer.of(envelope.prove(line_1, lines, [0])[0]))


def _invent_accept(lies: "HubLies", item: Any) -> list[bytes] | None:
    if not isinstance(item, TransferAnswer):
        return None
    return [forged_answer(lies.liar.hub.federation, item)]


def _withhold(*kinds: type) -> Change:
    return lambda _, item: [] if isinstance(item, kinds) else None


def _decide_for_nobody(_: "HubLies", item: Any) -> list[bytes] | None:
    """Decide on what nobody ordered, beside what was."""
    if not isinstance(item, TransferDecision):
        return None
    return [
        write_line(item),
        write_line(_replace(item, id=_NOBODYS, number=item.number + 1)),
    ]


def _decide_otherwise(_: "HubLies", item: Any) -> list[bytes] | None:
    """Tell one of the two groups of a refusal where the log has a clearance."""
    if not isinstance(item, TransferDecision) or item.outcome != "cleared":
        return None
    return [
        write_line(
            _replace(item, outcome="refused", code=RefusalCode.CANCELLED, answer=None)
        )
    ]


def _clear_refused(_: "HubLies", item: Any) -> list[bytes] | None:
    """Tell of a clearance where the log has a refusal."""
    if not isinstance(item, TransferDecision) or item.outcome != "refused":
        return None
    if item.prepare is None:
        return None
    answer = line_hash(b"an accept that nobody gave")
    return [write_line(_replace(item, outcome="cleared", code=None, answer=answer))]


def _clear_alone(lies: "HubLies", item: Any) -> list[bytes] | None:
    """Tell a payer of a clearance where the log has a refusal, and of the accept."""
    if not isinstance(item, TransferDecision) or item.outcome != "refused":
        return None
    transfer = lies.liar.hub.database.table("transfer").get(item.id, {})
    if item.prepare is None or transfer.get("payer_group") != lies.to:
        return None
    accept = write_line(TransferAccept(id=item.id, prepare=item.prepare))
    cleared = _replace(item, outcome="cleared", code=None, answer=line_hash(accept))
    federation, payee = lies.liar.hub.federation, transfer["payee_group"]
    return [_forged(federation, payee, accept), write_line(cleared)]


def _alter_entry(lies: "HubLies", item: Any) -> list[bytes] | None:
    """Freeze who is active, and the other way round."""
    if not isinstance(item, DirectoryDecision) or item.group == lies.to:
        return None
    if item.state not in ("active", "frozen"):
        return None
    state = "frozen" if item.state == "active" else "active"
    return [write_line(_replace(item, state=state))]


def _withhold_entry(lies: "HubLies", item: Any) -> list[bytes] | None:
    is_others = isinstance(item, DirectoryDecision) and item.group != lies.to
    return [] if is_others else None


def _state_otherwise(_: "HubLies", item: Any) -> list[bytes] | None:
    if not isinstance(item, CycleStatement):
        return None
    more = {"credits": item.credits + 60_000, "closing": item.closing + 60_000}
    return [write_line(_replace(item, **more))]


def _alter_leg(_: "HubLies", item: Any) -> list[bytes] | None:
    if not isinstance(item, SettlementLeg):
        return None
    return [write_line(_replace(item, milliseconds=2 * item.milliseconds))]


def _settle_on_one_word(lies: "HubLies", item: Any) -> list[bytes] | None:
    """Call a leg settled as soon as it is told, by words that nobody gave."""
    if not isinstance(item, SettlementLeg):
        return None
    word = line_hash(b"a word that nobody gave")
    decision = SettlementDecision(
        log=lies.liar.hub.clerk.life,  # type: ignore[union-attr]
        number=1,
        at=write_instant(lies.liar.hub.clock.now()),
        id=item.id,
        cycle=item.cycle,
        debtor=item.debtor,
        creditor=item.creditor,
        milliseconds=item.milliseconds,
        paid=word,
        received=lies.draw.choice((word, None)),
        outcome="settled",
        code=None,
    )
    return [write_line(item), write_line(decision)]


def _settle_another_amount(_: "HubLies", item: Any) -> list[bytes] | None:
    """Settle by both parties' words, but another amount than they have signed."""
    if not isinstance(item, SettlementDecision) or item.outcome != "settled":
        return None
    return [write_line(_replace(item, milliseconds=2 * item.milliseconds))]


def _void_what_is_settled(_: "HubLies", item: Any) -> list[bytes] | None:
    if not isinstance(item, SettlementDecision) or item.outcome != "settled":
        return None
    void = _replace(item, outcome="void", code="cancelled", paid=None, received=None)
    return [write_line(void)]


def _plan_another_amount(_: "HubLies", item: Any) -> list[bytes] | None:
    if not isinstance(item, SharedPlan) or not item.shares:
        return None
    first, *rest = item.shares
    more = _replace(first, amount=first.amount - 60_000)
    return [write_line(_replace(item, shares=[more, *rest]))]


def _share_otherwise(_: "HubLies", item: Any) -> list[bytes] | None:
    """Share twice of what was told, by the same rule."""
    if not isinstance(item, SharedDecision) or item.why != "debt":
        return None
    left = sum(one.amount for one in item.shares)
    measures = {one.group: one.measure for one in item.shares}
    shares = share_left(2 * left, SharingRule(item.rule), measures)
    return [write_line(_replace(item, shares=shares))]


def _charge_otherwise(lies: "HubLies", item: Any) -> list[bytes] | None:
    """Hold a group against half of its limit, and charge it by the rule."""
    standings = {}
    for one in item.shares if isinstance(item, SharedDecision) else ():
        limit = (one.limit or 0) // (2 if one.group == lies.to else 1)
        standings[one.group] = AveragePosition(
            average=one.measure, floor=-limit, ceiling=limit
        )
    if lies.to not in standings or item.why != "charge":
        return None
    shares = share_charge(
        standings, ChargeRule(rate=item.rate, threshold=item.threshold)
    )
    reserve = -sum(one.amount for one in shares)
    return [write_line(_replace(item, shares=shares, reserve=reserve))]


def _charge_too_much(lies: "HubLies", item: Any) -> list[bytes] | None:
    """Charge a group an hour more than the rule gives."""
    if not isinstance(item, SharedDecision) or item.why != "charge":
        return None
    shares = [
        _replace(one, amount=one.amount - HOUR) if one.group == lies.to else one
        for one in item.shares
    ]
    if shares == item.shares:
        return None
    return [write_line(_replace(item, shares=shares, reserve=item.reserve + HOUR))]


def _let_it_leave(lies: "HubLies", item: Any) -> list[bytes] | None:
    """Tell a group that it is leaving, where nobody wished that."""
    if not isinstance(item, DirectoryDecision) or item.group != lies.to:
        return None
    if item.state != "active":
        return None
    return [write_line(_replace(item, state="leaving"))]


#: Lies about what is sent to a group.
SENDS: dict[str, Change] = {
    "invents-accept": _invent_accept,
    "withholds-accept": _withhold(TransferAnswer),
    "withholds-decision": _withhold(TransferDecision),
    "decides-for-nobody": _decide_for_nobody,
    "decides-otherwise": _decide_otherwise,
    "clears-refused": _clear_refused,
    "clears-alone": _clear_alone,
    "alters-entry": _alter_entry,
    "withholds-entry": _withhold_entry,
    "states-otherwise": _state_otherwise,
    "alters-leg": _alter_leg,
    "settles-on-no-word": _settle_on_one_word,
    "settles-another-amount": _settle_another_amount,
    "voids-settled": _void_what_is_settled,
    "plans-another-amount": _plan_another_amount,
    "withholds-plan": _withhold(SharedPlan),
    "shares-otherwise": _share_otherwise,
    "charges-otherwise": _charge_otherwise,
    "charges-too-much": _charge_too_much,
    "leaves-unasked": _let_it_leave,
}


def _changed(index: int) -> Leaves:
    """One decision is another."""
    return lambda lines: [
        line.replace(b'"at":"2', b'"at":"3') if number == index else line
        for number, line in enumerate(lines)
    ]


def _without(index: int) -> Leaves:
    return lambda lines: [*lines[:index], *lines[index + 1 :]]


def _shrunk(size: int) -> Leaves:
    return lambda lines: lines[:size]


#: Lies about the log, made from the place of a decision in it.
LEAVES: dict[str, Callable[[int], Leaves]] = {
    "shows-another": _changed,
    "leaves-out": _without,
    "shrinks": _shrunk,
}


def _another_root(true: Checkpoint) -> Checkpoint:
    return Checkpoint(true.log, true.size, write_base64url(bytes(32)))


#: Lies about what a cover names.
NAMED: dict[str, Callable[[Checkpoint], Checkpoint | None]] = {
    "names-another": _another_root,
    "names-none": lambda _: None,
}
ANOTHER_KEY = "another-key"
WORDS = (*SENDS, *LEAVES, *NAMED, ANOTHER_KEY)


class HubLies:
    """The lies of one hub, told by words.

    Attributes:
        lines: every line that a lie has changed.
        to: whom the line is for that is being changed.
        began: by group and word, when that lie began.
        standing: group and word of each lie that is told still.
    """

    def __init__(self, liar: LyingHub, seed: object) -> None:
        self.liar, self.world = liar, liar.hub.world
        #: What follows of lies, the same wherever they are played.
        self.draw = random.Random(f"what follows of lies of {seed}")
        self.lines: list[Line] = []
        self.to = ""
        self.began: dict[tuple[str, str], int] = {}
        self.standing: set[tuple[str, str]] = set()
        self._sends: list[tuple[str, str, float]] = []
        liar.send = self._send

    def do(self, word: str, group: str, often: str) -> bool:
        """Begin to lie to a group, from now on; gives whether it could."""
        liar = self.liar
        if not liar.hub.is_up or (word in LEAVES and self._size(group) < 2):
            return False
        self.world.note(f"hub lies {word} to {group} {often}")
        self.world.count("lie of the hub's")
        self.world.tell("the hub lies to {} from now on: {}", group, word)
        liar.checker.doubted.add(HUB)
        self.began.setdefault((group, word), self.world.now)
        self.standing.add((group, word))
        if word in SENDS:
            self._sends.append((word, group, 1.0 if often == "always" else _SELDOM))
        elif word in NAMED:
            liar.named[group] = NAMED[word]
        elif word == ANOTHER_KEY:
            liar.signs = signing_key("a forger")
        else:
            self._show(group, LEAVES[word])
        return True

    def _size(self, group: str) -> int:
        """Say how many decisions of the log that is open a group is shown."""
        clerk: Any = self.liar.hub.clerk
        return len(self.liar.lines(group, clerk.life))

    def _show(self, group: str, make: Callable[[int], Leaves]) -> None:
        """Show a group other leaves of the log that is open now."""
        liar = self.liar
        clerk: Any = liar.hub.clerk
        index = max(1, self._size(group) - self.draw.choice((1, 1, 2, 3)))
        before, of_log, change = liar.leaves.get(group, _all), clerk.life, make(index)

        def leaves(log: str, lines: list[bytes]) -> list[bytes]:
            shown = before(log, lines)
            return change(shown) if log == of_log else shown

        liar.leaves[group] = leaves

    def stop(self) -> None:
        """Lie no more."""
        self.world.note("hub tells the truth")
        self.world.tell("the hub tells the truth from now on")
        self.standing.clear()
        self._sends.clear()
        self.liar.named.clear()
        self.liar.leaves.clear()
        self.liar.signs = None

    def _send(self, sent: SendItem) -> list[SendItem]:
        """Change what is sent by the first lie that fits."""
        for word, group, rate in self._sends:
            if group != sent.peer:
                continue
            self.to = group
            lines = SENDS[word](self, read_item(sent.line))
            if lines is None or self.draw.random() >= rate:
                continue
            self.lines.append(Line(word, group, sent.line, tuple(lines)))
            self.world.tell("hub lies to {}: {}", group, word)
            return [SendItem(sent.peer, line) for line in lines]
        return [sent]


def _all(_log: str, lines: list[bytes]) -> list[bytes]:
    return lines
