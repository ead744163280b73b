"""Refunds at the hub: never more than was paid, and nobody else's (protocol, 7)."""

import random
from typing import Any

import pytest

from clearing import rules
from clearing.rules import HubView
from protocol.address import Group
from protocol.effects import ArrivedItem, PlaceHold, SendItem
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.instant import Instant, write_instant
from protocol.messages import (
    ItemRefused,
    TransferAccept,
    TransferCancel,
    TransferRefuse,
    line_hash,
)
from protocol.transfer import NOW_MS, State
from tests.clearing.makers import (
    S,
    accepted,
    apply,
    decisions,
    hub_view,
    position,
    prepared,
)
from tests.peer.makers import (
    NOW,
    OTHER_ID,
    arrival,
    compared,
    directory_of,
    entry_of,
    later,
    not_compared,
    of_kind,
)
from tests.protocol.makers import ID, MECHELEN, OOSTENDE

GENT = Group("gent")


def id_of(number: int) -> str:
    return f"2f0f0f0f-1e1e-8d2d-9c3c-{number:012d}"


def paid(view: HubView, **changes: Any) -> None:
    """Oostende's transfer of one blusser to Mechelen, cleared."""
    arrived = prepared(**changes)
    apply(view, rules.decide_prepare(view, arrived, NOW))
    id_ = arrived.item.id
    apply(view, rules.decide_reply(view, accepted(arrived, id=id_), NOW))
    assert view.transfers[id_].state is State.CLEARED


def with_paid() -> HubView:
    view = hub_view()
    paid(view)
    return view


def refund(number: int = 1, milliseconds: int = S, **changes: Any) -> ArrivedItem:
    """Mechelen's prepare of a refund of that transfer, as it arrives."""
    fields: dict[str, Any] = {
        "peer": MECHELEN,
        "id": id_of(number),
        "payer_group": MECHELEN,
        "payee_group": OOSTENDE,
        "milliseconds": milliseconds,
        "refund_of": ID,
    }
    arrived: ArrivedItem = prepared(**(fields | changes))
    return arrived


def offered(view: HubView, arrived: ArrivedItem, now: Instant = NOW) -> Any:
    """Let a refund's prepare be decided; gives the code of a refusal, if it is one."""
    effects = apply(view, rules.decide_prepare(view, arrived, now))
    codes = [decision.code for _, decision in decisions(effects)]
    assert bool(codes) is not bool(of_kind(effects, PlaceHold))
    return codes[0] if codes else None


def reply(view: HubView, arrived: ArrivedItem, kind: str, now: Instant = NOW) -> None:
    """End an offered refund in one of the ways in which a transfer can end."""
    item: Any = arrived.item
    prepare = line_hash(arrived.line)
    if kind == "expire":
        apply(view, rules.decide_due(view, view.transfers[item.id], later(NOW_MS)))
        return
    answer: Any = {
        "accept": TransferAccept(id=item.id, prepare=prepare),
        "refuse": TransferRefuse(
            id=item.id, prepare=prepare, code=RefusalCode.UNKNOWN_ACCOUNT
        ),
        "cancel": TransferCancel(id=item.id),
    }[kind]
    peer = MECHELEN if kind == "cancel" else OOSTENDE
    apply(view, rules.decide_reply(view, arrival(peer, answer, number=9), now))


def refunded(view: HubView) -> int:
    return view.transfers[ID].refunded


def test_a_refund_is_an_ordinary_transfer_that_is_counted() -> None:
    view = with_paid()
    arrived = refund()
    assert offered(view, arrived) is None
    assert view.transfers[id_of(1)].refund_of == ID
    assert refunded(view) == S
    reply(view, arrived, "accept")
    assert view.transfers[id_of(1)].state is State.CLEARED
    assert refunded(view) == S
    balances = [view.accounts[group].balance for group in (OOSTENDE, MECHELEN)]
    assert balances == [0, 0]


def test_the_original_stays_as_it_was_but_for_the_count() -> None:
    view = with_paid()
    before = view.transfers[ID]
    offered(view, refund(milliseconds=7))
    after = view.transfers[ID]
    changed = [
        name
        for name in before.__struct_fields__
        if getattr(before, name) != getattr(after, name)
    ]
    assert changed == ["refunded"]


@pytest.mark.parametrize(
    ("milliseconds", "code"),
    [(1, None), (S, None), (S + 1, RefusalCode.REFUND_TOO_LARGE)],
)
def test_a_refund_is_at_most_what_was_paid(milliseconds: int, code: Any) -> None:
    view = with_paid()
    assert offered(view, refund(milliseconds=milliseconds)) is code
    assert refunded(view) == (0 if code else milliseconds)


@pytest.mark.parametrize(
    ("second", "code"), [(S - 7, None), (S - 6, RefusalCode.REFUND_TOO_LARGE)]
)
@pytest.mark.parametrize("has_cleared", [True, False])
def test_a_second_refund_sees_what_the_first_gave_back_or_holds(
    second: int, code: Any, has_cleared: bool
) -> None:
    view = with_paid()
    first = refund(1, 7)
    offered(view, first)
    if has_cleared:
        reply(view, first, "accept")
    assert offered(view, refund(2, second)) is code


@pytest.mark.parametrize("kind", ["refuse", "cancel", "expire"])
def test_a_refused_refund_gives_its_share_back(kind: str) -> None:
    view = with_paid()
    first = refund(1)
    offered(view, first)
    assert offered(view, refund(2, 1)) is RefusalCode.REFUND_TOO_LARGE
    reply(view, first, kind)
    assert refunded(view) == 0
    assert offered(view, refund(3)) is None


def test_a_refund_that_the_payees_node_cannot_read_gives_its_share_back() -> None:
    view = with_paid()
    effects = apply(view, rules.decide_prepare(view, refund(), NOW))
    number = view.transfers[id_of(1)].item_number
    assert number is not None
    (offer,) = of_kind(effects, SendItem)
    view.sent_lines[OOSTENDE, number] = offer.line
    item = ItemRefused(
        number=number, hash=line_hash(offer.line), code=ItemRefusalCode.UNREADABLE
    )
    apply(view, rules.decide_item_refused(view, arrival(OOSTENDE, item), NOW))
    assert view.transfers[id_of(1)].state is State.REFUSED
    assert refunded(view) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"refund_of": OTHER_ID},
        {"refund_of": id_of(1)},  # itself
        # The paying group again, or a third one: not the reverse of the original.
        {"peer": OOSTENDE, "payer_group": OOSTENDE, "payee_group": MECHELEN},
        {"peer": GENT, "payer_group": GENT, "payee_group": OOSTENDE},
        {"payee_group": GENT},
    ],
    ids=["unknown", "itself", "same-way", "third-payer", "third-payee"],
)
def test_a_refund_of_nothing_it_can_give_back_is_unknown(
    changes: dict[str, Any],
) -> None:
    view = with_paid()
    view.directory = directory_of(
        entry_of(OOSTENDE), entry_of(MECHELEN), entry_of(GENT)
    )
    view.accounts[GENT], view.links[GENT] = position(GENT), compared(GENT)
    assert offered(view, refund(**changes)) is RefusalCode.REFUND_UNKNOWN
    assert refunded(view) == 0


@pytest.mark.parametrize("kind", ["open", "refuse", "waiting"])
def test_only_what_has_cleared_can_be_refunded(kind: str) -> None:
    view = hub_view()
    arrived = prepared()
    apply(view, rules.decide_prepare(view, arrived, NOW))
    if kind == "refuse":
        no = TransferRefuse(
            id=ID, prepare=line_hash(arrived.line), code=RefusalCode.UNKNOWN_ACCOUNT
        )
        apply(view, rules.decide_reply(view, arrival(MECHELEN, no, number=5), NOW))
    if kind == "waiting":
        view.links[OOSTENDE] = not_compared(OOSTENDE)
        apply(view, rules.decide_reply(view, accepted(arrived), NOW))
        view.links[OOSTENDE] = compared(OOSTENDE)
    assert offered(view, refund()) is RefusalCode.REFUND_UNKNOWN


def test_a_group_that_lied_about_an_unknown_id_has_nothing_to_refund() -> None:
    view = hub_view()
    lie = TransferAccept(id=ID, prepare=line_hash(b"never"))
    apply(view, rules.decide_reply(view, arrival(MECHELEN, lie), NOW))
    assert offered(view, refund()) is RefusalCode.REFUND_UNKNOWN


def test_a_refund_can_itself_be_given_back() -> None:
    view = with_paid()
    first = refund(1)
    offered(view, first)
    reply(view, first, "accept")
    back = prepared(id=id_of(2), refund_of=id_of(1))
    assert offered(view, back) is None
    assert (refunded(view), view.transfers[id_of(1)].refunded) == (S, S)
    # The first is given back for good all the same.
    assert offered(view, refund(3, 1)) is RefusalCode.REFUND_TOO_LARGE


def test_a_reason_that_comes_before_a_refund_is_said_first() -> None:
    view = with_paid()
    both = refund(milliseconds=S + 1, decide_by=write_instant(NOW))
    assert offered(view, both) is RefusalCode.DEADLINE_OUT_OF_RANGE
    view.accounts[MECHELEN].floor = 10**13
    assert offered(view, refund(2, S + 1)) is RefusalCode.REFUND_TOO_LARGE
    assert offered(view, refund(3, S)) is RefusalCode.PAYER_GROUP_FLOOR
    assert refunded(view) == 0


def test_a_refusal_that_must_wait_counts_nothing() -> None:
    view = with_paid()
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    arrived = refund(milliseconds=S + 1)
    apply(view, rules.decide_prepare(view, arrived, NOW))
    assert view.transfers[id_of(1)].state is State.TAKEN
    assert refunded(view) == 0
    view.links[OOSTENDE] = compared(OOSTENDE)
    effects = apply(view, rules.decide_due(view, view.transfers[id_of(1)], NOW))
    ((_, decision),) = decisions(effects)
    assert decision.code is RefusalCode.REFUND_TOO_LARGE
    assert refunded(view) == 0


@pytest.mark.parametrize("kind", ["accept", "refuse", "cancel"])
def test_a_refund_counts_until_what_waits_is_decided(kind: str) -> None:
    view = with_paid()
    arrived = refund()
    offered(view, arrived)
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    reply(view, arrived, kind)
    assert view.transfers[id_of(1)].state is State.OFFERED
    assert refunded(view) == S
    view.links[OOSTENDE] = compared(OOSTENDE)
    apply(view, rules.decide_due(view, view.transfers[id_of(1)], NOW))
    assert refunded(view) == (S if kind == "accept" else 0)


@pytest.mark.parametrize("seed", range(60))
def test_refunds_never_come_to_more_than_was_paid(seed: int) -> None:
    draw = random.Random(seed)
    view = with_paid()
    asked: list[ArrivedItem] = []
    for number in range(1, 60):
        group = draw.choice([OOSTENDE, MECHELEN])
        has_compared = draw.random() < 0.7
        view.links[group] = (compared if has_compared else not_compared)(group)
        if draw.random() < 0.4:
            asked.append(refund(number, draw.choice([1, S // 5, S // 2, S, S + 1])))
            apply(view, rules.decide_prepare(view, asked[-1], NOW))
        elif asked:
            kind = draw.choice(["accept", "refuse", "cancel", "expire"])
            reply(view, draw.choice(asked), kind)
        for transfer in list(view.transfers.values()):
            if draw.random() < 0.3:
                apply(view, rules.decide_due(view, transfer, NOW))
        counted = sum(
            transfer.milliseconds
            for transfer in view.transfers.values()
            if transfer.refund_of == ID
            and transfer.state in (State.OFFERED, State.CLEARED)
        )
        assert refunded(view) == counted <= S
    held = sum(hold.amount for hold in view.holds.values() if hold.state == "held")
    assert view.accounts[MECHELEN].held_out == held
