"""Refunds at a node: only who was paid gives back, and no more than she got."""

import random
from typing import Any

import msgspec
import pytest

from nodes import rules
from nodes.api.payments import BatchOrder, alone
from nodes.payment_answers import TransferRequest, body_hash
from nodes.rules import KeepAnswer, NodeView, Ordered
from protocol.address import Group
from protocol.effects import Effects, PlaceHold, SendItem
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.ledger import Account
from protocol.messages import (
    Content,
    ItemRefused,
    TransferPrepare,
    TransferRefuse,
    line_hash,
    write_line,
)
from protocol.refund import largest
from protocol.transfer import Role, State, Transfer
from protocol.unit import Amount
from tests.nodes.makers import (
    S,
    answer_hash,
    answered,
    carried,
    content,
    decision,
    know,
    mechelen,
    member,
    offered,
    oostende,
    order,
    ordered,
)
from tests.peer.makers import (
    NOW,
    OTHER_ID,
    arrival,
    directory_of,
    entry_of,
    of_kind,
    sent,
)
from tests.protocol.makers import ID, MECHELEN, OOSTENDE, hash_of

GENT = Group("gent")


def id_of(number: int) -> str:
    return f"2f0f0f0f-1e1e-8d2d-9c3c-{number:012d}"


def code_of(effects: Effects) -> RefusalCode | None:
    if isinstance(effects.outcome, Ordered):
        return None
    assert isinstance(effects.outcome, RefusalCode)
    return effects.outcome


# Bob was paid 3 ketjes by Marie, who paid 1 blusser (180,000 ms).


def bobs_node(**changes: Any) -> NodeView:
    """Mechelen's, where Marie's payment to Bob has cleared."""
    view = mechelen(**changes)
    arrived = offered(view)
    carried(view, rules.decide_offer(view, arrived, NOW))
    told = decision(prepare=view.transfers[ID].prepare)
    carried(view, rules.decide_decision(view, told, NOW))
    assert view.transfers[ID].state is State.CLEARED
    return view


def refund(number: int = 1, blussers: int = 1, **changes: Any) -> Any:
    """Bob gives Marie so many blussers back."""
    fields: dict[str, Any] = {
        "transfer_id": id_of(number),
        "key": f"refund {number}",
        "caller": "bob",
        "payer": "bob",
        "name": "Bob",
        "payee": "marie",
        "payee_group": OOSTENDE,
        "payee_amount": Amount(blussers),
        "payer_amount_max": 3 * blussers,
        "refund_of": ID,
        "original": content(),
    }
    return order(**(fields | changes))


def asked(view: NodeView, wanted: Any) -> RefusalCode | None:
    return code_of(carried(view, rules.decide_order(view, wanted, NOW)))


def refunded(view: NodeView) -> int:
    return view.transfers[ID].refunded


def test_a_refund_is_an_order_that_names_what_it_gives_back() -> None:
    view = bobs_node()
    effects = carried(view, rules.decide_order(view, refund(), NOW))
    ((to, prepare),) = sent(effects)
    assert to == "hub"
    assert isinstance(prepare, TransferPrepare)
    assert (prepare.refund_of, prepare.milliseconds) == (ID, S)
    assert view.transfers[id_of(1)].refund_of == ID
    assert refunded(view) == S
    assert (view.accounts["bob"].balance, view.accounts["bob"].held_out) == (3, 3)


def test_an_ordinary_order_names_nothing() -> None:
    assert ordered(oostende()).refund_of is None


def with_refund_of(**changes: Any) -> Any:
    return lambda view: refund(**changes)


def original_in_state(state: State) -> Any:
    def make(view: NodeView) -> Any:
        view.transfers[ID] = msgspec.structs.replace(view.transfers[ID], state=state)
        return refund()

    return make


def original_as_payer(view: NodeView) -> Any:
    view.transfers[ID] = msgspec.structs.replace(
        view.transfers[ID],
        role=Role.PAYER,
        payer_group=MECHELEN,
        payee_group=OOSTENDE,
        account="bob",
    )
    return refund(original=content(payer="bob", payee="marie"))


def by_another_member(view: NodeView) -> Any:
    view.accounts["an"] = member("an")
    return refund(payer="an", caller="an")


@pytest.mark.parametrize(
    "make",
    [
        with_refund_of(refund_of=OTHER_ID),
        with_refund_of(refund_of=id_of(1)),
        with_refund_of(original=None),
        with_refund_of(payee="lies"),
        with_refund_of(payee_group=GENT, payer_amount_max=10**9),
        by_another_member,
        original_in_state(State.ACCEPTED),
        original_in_state(State.REFUSED),
        original_as_payer,
    ],
)
def test_only_who_was_paid_may_refund_and_only_to_who_paid(make: Any) -> None:
    view = bobs_node()
    know(view, directory_of(*(entry_of(g) for g in (OOSTENDE, MECHELEN, GENT))))
    wanted = make(view)
    effects = rules.decide_order(view, wanted, NOW)
    assert code_of(effects) is RefusalCode.REFUND_UNKNOWN
    assert {type(effect) for effect in effects.wanted} == {KeepAnswer}


@pytest.mark.parametrize(
    ("blussers", "code"), [(1, None), (2, RefusalCode.REFUND_TOO_LARGE)]
)
def test_a_member_gives_back_at_most_what_she_got(blussers: int, code: Any) -> None:
    view = bobs_node()
    assert asked(view, refund(1, blussers)) is code
    assert refunded(view) == (0 if code else S)


def test_the_second_refund_of_a_batch_sees_the_first() -> None:
    view = bobs_node()
    assert asked(view, refund(1)) is None
    assert asked(view, refund(2)) is RefusalCode.REFUND_TOO_LARGE


@pytest.mark.parametrize(
    ("price", "refundable"), [(299_999, 4), (300_000, 5), (300_001, 5)]
)
def test_what_is_worth_less_than_one_unit_cannot_be_given_back(
    price: int, refundable: int
) -> None:
    original = msgspec.structs.replace(
        bobs_node().transfers[ID], milliseconds=price, refunded=0
    )
    assert largest(original, 180_000, 60_000) == refundable


@pytest.mark.parametrize(
    ("ketjes", "garnalen", "back"), [(6, 2, 2), (5, 2, 1), (3, 1, 1), (2, 1, 0)]
)
def test_what_rounding_cost_the_payer_does_not_come_back(
    ketjes: int, garnalen: int, back: int
) -> None:
    view = mechelen()
    says = content(payee_amount=ketjes, payer_amount=garnalen)
    arrived = offered(view, says=says, milliseconds=ketjes * 60_000)
    carried(view, rules.decide_offer(view, arrived, NOW))
    told = decision(prepare=view.transfers[ID].prepare)
    carried(view, rules.decide_decision(view, told, NOW))
    assert largest(view.transfers[ID], 60_000, 180_000) == back
    too_much = refund(1, back + 1, original=says, payer_amount_max=100)
    assert asked(view, too_much) is RefusalCode.REFUND_TOO_LARGE
    if back:
        assert asked(view, refund(2, back, original=says)) is None
        assert largest(view.transfers[ID], 60_000, 180_000) == 0


def test_what_can_be_refunded_stays_payable_at_any_rate() -> None:
    original = Transfer(
        **(msgspec.structs.asdict(bobs_node().transfers[ID]) | {"milliseconds": 10**14})
    )
    assert largest(original, 1, 1) == 10**12
    assert largest(original, 1, 60_000) == 10**12 // 60_000
    assert largest(original, 10**10, 1) == 10**12


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ({"payer_amount_max": 5}, RefusalCode.RATE_CHANGED),
        ({"is_hub_reachable": False}, RefusalCode.HUB_UNREACHABLE),
        ({"payee_amount": Amount(100)}, RefusalCode.PAYER_FLOOR),
        ({"payee_group": GENT}, RefusalCode.UNKNOWN_GROUP),
    ],
)
def test_other_reasons_are_said_before_those_of_refunds(
    spoil: dict[str, Any], code: RefusalCode
) -> None:
    view = bobs_node(floor=-10)
    assert asked(view, refund(1, 2, **spoil)) is code
    assert refunded(view) == 0


def told_of(view: NodeView, number: int, outcome: str) -> None:
    transfer = view.transfers[id_of(number)]
    answer = hash_of("answer")
    if outcome == "cleared":
        view.transfers[id_of(number)] = msgspec.structs.replace(transfer, answer=answer)
    told = decision(
        id=id_of(number), prepare=transfer.prepare, outcome=outcome, answer=answer
    )
    carried(view, rules.decide_decision(view, told, NOW))


@pytest.mark.parametrize(("outcome", "left"), [("cleared", 0), ("refused", 1)])
def test_a_refused_refund_gives_its_share_back_and_a_cleared_one_does_not(
    outcome: str, left: int
) -> None:
    view = bobs_node()
    asked(view, refund(1))
    told_of(view, 1, outcome)
    assert largest(view.transfers[ID], 60_000, 180_000) == left
    # Told twice, it counts once.
    told_of(view, 1, outcome)
    assert refunded(view) == (1 - left) * S


def test_a_refund_that_the_hub_could_not_read_gives_its_share_back() -> None:
    view = bobs_node()
    effects = carried(view, rules.decide_order(view, refund(), NOW))
    (item,) = of_kind(effects, SendItem)
    number = view.transfers[id_of(1)].item_number
    assert number is not None
    view.sent_lines["hub", number] = item.line
    no = ItemRefused(
        number=number, hash=line_hash(item.line), code=ItemRefusalCode.UNREADABLE
    )
    carried(view, rules.decide_item_refused(view, arrival("hub", no), NOW))
    assert refunded(view) == 0


def test_a_refund_asked_for_again_counts_once() -> None:
    view = bobs_node()
    asked(view, refund())
    assert asked(view, refund()) is None
    assert refunded(view) == S


# Marie's node, where her payment has cleared, is offered the refund.


def maries_node(**changes: Any) -> NodeView:
    view = oostende(**changes)
    prepare = ordered(view)
    shown = answered(prepare)
    carried(view, rules.decide_answer(view, shown))
    told = decision(prepare=line_hash(write_line(prepare)), answer=answer_hash(shown))
    carried(view, rules.decide_decision(view, told, NOW))
    assert view.transfers[ID].state is State.CLEARED
    return view


def refund_content(blussers: int = 1, payee: str = "marie") -> Content:
    return content(
        payer="bob",
        payee=payee,
        name="Bob",
        payee_amount=blussers,
        payer_amount=3 * blussers,
    )


def offer(view: NodeView, number: int = 1, **changes: Any) -> Effects:
    """The hub offers Marie's node Bob's refund; gives what is decided."""
    says = changes.pop("says", refund_content())
    line = write_line(says)
    fields: dict[str, Any] = {
        "id": id_of(number),
        "payer_group": MECHELEN,
        "payee_group": OOSTENDE,
        "milliseconds": S * says.payee_amount,
        "refund_of": ID,
    }
    arrived = offered(view, says=says, signer=MECHELEN, **(fields | changes))
    # The maker seals from Oostende to Mechelen; here the box is taken as opened.
    arrived = msgspec.structs.replace(arrived, content_line=line)
    return carried(view, rules.decide_offer(view, arrived, NOW))


def refusal_of(effects: Effects) -> RefusalCode | None:
    ((_, item),) = sent(effects)
    return item.code if isinstance(item, TransferRefuse) else None


def test_a_refund_of_our_members_own_payment_is_accepted_and_counted() -> None:
    view = maries_node()
    effects = offer(view)
    assert refusal_of(effects) is None
    assert of_kind(effects, PlaceHold)
    assert view.transfers[id_of(1)].refund_of == ID
    assert refunded(view) == S


def refused_original(view: NodeView) -> None:
    view.transfers[ID] = msgspec.structs.replace(
        view.transfers[ID], state=State.REFUSED
    )


def anothers_payment(view: NodeView) -> None:
    view.transfers[ID] = msgspec.structs.replace(view.transfers[ID], account="lies")


def forgotten(view: NodeView) -> None:
    del view.transfers[ID]


def other_group(view: NodeView) -> None:
    view.transfers[ID] = msgspec.structs.replace(view.transfers[ID], payee_group=GENT)


@pytest.mark.parametrize(
    "spoil", [refused_original, anothers_payment, forgotten, other_group]
)
def test_a_refund_of_what_our_member_did_not_pay_is_refused(spoil: Any) -> None:
    view = maries_node()
    spoil(view)
    assert refusal_of(offer(view)) is RefusalCode.UNKNOWN_ACCOUNT
    assert ID not in view.transfers or refunded(view) == 0


def test_a_hub_that_counts_wrongly_is_not_followed() -> None:
    view = maries_node()
    too_much = offer(view, 1, says=refund_content(2))
    assert refusal_of(too_much) is RefusalCode.AMOUNT_MISMATCH
    assert refusal_of(offer(view, 2)) is None
    assert refusal_of(offer(view, 3)) is RefusalCode.AMOUNT_MISMATCH
    assert refunded(view) == S


@pytest.mark.parametrize(("outcome", "counted"), [("cleared", S), ("refused", 0)])
def test_the_payers_node_counts_what_came_back(outcome: str, counted: int) -> None:
    view = maries_node()
    offer(view)
    told_of(view, 1, outcome)
    assert refunded(view) == counted
    assert view.accounts["marie"].balance == (0 if counted else -1)


def test_a_refund_meets_the_members_ceiling_like_any_payment() -> None:
    view = maries_node(ceiling=-1)
    assert refusal_of(offer(view)) is RefusalCode.PAYEE_CANNOT_RECEIVE
    assert refunded(view) == 0


# Inside a group, where no hub counts.


def with_local(amount: int = 5, **lies: Any) -> NodeView:
    """Marie has paid Lies, in one group."""
    view = oostende()
    view.accounts["lies"] = member("lies", **({"floor": -100} | lies))
    fields: dict[str, Any] = {"payee": "lies", "payee_group": OOSTENDE}
    fields |= {"payee_amount": Amount(amount), "payer_amount_max": amount}
    assert asked(view, order(**fields)) is None
    return view


def local_refund(number: int = 1, amount: int = 5, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "caller": "lies",
        "payer": "lies",
        "payer_amount_max": amount,
        "original": content(payee="lies", payee_amount=5, payer_amount=5),
    }
    return refund(number, amount, **(fields | changes))


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (2, 3, None),
        (2, 4, RefusalCode.REFUND_TOO_LARGE),
        (5, 1, RefusalCode.REFUND_TOO_LARGE),
    ],
)
def test_refunds_inside_a_group_come_to_no_more_than_was_paid(
    first: int, second: int, code: Any
) -> None:
    view = with_local()
    assert asked(view, local_refund(1, first)) is None
    assert asked(view, local_refund(2, second)) is code
    given = first if code else first + second
    assert view.accounts["marie"].balance == given - 5
    assert refunded(view) == given * S
    assert view.transfers[id_of(1)].refund_of == ID


@pytest.mark.parametrize(
    "changes",
    [
        {"payer": "marie", "caller": "marie", "payee": "lies"},
        {"payee": "jan"},
        {"payer": "jan", "caller": "jan"},
        {"original": None},
        {"refund_of": OTHER_ID},
        {"payee_group": MECHELEN, "payee": "marie"},
    ],
)
def test_inside_a_group_too_only_who_was_paid_refunds_who_paid(
    changes: dict[str, Any],
) -> None:
    view = with_local()
    view.accounts["jan"] = Account(**msgspec.structs.asdict(view.accounts["lies"]))
    code = asked(view, local_refund(1, 1, **changes))
    assert code is RefusalCode.REFUND_UNKNOWN
    assert refunded(view) == 0


@pytest.mark.parametrize("rate", [90_000, 360_000])
def test_inside_a_group_units_come_back_whatever_they_are_worth_by_now(
    rate: int,
) -> None:
    view = with_local()
    know(view, directory_of(entry_of(OOSTENDE, 180_000, rate), entry_of(MECHELEN)))
    assert asked(view, local_refund(1, 6)) is RefusalCode.REFUND_TOO_LARGE
    assert asked(view, local_refund(2, 5)) is None
    assert refunded(view) == 5 * S


@pytest.mark.parametrize("seed", range(40))
def test_what_a_node_counts_is_what_is_held_or_cleared(seed: int) -> None:
    draw = random.Random(seed)
    is_payee = draw.random() < 0.5
    view = mechelen() if is_payee else maries_node()
    if is_payee:
        says = content(payee_amount=30, payer_amount=10)
        arrived = offered(view, says=says, milliseconds=10 * S)
        carried(view, rules.decide_offer(view, arrived, NOW))
        told = decision(prepare=view.transfers[ID].prepare)
        carried(view, rules.decide_decision(view, told, NOW))
    for number in range(1, 40):
        open_ = [
            place
            for place in range(1, number)
            if id_of(place) in view.transfers
            and view.transfers[id_of(place)].state in (State.ORDERED, State.ACCEPTED)
        ]
        if open_ and draw.random() < 0.5:
            told_of(view, draw.choice(open_), draw.choice(["cleared", "refused"]))
        elif is_payee:
            blussers = draw.randint(1, 11)
            asked(view, refund(number, blussers, original=says))
        else:
            offer(view, number)
        counted = sum(
            transfer.milliseconds
            for transfer in view.transfers.values()
            if transfer.refund_of == ID and transfer.state is not State.REFUSED
        )
        assert refunded(view) == counted <= view.transfers[ID].milliseconds


# The request.


def test_a_request_that_is_no_refund_has_the_hash_it_always_had() -> None:
    plain = TransferRequest("bob@mechelen", 3, 1, "eggs", "now")
    assert body_hash(plain) == "o4xPxMP1eTDCRZLDVweIm6l7iboxkPPog0CpSReQ6L0"
    one, other = (
        msgspec.structs.replace(plain, refund_of=id_) for id_ in (ID, OTHER_ID)
    )
    assert len({body_hash(each) for each in (plain, one, other)}) == 3


def test_an_order_of_a_batch_is_what_it_would_be_alone() -> None:
    fields: dict[str, Any] = {
        "to": "marie@oostende",
        "payee_amount": 2,
        "payer_amount_max": 6,
        "memo": "eggs",
        "deliver": "when_reachable",
        "refund_of": ID,
    }
    assert set(fields) == set(TransferRequest.__struct_fields__)
    assert alone(BatchOrder(key="a", **fields)) == TransferRequest(**fields)


@pytest.mark.parametrize("text", ["", "x", ID.upper(), ID + "\n", f"{{{ID}}}"])
def test_a_request_names_a_refund_by_an_id_and_nothing_else(text: str) -> None:
    body = {"to": "a@bb", "payee_amount": 1, "payer_amount_max": 1, "refund_of": text}
    with pytest.raises(msgspec.ValidationError, match="refund_of"):
        msgspec.json.decode(msgspec.json.encode(body), type=TransferRequest)
