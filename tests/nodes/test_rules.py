"""A node's decisions, one by one (protocol, 7 and 8); no clerk, no database."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from nodes import rules
from nodes.rules import (
    KeepAnswer,
    NewMember,
    NodeView,
    NoteDecision,
    Ordered,
    OtherBody,
    conversion,
    conversion_time,
)
from protocol.address import Group
from protocol.directory import fold
from protocol.effects import (
    CallPeople,
    Effects,
    EndHold,
    OpenAccount,
    PlaceHold,
    PostEntry,
    SaveContent,
    SaveGroup,
    SaveTransfer,
    SendItem,
)
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.instant import read_instant
from protocol.ledger import GROUP_UNIT, TIME_UNIT, Account, AccountKind, HoldState
from protocol.messages import (
    ItemRefused,
    Mirror,
    TransferAccept,
    TransferCancel,
    TransferPrepare,
    TransferRefuse,
    line_hash,
    read_item,
    write_line,
)
from protocol.transfer import NOW_MS, REACHABLE_MS, Role, State, Transfer
from protocol.unit import AMOUNT_MAX, Amount, quote
from tests.nodes.makers import (
    S,
    answer_hash,
    answered,
    carried,
    content,
    content_of,
    conversion_worth,
    decision,
    know,
    mechelen,
    member,
    node_view,
    offered,
    oostende,
    order,
    ordered,
    sealed,
    units_of,
)
from tests.peer.makers import (
    LOG,
    NOW,
    OTHER_ID,
    RATES,
    arrival,
    directory_decision,
    directory_of,
    entry_of,
    flip,
    in_state,
    keys_decision,
    later,
    next_keys,
    of_kind,
    proof_of,
    sent,
    sums,
)
from tests.protocol.makers import FEDERATION, ID, MECHELEN, OOSTENDE, hash_of

GENT = Group("gent")


def hash_of_item(item: msgspec.Struct) -> str:
    return line_hash(write_line(item))


# A member orders.


def test_an_order_holds_the_payers_units_and_asks_the_hub() -> None:
    view = oostende()
    effects = carried(view, rules.decide_order(view, order(), NOW))
    assert of_kind(effects, PlaceHold) == [PlaceHold(ID, "marie", "conversion.1", 1)]
    ((to, prepare),) = sent(effects)
    assert to == "hub"
    assert isinstance(prepare, TransferPrepare)
    assert (prepare.payer_group, prepare.payee_group) == (OOSTENDE, MECHELEN)
    assert (prepare.milliseconds, prepare.payer_rate, prepare.payee_rate) == (S, 1, 1)
    assert view.transfers[ID].state is State.ORDERED
    assert isinstance(effects.outcome, Ordered)
    assert effects.outcome.transfer == view.transfers[ID]
    (kept,) = of_kind(effects, KeepAnswer)
    assert (kept.answer.transfer_id, kept.answer.code) == (ID, None)


def test_an_order_holds_and_does_not_post() -> None:
    view = oostende()
    effects = carried(view, rules.decide_order(view, order(), NOW))
    assert not of_kind(effects, PostEntry)
    assert (view.accounts["marie"].balance, view.accounts["marie"].held_out) == (0, 1)


def test_only_the_payees_group_can_read_what_was_paid_for() -> None:
    view = oostende()
    effects = rules.decide_order(view, order(), NOW)
    (item,) = of_kind(effects, SendItem)
    assert content_of(item) == content()
    for word in (b"marie", b"bob", b"eggs"):
        assert word not in item.line
    (kept,) = of_kind(effects, SaveContent)
    prepare = read_item(item.line)
    assert isinstance(prepare, TransferPrepare)
    assert prepare.content == kept.content_id == line_hash(kept.line)


@pytest.mark.parametrize(
    ("deliver", "within_ms"), [("now", NOW_MS), ("when_reachable", REACHABLE_MS)]
)
def test_the_deadline_is_reckoned_on_the_hubs_clock(
    deliver: str, within_ms: int
) -> None:
    prepare = ordered(oostende(), deliver=deliver, hub_now=later(60_000))
    assert read_instant(prepare.decide_by) == NOW + 60_000 + within_ms


Spoiler = Callable[[NodeView, dict[str, Any]], None]


def frozen_account(view: NodeView, fields: dict[str, Any]) -> None:
    view.accounts["marie"].frozen = True


def closed_account(view: NodeView, fields: dict[str, Any]) -> None:
    view.accounts["marie"].closed = True


def no_such_group(view: NodeView, fields: dict[str, Any]) -> None:
    fields["payee_group"] = GENT


def too_much(view: NodeView, fields: dict[str, Any]) -> None:
    fields["payee_amount"] = Amount(AMOUNT_MAX + 1)


def dearer(view: NodeView, fields: dict[str, Any]) -> None:
    fields["payer_amount_max"] = 0


def at_floor(view: NodeView, fields: dict[str, Any]) -> None:
    view.accounts["marie"].floor = 0


def no_hub(view: NodeView, fields: dict[str, Any]) -> None:
    fields["is_hub_reachable"] = False


def frozen_group(view: NodeView, fields: dict[str, Any]) -> None:
    know(view, in_state(view.directory, MECHELEN, "frozen"))


def group_that_has_left(view: NodeView, fields: dict[str, Any]) -> None:
    know(view, in_state(view.directory, OOSTENDE, "left"))


def leaving_group(view: NodeView, fields: dict[str, Any]) -> None:
    if view.directory[OOSTENDE].state == "active":
        know(view, in_state(view.directory, OOSTENDE, "leaving"))


def slipped_in(view: NodeView, fields: dict[str, Any]) -> None:
    """Nobody has signed for the keys that Mechelen has now."""
    entry = next_keys(MECHELEN, "slipped in")
    decision = keys_decision(entry, (MECHELEN, "slipped in"), [9])
    known = fold(directory_of(), decision, write_line(decision), FEDERATION)
    know(view, {**view.directory, MECHELEN: known[MECHELEN]})


#: What can be wrong with an order, in the order of ``RefusalCode``.
REASONS: list[tuple[RefusalCode, Spoiler]] = [
    (RefusalCode.ACCOUNT_CLOSED, closed_account),
    (RefusalCode.ACCOUNT_FROZEN, frozen_account),
    (RefusalCode.PAYER_FLOOR, at_floor),
    (RefusalCode.HUB_UNREACHABLE, no_hub),
    (RefusalCode.UNKNOWN_GROUP, no_such_group),
    (RefusalCode.GROUP_LEFT, group_that_has_left),
    (RefusalCode.GROUP_FROZEN, frozen_group),
    (RefusalCode.AMOUNT_OUT_OF_RANGE, too_much),
    (RefusalCode.RATE_CHANGED, dearer),
    (RefusalCode.PAYER_GROUP_LEAVING, leaving_group),
    (RefusalCode.KEYS_NOT_ACCEPTED, slipped_in),
]
#: Where there is no price, there is nothing to compare with the floor.
PRICELESS = (RefusalCode.UNKNOWN_GROUP, RefusalCode.AMOUNT_OUT_OF_RANGE)


def test_the_reasons_stand_as_the_protocol_lists_them() -> None:
    listed = list(RefusalCode)
    places = [listed.index(code) for code, _ in REASONS]
    assert places == sorted(places)


def code_of(effects: Effects) -> RefusalCode | None:
    if isinstance(effects.outcome, Ordered):
        return None
    assert isinstance(effects.outcome, RefusalCode)
    return effects.outcome


@pytest.mark.parametrize(("code", "spoil"), REASONS, ids=[str(c) for c, _ in REASONS])
def test_a_refused_order_books_nothing_and_asks_nobody(
    code: RefusalCode, spoil: Spoiler
) -> None:
    view, fields = oostende(), dict[str, Any]()
    spoil(view, fields)
    effects = rules.decide_order(view, order(**fields), NOW)
    assert code_of(effects) is code
    assert {type(effect) for effect in effects.wanted} <= {KeepAnswer}


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.combinations(REASONS, 2)),
    ids=lambda reason: str(reason[0]),
)
def test_of_two_reasons_the_node_says_the_first(
    first: tuple[RefusalCode, Spoiler], second: tuple[RefusalCode, Spoiler]
) -> None:
    view, fields = oostende(), dict[str, Any]()
    # What replaces the directory comes first, so that the other can change it.
    for _, spoil in sorted((second, first), key=lambda one: one[1] is not slipped_in):
        spoil(view, fields)
    said = first[0]
    if said is RefusalCode.PAYER_FLOOR and second[0] in PRICELESS:
        said = second[0]
    assert code_of(rules.decide_order(view, order(**fields), NOW)) is said


def with_lies(**lies: Any) -> NodeView:
    """Marie's group, with Lies in it."""
    view = oostende(floor=-5)
    fields = {"kind": AccountKind.MEMBER, "unit": GROUP_UNIT, "ceiling": 5} | lies
    view.accounts["lies"] = Account(account_id="lies", **fields)
    return view


def inside(payee: str = "lies", amount: int = 5, **fields: Any) -> Any:
    usual = {"payee": payee, "payee_group": OOSTENDE, "payee_amount": Amount(amount)}
    return order(**(usual | {"payer_amount_max": amount} | fields))


def test_a_payment_inside_the_group_is_booked_at_once() -> None:
    view = with_lies()
    effects = carried(view, rules.decide_order(view, inside(), NOW))
    assert sent(effects) == []
    assert view.holds == {}
    assert (view.accounts["marie"].balance, view.accounts["lies"].balance) == (-5, 5)
    assert view.transfers[ID].state is State.CLEARED
    # One row stands for both members.
    assert (view.transfers[ID].account, view.transfers[ID].other) == ("marie", "lies")
    again = rules.decide_order(view, inside(), later(5))
    assert list(again.wanted) == []


@pytest.mark.parametrize(
    ("asked", "lies", "code"),
    [
        (inside(amount=6), {"ceiling": 6}, RefusalCode.PAYER_FLOOR),
        (inside(), {"ceiling": 4}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        (inside(), {"held_in": 1}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        (inside(), {"frozen": True}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        (inside(payee="nobody"), {}, RefusalCode.UNKNOWN_ACCOUNT),
        (inside(payee="clearing"), {}, RefusalCode.UNKNOWN_ACCOUNT),
        (inside(payee="marie"), {}, RefusalCode.SAME_ACCOUNT),
        (inside(payer_amount_max=4), {}, RefusalCode.RATE_CHANGED),
        # Of two reasons, the first.
        (inside(payee="marie", amount=6), {}, RefusalCode.SAME_ACCOUNT),
        (inside(amount=10**12), {}, RefusalCode.PAYER_FLOOR),
        (inside(payer_amount_max=4), {"closed": True}, RefusalCode.RATE_CHANGED),
    ],
)
def test_a_payment_inside_the_group_that_may_not_be_books_nothing(
    asked: Any, lies: dict[str, Any], code: RefusalCode
) -> None:
    view = with_lies(**lies)
    effects = carried(view, rules.decide_order(view, asked, NOW))
    assert code_of(effects) is code
    assert view.accounts["marie"].balance == 0
    assert view.transfers == {}


def test_inside_the_group_who_may_not_pay_is_told_so_first() -> None:
    view = with_lies()
    for spoil, code in (
        (frozen_account, RefusalCode.ACCOUNT_FROZEN),
        # Closed while frozen: there is nothing to wait for any more.
        (closed_account, RefusalCode.ACCOUNT_CLOSED),
    ):
        spoil(view, {})
        effects = rules.decide_order(view, inside(payee="marie"), NOW)
        assert code_of(effects) is code


def test_inside_the_group_an_amount_has_a_limit_without_a_floor_too() -> None:
    view = with_lies()
    view.accounts["marie"].floor = None
    effects = rules.decide_order(view, inside(amount=10**12), NOW)
    assert code_of(effects) is RefusalCode.AMOUNT_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ({"floor": -1}, None),
        ({"floor": 0}, RefusalCode.PAYER_FLOOR),
        ({"floor": -2, "held_out": 1}, None),
        ({"floor": -2, "held_out": 2}, RefusalCode.PAYER_FLOOR),
        ({"floor": 0, "held_in": 5}, RefusalCode.PAYER_FLOOR),
        ({"floor": None}, None),
    ],
)
def test_a_payer_may_reach_her_floor_and_no_further(
    account: dict[str, Any], code: RefusalCode | None
) -> None:
    assert code_of(rules.decide_order(oostende(**account), order(), NOW)) is code


def test_a_payer_pays_at_most_what_she_agreed_to() -> None:
    # 4 ketjes are 240,000 ms, so 2 blussers.
    two = order(payee_amount=Amount(4), payer_amount_max=2)
    assert code_of(rules.decide_order(oostende(), two, NOW)) is None
    one = order(payee_amount=Amount(4), payer_amount_max=1)
    effects = rules.decide_order(oostende(), one, NOW)
    assert code_of(effects) is RefusalCode.RATE_CHANGED


def test_a_payment_when_reachable_needs_no_hub_now() -> None:
    asked = order(deliver="when_reachable", is_hub_reachable=False)
    assert code_of(rules.decide_order(oostende(), asked, NOW)) is None


def test_the_same_order_again_gets_the_first_answer_and_books_nothing() -> None:
    view = oostende()
    first = carried(view, rules.decide_order(view, order(), NOW))
    again = rules.decide_order(view, order(nonce=bytes(range(24))), later(5))
    assert again.wanted == ()
    assert isinstance(again.outcome, Ordered)
    assert isinstance(first.outcome, Ordered)
    assert again.outcome.transfer == first.outcome.transfer


def of_a_stranger() -> Transfer:
    """A payment from elsewhere to Pieter, under the id of Marie's order."""
    view = oostende()
    carried(view, rules.decide_order(view, order(), NOW))
    return msgspec.structs.replace(
        view.transfers[ID], role=Role.PAYEE, account="pieter"
    )


def test_an_id_that_another_group_has_used_is_not_answered_with_its_payment() -> None:
    view = oostende()
    carried(view, rules.decide_order(view, order(), NOW))
    view.answers.clear()
    view.transfers[ID] = of_a_stranger()
    effects = rules.decide_order(view, order(), later(5))
    assert isinstance(effects.outcome, OtherBody)


def test_a_refusal_is_kept_under_its_key_even_when_its_reason_is_gone() -> None:
    view = oostende(floor=0)
    carried(view, rules.decide_order(view, order(), NOW))
    view.accounts["marie"].floor = -100
    again = rules.decide_order(view, order(), later(5))
    assert code_of(again) is RefusalCode.PAYER_FLOOR
    assert again.wanted == ()


def test_a_kept_refusal_stands_when_another_group_uses_its_id_since() -> None:
    view = oostende(floor=0)
    carried(view, rules.decide_order(view, order(), NOW))
    view.transfers[ID] = of_a_stranger()
    again = rules.decide_order(view, order(), later(5))
    assert again == Effects(None, (), RefusalCode.PAYER_FLOOR)


@pytest.mark.parametrize(
    "theirs", [{"role": Role.PAYEE, "account": "marie"}, {"account": "pieter"}]
)
def test_a_kept_payment_is_answered_only_to_the_one_who_pays(
    theirs: dict[str, Any],
) -> None:
    view = oostende()
    carried(view, rules.decide_order(view, order(), NOW))
    view.transfers[ID] = msgspec.structs.replace(view.transfers[ID], **theirs)
    again = rules.decide_order(view, order(), later(5))
    assert again == Effects(None, (), OtherBody())


def test_an_unreachable_hub_is_not_kept_under_the_key() -> None:
    view = oostende()
    carried(view, rules.decide_order(view, order(is_hub_reachable=False), NOW))
    assert code_of(rules.decide_order(view, order(), NOW)) is None


def test_another_order_under_the_same_key_is_told_so() -> None:
    view = oostende()
    carried(view, rules.decide_order(view, order(), NOW))
    other = rules.decide_order(view, order(body_hash=hash_of("other")), NOW)
    assert other.wanted == ()
    assert isinstance(other.outcome, OtherBody)


def test_a_key_that_was_lost_does_not_pay_a_second_time() -> None:
    view = oostende()
    ordered(view)
    view.answers.clear()
    effects = rules.decide_order(view, order(), later(5))
    assert [type(effect) for effect in effects.wanted] == [KeepAnswer]
    assert view.accounts["marie"].held_out == 1


def test_two_members_may_use_the_same_key() -> None:
    view = oostende()
    view.accounts["lies"] = member("lies")
    ordered(view)
    effects = rules.decide_order(
        view, order(caller="lies", payer="lies", transfer_id=OTHER_ID), NOW
    )
    assert of_kind(effects, PlaceHold)


# An offer arrives.


def test_a_good_offer_holds_the_payees_credit_and_is_accepted() -> None:
    view = mechelen()
    arrived = offered(view)
    effects = carried(view, rules.decide_offer(view, arrived, NOW))
    assert of_kind(effects, PlaceHold) == [PlaceHold(ID, "conversion.1", "bob", 3)]
    prepare_hash = line_hash(arrived.item.line.encode())
    assert sent(effects) == [("hub", TransferAccept(id=ID, prepare=prepare_hash))]
    assert view.transfers[ID].state is State.ACCEPTED
    assert (view.accounts["bob"].balance, view.accounts["bob"].held_in) == (0, 3)
    assert of_kind(effects, SaveContent)


def refusal(view: NodeView, arrived: Any) -> RefusalCode:
    """Why an offer was refused; that nothing was held is checked here."""
    effects = carried(view, rules.decide_offer(view, arrived, NOW))
    assert not of_kind(effects, PlaceHold)
    assert not of_kind(effects, SaveContent)
    assert view.transfers[ID].state is State.REFUSED
    ((to, refuse),) = sent(effects)
    assert isinstance(refuse, TransferRefuse)
    assert to == "hub"
    assert refuse.prepare == line_hash(arrived.item.line.encode())
    return refuse.code


def test_a_prepare_that_was_changed_on_its_way_is_refused() -> None:
    view = mechelen()
    signed = proof_of(write_line(content()), OOSTENDE)
    arrived = offered(view, proof={"path": [flip(step) for step in signed.path]})
    assert refusal(view, arrived) is RefusalCode.NOT_SIGNED_BY_PAYER_GROUP


def test_a_prepare_whose_line_1_was_touched_is_refused() -> None:
    view = mechelen()
    right = offered(view).item.envelope
    header, payload, signature = right.split(".")
    arrived = offered(view, proof={"envelope": f"{header}.{payload}.{flip(signature)}"})
    assert refusal(view, arrived) is RefusalCode.NOT_SIGNED_BY_PAYER_GROUP


def test_a_proof_for_another_place_in_the_envelope_is_refused() -> None:
    view = mechelen()
    arrived = offered(view, proof={"index": 0})
    assert refusal(view, arrived) is RefusalCode.NOT_SIGNED_BY_PAYER_GROUP


@pytest.mark.parametrize("signer", [MECHELEN, Group("hub")])
def test_a_prepare_signed_by_somebody_else_is_refused(signer: Group) -> None:
    view = mechelen()
    arrived = offered(view, signer=signer)
    assert refusal(view, arrived) is RefusalCode.NOT_SIGNED_BY_PAYER_GROUP


def test_a_prepare_of_a_group_that_nobody_knows_is_refused() -> None:
    view = mechelen()
    arrived = offered(view, payer_group=GENT)
    assert refusal(view, arrived) is RefusalCode.NOT_SIGNED_BY_PAYER_GROUP


def unreadable(view: NodeView, kind: str) -> Any:
    right = write_line(content())
    about = rules.about_prepare(ID)
    match kind:
        case "no box":
            return offered(view, box="")
        case "not base64url":
            return offered(view, box="=====")
        case "a touched box":
            return offered(view, box=flip(sealed(right, about)))
        case "another transfer's box":
            box = sealed(right, rules.about_prepare(OTHER_ID))
            return offered(view, box=box)
        case "sealed the other way round":
            box = sealed(right, about, sender=MECHELEN, to=OOSTENDE)
            return offered(view, box=box)
        case "another content":
            other = write_line(content(payee_amount=4))
            return offered(view, box=sealed(other, about))
        case _:
            return offered(view, says=b"no content line")


@pytest.mark.parametrize(
    "kind",
    [
        "no box",
        "not base64url",
        "a touched box",
        "another transfer's box",
        "sealed the other way round",
        "another content",
        "no content line",
    ],
)
def test_content_that_cannot_be_read_is_refused(kind: str) -> None:
    view = mechelen()
    assert refusal(view, unreadable(view, kind)) is RefusalCode.CONTENT_UNREADABLE


@pytest.mark.parametrize(
    "hidden",
    [
        {"name": "Marie\u202eeiraM"},
        {"name": ""},
        {"name": "M" * 81},
        {"memo": "eggs\x00"},
        {"memo": "e" * 501},
    ],
    ids=["turned name", "no name", "long name", "control in memo", "long memo"],
)
def test_a_name_or_memo_that_people_must_not_see_is_refused(
    hidden: dict[str, str],
) -> None:
    view = mechelen()
    arrived = offered(view, says=content(**hidden))
    assert refusal(view, arrived) is RefusalCode.CONTENT_UNREADABLE


def test_the_longest_name_and_memo_are_welcome() -> None:
    view = mechelen()
    arrived = offered(view, says=content(name="M" * 80, memo="e" * 500))
    carried(view, rules.decide_offer(view, arrived, NOW))
    assert view.transfers[ID].state is State.ACCEPTED


@pytest.mark.parametrize(
    ("says", "fields"),
    [
        ({"payee_amount": 4}, {}),
        ({"payee_amount": 2}, {}),
        ({"payer_amount": 2}, {}),
        ({}, {"milliseconds": S + 1}),
        ({}, {"milliseconds": S - 1}),
        ({"payee_amount": 4, "payer_amount": 1}, {"milliseconds": 240_000}),
        ({"payee_amount": 4, "payer_amount": 3}, {"milliseconds": 240_000}),
        ({}, {"payer_rate": 2}),
        ({}, {"payee_rate": 2}),
        ({"payee_amount": AMOUNT_MAX}, {}),
    ],
    ids=[
        "P more than S",
        "P less than S",
        "Y too much",
        "S too much",
        "S too little",
        "Y rounded down",
        "Y rounded up twice",
        "payer's rate not known",
        "payee's rate not known",
        "P beyond every limit",
    ],
)
def test_amounts_that_do_not_belong_together_are_refused(
    says: dict[str, int], fields: dict[str, int]
) -> None:
    view = mechelen()
    arrived = offered(view, says=content(**says), **fields)
    assert refusal(view, arrived) is RefusalCode.AMOUNT_MISMATCH


def test_an_older_rate_that_the_hub_took_in_time_is_reckoned_with() -> None:
    view = mechelen()
    know(view, directory_of(entry_of(OOSTENDE, 180_000, 1), entry_of(MECHELEN)))
    carried(view, rules.decide_offer(view, offered(view), NOW))
    assert view.transfers[ID].state is State.ACCEPTED


def test_an_account_that_is_not_there_is_refused() -> None:
    view = mechelen()
    arrived = offered(view, says=content(payee="lies"))
    assert refusal(view, arrived) is RefusalCode.UNKNOWN_ACCOUNT


@pytest.mark.parametrize(
    ("bob", "kept"), [(None, ""), ({"closed": True}, ""), ({"frozen": True}, "bob")]
)
def test_a_refused_offer_is_no_ones_but_a_members_who_is_there(
    bob: dict[str, Any] | None, kept: str
) -> None:
    # Or whoever is admitted under that name later would read it.
    view = node_view(MECHELEN) if bob is None else mechelen(**bob)
    assert refusal(view, offered(view)) is not None
    assert view.transfers[ID].account == kept


@pytest.mark.parametrize("account", ["clearing", "suspense", "fund", "conversion.1"])
def test_nobody_pays_one_of_the_nodes_own_accounts(account: str) -> None:
    view = mechelen()
    arrived = offered(view, says=content(payee=account))
    assert refusal(view, arrived) is RefusalCode.UNKNOWN_ACCOUNT


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ({"ceiling": 3}, None),
        ({"ceiling": 2}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        ({"ceiling": 4, "held_in": 1}, None),
        ({"ceiling": 4, "held_in": 2}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        ({"ceiling": 2, "held_out": 5}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        ({"frozen": True}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        ({"ceiling": None}, None),
    ],
)
def test_a_payee_may_reach_her_ceiling_and_no_further(
    account: dict[str, Any], code: RefusalCode | None
) -> None:
    view = mechelen(**account)
    carried(view, rules.decide_offer(view, offered(view), NOW))
    assert view.transfers[ID].code == code


PAYEE_REASONS: list[tuple[RefusalCode, dict[str, Any], dict[str, Any]]] = [
    (RefusalCode.NOT_SIGNED_BY_PAYER_GROUP, {"signer": MECHELEN}, {}),
    (RefusalCode.CONTENT_UNREADABLE, {"box": ""}, {}),
    (RefusalCode.AMOUNT_MISMATCH, {"milliseconds": 1}, {}),
    (RefusalCode.UNKNOWN_ACCOUNT, {"says": content(payee="lies")}, {}),
    (RefusalCode.PAYEE_CANNOT_RECEIVE, {}, {"frozen": True}),
]


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.combinations(PAYEE_REASONS, 2)),
    ids=lambda reason: str(reason[0]),
)
def test_of_two_reasons_the_payees_node_says_the_first(first: Any, second: Any) -> None:
    view = mechelen(**(second[2] | first[2]))
    arrived = offered(view, **(second[1] | first[1]))
    assert refusal(view, arrived) is first[0]


def test_an_offer_that_holds_no_prepare_has_no_effect() -> None:
    view = mechelen()
    accept = TransferAccept(id=ID, prepare=hash_of("prepare"))
    arrived = offered(view, proof={"line": write_line(accept).decode()})
    effects = carried(view, rules.decide_offer(view, arrived, NOW))
    assert item_code(effects) is ItemRefusalCode.UNREADABLE
    assert view.transfers == {}


def test_an_offer_for_another_group_has_no_effect() -> None:
    view = mechelen()
    arrived = offered(view, payee_group=GENT)
    effects = carried(view, rules.decide_offer(view, arrived, NOW))
    assert item_code(effects) is ItemRefusalCode.NOT_YOURS
    assert view.transfers == {}


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_same_offer_again_changes_nothing(is_refused: bool) -> None:
    view = mechelen(frozen=is_refused)
    arrived = offered(view)
    carried(view, rules.decide_offer(view, arrived, NOW))
    view.accounts["bob"].frozen = False
    assert rules.decide_offer(view, arrived, later(1)).wanted == ()


def test_an_offer_of_another_prepare_under_the_same_id_has_no_effect() -> None:
    view = mechelen()
    carried(view, rules.decide_offer(view, offered(view), NOW))
    other = offered(view, says=content(memo="other eggs"))
    effects = carried(view, rules.decide_offer(view, other, NOW))
    assert item_code(effects) is ItemRefusalCode.ID_REUSED
    assert view.accounts["bob"].held_in == 3


def test_the_second_offer_of_a_batch_sees_the_hold_of_the_first() -> None:
    view = mechelen(ceiling=3)
    carried(view, rules.decide_offer(view, offered(view), NOW))
    effects = rules.decide_offer(view, offered(view, id=OTHER_ID), NOW)
    ((_, refuse),) = sent(effects)
    assert isinstance(refuse, TransferRefuse)
    assert refuse.code == RefusalCode.PAYEE_CANNOT_RECEIVE


def item_code(effects: Effects) -> ItemRefusalCode:
    ((to, refused),) = sent(effects)
    assert isinstance(refused, ItemRefused)
    assert to == "hub"
    return refused.code


# The answer and the decision arrive at the payer's node.


def with_order() -> tuple[NodeView, TransferPrepare]:
    view = oostende()
    return view, ordered(view)


def with_answer() -> tuple[NodeView, TransferPrepare, str]:
    """Marie has ordered, and the hub has shown Mechelen's accept."""
    view, prepare = with_order()
    arrived = answered(prepare)
    carried(view, rules.decide_answer(view, arrived))
    return view, prepare, answer_hash(arrived)


def is_held(view: NodeView) -> bool:
    return view.holds[ID].state is HoldState.HELD


def calls(effects: Effects) -> list[CallPeople]:
    return of_kind(effects, CallPeople)


def test_a_cleared_decision_with_its_answer_posts_the_four_legs() -> None:
    view, prepare, answer = with_answer()
    told = decision(prepare=hash_of_item(prepare), answer=answer)
    effects = carried(view, rules.decide_decision(view, told, NOW))
    assert of_kind(effects, EndHold) == [EndHold(ID, HoldState.POSTED)]
    balances = {name: account.balance for name, account in view.accounts.items()}
    assert {name: balance for name, balance in balances.items() if balance} == {
        "marie": -1,
        "conversion.1": 1,
        "conversion.1.time": -S,
        "clearing": S,
    }
    assert view.accounts["marie"].held_out == 0
    assert view.transfers[ID].state is State.CLEARED
    assert of_kind(effects, NoteDecision) == [NoteDecision(LOG, 4)]


def test_a_cleared_decision_without_an_answer_keeps_the_hold_and_calls_people() -> None:
    view, prepare = with_order()
    told = decision(prepare=hash_of_item(prepare), answer=hash_of("answer"))
    effects = carried(view, rules.decide_decision(view, told, NOW))
    assert calls(effects)
    assert is_held(view)
    assert view.transfers[ID].state is State.ORDERED
    assert not of_kind(effects, PostEntry)


@pytest.mark.parametrize("named", [None, hash_of("another answer")])
def test_a_decision_that_names_another_answer_keeps_the_hold(named: str | None) -> None:
    view, prepare, _ = with_answer()
    told = decision(prepare=hash_of_item(prepare), answer=named)
    effects = carried(view, rules.decide_decision(view, told, NOW))
    assert calls(effects)
    assert is_held(view)


@pytest.mark.parametrize("signer", [OOSTENDE, Group("hub")])
def test_an_answer_that_the_payee_did_not_sign_counts_for_nothing(
    signer: Group,
) -> None:
    view, prepare = with_order()
    arrived = answered(prepare, signer=signer)
    effects = carried(view, rules.decide_answer(view, arrived))
    assert [type(effect) for effect in effects.wanted] == [CallPeople]
    told = decision(prepare=hash_of_item(prepare), answer=answer_hash(arrived))
    carried(view, rules.decide_decision(view, told, NOW))
    assert is_held(view)


def test_an_answer_to_another_prepare_counts_for_nothing() -> None:
    view, prepare = with_order()
    arrived = answered(prepare, prepare=hash_of("another prepare"))
    effects = carried(view, rules.decide_answer(view, arrived))
    assert calls(effects)
    assert view.transfers[ID].answer is None


def test_an_answer_about_nothing_of_ours_has_no_effect() -> None:
    view = oostende()
    prepare = ordered(oostende())
    effects = rules.decide_answer(view, answered(prepare))
    assert item_code(effects) is ItemRefusalCode.NOT_YOURS


def test_a_payees_node_is_not_shown_answers() -> None:
    view = mechelen()
    arrived = offered(view)
    carried(view, rules.decide_offer(view, arrived, NOW))
    prepare = read_item(arrived.item.line.encode())
    assert isinstance(prepare, TransferPrepare)
    effects = rules.decide_answer(view, answered(prepare))
    assert item_code(effects) is ItemRefusalCode.NOT_YOURS


def test_a_refusal_of_an_id_that_the_hub_never_knew_frees_the_hold() -> None:
    view, _, _ = with_answer()
    told = decision(
        prepare=None,
        answer=None,
        outcome="refused",
        code=RefusalCode.UNKNOWN_TRANSFER,
    )
    effects = carried(view, rules.decide_decision(view, told, NOW))
    assert not calls(effects)
    assert not is_held(view)
    assert view.transfers[ID].state is State.REFUSED


@pytest.mark.parametrize("outcome", ["cleared", "refused"])
def test_a_decision_for_another_prepare_keeps_the_hold_and_calls_people(
    outcome: str,
) -> None:
    view, _, answer = with_answer()
    told = decision(prepare=hash_of("other"), answer=answer, outcome=outcome)
    effects = carried(view, rules.decide_decision(view, told, NOW))
    assert calls(effects)
    assert is_held(view)
    assert view.transfers[ID].state is State.ORDERED


def test_a_refused_decision_gives_the_payer_her_units_back() -> None:
    view, prepare = with_order()
    told = decision(
        prepare=hash_of_item(prepare), outcome="refused", code=RefusalCode.CANCELLED
    )
    effects = carried(view, rules.decide_decision(view, told, NOW))
    assert of_kind(effects, EndHold) == [EndHold(ID, HoldState.VOIDED)]
    assert not of_kind(effects, PostEntry)
    assert (view.accounts["marie"].balance, view.accounts["marie"].held_out) == (0, 0)
    assert view.transfers[ID].code == RefusalCode.CANCELLED


def test_the_same_decision_again_changes_nothing() -> None:
    view, prepare, answer = with_answer()
    told = decision(prepare=hash_of_item(prepare), answer=answer)
    carried(view, rules.decide_decision(view, told, NOW))
    again = rules.decide_decision(view, told, NOW)
    assert [type(effect) for effect in again.wanted] == [NoteDecision]


@pytest.mark.parametrize("first", ["cleared", "refused"])
def test_a_second_decision_that_contradicts_calls_people(first: str) -> None:
    second = "refused" if first == "cleared" else "cleared"
    view, prepare, answer = with_answer()
    fields = {"prepare": hash_of_item(prepare), "answer": answer}
    carried(view, rules.decide_decision(view, decision(outcome=first, **fields), NOW))
    balance = view.accounts["marie"].balance
    contradicting = decision(outcome=second, number=5, **fields)
    effects = carried(view, rules.decide_decision(view, contradicting, NOW))
    assert calls(effects)
    assert not of_kind(effects, EndHold) + of_kind(effects, PostEntry)
    assert view.accounts["marie"].balance == balance
    assert view.transfers[ID].state == first


def test_what_is_held_posts_whatever_was_frozen_or_limited_since() -> None:
    view, prepare, answer = with_answer()
    marie = view.accounts["marie"]
    marie.frozen, marie.floor, marie.ceiling = True, 0, 0
    told = decision(prepare=hash_of_item(prepare), answer=answer)
    carried(view, rules.decide_decision(view, told, NOW))
    assert marie.balance == -1


def test_what_was_ordered_before_a_rate_change_posts_at_its_old_rate() -> None:
    view, prepare, answer = with_answer()
    changed = directory_decision(entry_of(OOSTENDE, 180_000, 90_000), number=1)
    line = write_line(changed)
    carried(view, rules.decide_directory(view, changed, line, NOW))
    told = decision(prepare=hash_of_item(prepare), answer=answer)
    carried(view, rules.decide_decision(view, told, NOW))
    assert view.accounts[conversion(1)].balance == 1
    assert view.accounts[conversion(2)].balance == 0


# The decision arrives at the payee's node.


def with_offer(**changes: Any) -> tuple[NodeView, str]:
    view = mechelen(**changes)
    arrived = offered(view)
    carried(view, rules.decide_offer(view, arrived, NOW))
    return view, line_hash(arrived.item.line.encode())


def test_a_cleared_decision_credits_the_payee() -> None:
    view, prepare = with_offer()
    told = decision(prepare=prepare, answer=hash_of("answer"))
    carried(view, rules.decide_decision(view, told, NOW))
    balances = {name: account.balance for name, account in view.accounts.items()}
    assert {name: balance for name, balance in balances.items() if balance} == {
        "bob": 3,
        "conversion.1": -3,
        "conversion.1.time": S,
        "clearing": -S,
    }
    assert view.accounts["bob"].held_in == 0


def test_a_credit_posts_above_a_ceiling_that_came_later() -> None:
    view, prepare = with_offer()
    bob = view.accounts["bob"]
    bob.frozen, bob.ceiling = True, 0
    carried(view, rules.decide_decision(view, decision(prepare=prepare), NOW))
    assert bob.balance == 3


def test_a_refused_decision_voids_what_the_payee_was_to_get() -> None:
    view, prepare = with_offer()
    told = decision(
        prepare=prepare, outcome="refused", code=RefusalCode.PAYEE_UNREACHABLE
    )
    carried(view, rules.decide_decision(view, told, NOW))
    assert (view.accounts["bob"].balance, view.accounts["bob"].held_in) == (0, 0)


def test_a_decision_for_another_prepare_does_not_credit_the_payee() -> None:
    view, _ = with_offer()
    told = decision(prepare=hash_of("other"))
    effects = carried(view, rules.decide_decision(view, told, NOW))
    assert calls(effects)
    assert is_held(view)
    assert view.accounts["bob"].balance == 0


def test_cleared_after_this_node_refused_it_calls_people() -> None:
    view, prepare = with_offer(frozen=True)
    effects = rules.decide_decision(view, decision(prepare=prepare), NOW)
    assert calls(effects)
    assert not of_kind(effects, PostEntry)


def test_refused_after_this_node_refused_it_changes_nothing() -> None:
    view, prepare = with_offer(frozen=True)
    told = decision(prepare=prepare, outcome="refused")
    effects = rules.decide_decision(view, told, NOW)
    assert [type(effect) for effect in effects.wanted] == [NoteDecision]


@pytest.mark.parametrize("outcome", ["cleared", "refused"])
def test_a_decision_about_a_transfer_that_is_not_known_here(outcome: str) -> None:
    view = mechelen()
    told = decision(outcome=outcome, prepare=hash_of("prepare"))
    effects = rules.decide_decision(view, told, NOW)
    assert bool(calls(effects)) is (outcome == "cleared")
    assert not of_kind(effects, PostEntry) + of_kind(effects, SaveTransfer)


# Items that the hub could not take.


def refused_item(view: NodeView, line: bytes, **changes: Any) -> Any:
    view.sent_lines["hub", 1] = line
    fields: dict[str, Any] = {
        "number": 1,
        "hash": line_hash(line),
        "code": ItemRefusalCode.ID_REUSED,
    }
    return arrival("hub", ItemRefused(**(fields | changes)))


def test_a_prepare_that_the_hub_could_not_take_is_voided() -> None:
    view, prepare = with_order()
    arrived = refused_item(view, write_line(prepare))
    carried(view, rules.decide_item_refused(view, arrived, NOW))
    assert view.accounts["marie"].held_out == 0
    assert view.transfers[ID].state is State.REFUSED
    assert view.transfers[ID].code == ItemRefusalCode.ID_REUSED


@pytest.mark.parametrize(
    "changes", [{"hash": hash_of("other")}, {"number": 2}], ids=["hash", "number"]
)
def test_a_refused_item_that_was_never_sent_so_calls_people(
    changes: dict[str, Any],
) -> None:
    view, prepare = with_order()
    arrived = refused_item(view, write_line(prepare), **changes)
    effects = carried(view, rules.decide_item_refused(view, arrived, NOW))
    assert [type(effect) for effect in effects.wanted] == [CallPeople]
    assert is_held(view)


def test_a_refused_accept_keeps_its_hold_and_calls_people() -> None:
    view, prepare = with_offer()
    accept = TransferAccept(id=ID, prepare=prepare)
    arrived = refused_item(view, write_line(accept))
    effects = carried(view, rules.decide_item_refused(view, arrived, NOW))
    assert calls(effects)
    assert is_held(view)


def test_a_prepare_refused_after_its_decision_moves_nothing() -> None:
    view, prepare, answer = with_answer()
    told = decision(prepare=hash_of_item(prepare), answer=answer)
    carried(view, rules.decide_decision(view, told, NOW))
    arrived = refused_item(view, write_line(prepare))
    effects = carried(view, rules.decide_item_refused(view, arrived, NOW))
    assert not of_kind(effects, EndHold) + of_kind(effects, SaveTransfer)
    assert view.transfers[ID].state is State.CLEARED


# Books.


@pytest.mark.parametrize("seed", range(20))
def test_entries_of_both_sides_sum_to_zero_and_nobody_gains(seed: int) -> None:
    draw = random.Random(seed)
    rates = {
        group: draw.choice([1, 7_000, 60_000, 514_286, draw.randint(1, 10**7)])
        for group in RATES
    }
    directory = directory_of(*(entry_of(group, rate) for group, rate in rates.items()))
    payer = node_view(OOSTENDE, member("marie"))
    payee = node_view(MECHELEN, member("bob"))
    know(payer, directory)
    know(payee, directory)
    entries: dict[Group, list[Any]] = {OOSTENDE: [], MECHELEN: []}
    for number in range(8):
        amount = Amount(draw.randint(1, 10**4))
        quoted = quote(amount, rates[OOSTENDE], rates[MECHELEN])
        assert quoted is not None
        id_ = f"{ID[:-1]}{number}"
        fields = {"transfer_id": id_, "key": id_, "payee_amount": amount}
        prepare = ordered(payer, payer_amount_max=quoted.payer_amount, **fields)
        says = content(payee_amount=amount, payer_amount=quoted.payer_amount)
        arrived = offered(payee, says=says, id=id_, milliseconds=quoted.milliseconds)
        accepted = carried(payee, rules.decide_offer(payee, arrived, NOW))
        assert of_kind(accepted, PlaceHold)
        shown = answered(prepare)
        carried(payer, rules.decide_answer(payer, shown))
        for view, hash_ in (
            (payer, hash_of_item(prepare)),
            (payee, line_hash(arrived.item.line.encode())),
        ):
            told = decision(id=id_, prepare=hash_, answer=answer_hash(shown))
            effects = carried(view, rules.decide_decision(view, told, NOW))
            (posted,) = of_kind(effects, PostEntry)
            entries[view.group].append(posted.entry)
            assert sums([posted.entry], units_of(view)) == {"unit": 0, "time": 0}
    for view in (payer, payee):
        assert sums(entries[view.group], units_of(view)) == {"unit": 0, "time": 0}
        assert conversion_worth(view, 1, rates[view.group]) >= 0
    # What the payee's side gets is exact; only the payer's keeps a residue.
    assert conversion_worth(payee, 1, rates[MECHELEN]) == 0
    assert payer.clearing_balance == -payee.clearing_balance


# The directory.


def test_a_directory_decision_is_taken_in() -> None:
    view = oostende()
    new = directory_decision(entry_of(GENT), number=7)
    effects = carried(view, rules.decide_directory(view, new, write_line(new), NOW))
    assert view.directory[GENT].entry == entry_of(GENT)
    assert not of_kind(effects, OpenAccount)
    assert view.newest == (LOG, 7)


def test_our_own_entry_opens_the_accounts_of_its_rates() -> None:
    view = oostende()
    view.accounts.clear()
    own = directory_decision(entry_of(OOSTENDE, 180_000, 90_000))
    carried(view, rules.decide_directory(view, own, write_line(own), NOW))
    assert {name: account.unit for name, account in view.accounts.items()} == {
        "clearing": TIME_UNIT,
        "settlement": TIME_UNIT,
        "suspense": GROUP_UNIT,
        "fund": GROUP_UNIT,
        conversion(1): GROUP_UNIT,
        conversion_time(1): TIME_UNIT,
        conversion(2): GROUP_UNIT,
        conversion_time(2): TIME_UNIT,
    }
    assert {account.kind for account in view.accounts.values()} == {AccountKind.SYSTEM}


def test_our_own_entry_again_opens_only_what_is_new() -> None:
    view = oostende()
    own = directory_decision(entry_of(OOSTENDE, 180_000, 90_000))
    effects = carried(view, rules.decide_directory(view, own, write_line(own), NOW))
    opened = [effect.account.account_id for effect in of_kind(effects, OpenAccount)]
    assert opened == [conversion(2), conversion_time(2)]


def test_a_groups_other_key_is_not_taken_and_calls_people() -> None:
    view = oostende()
    entry = entry_of(MECHELEN, 60_000, 1, keys_of="an impostor")
    forged = directory_decision(entry, keys_of="an impostor")
    effects = carried(
        view, rules.decide_directory(view, forged, write_line(forged), NOW)
    )
    assert calls(effects)
    assert not of_kind(effects, SaveGroup)
    assert view.directory[MECHELEN].entry == entry_of(MECHELEN)


@pytest.mark.parametrize(
    "entry",
    [entry_of(MECHELEN, 61_000), entry_of(MECHELEN, 61_000, 60_000)],
    ids=["same version", "next version"],
)
def test_an_old_rate_never_changes(entry: Any) -> None:
    view = oostende()
    changed = directory_decision(entry)
    effects = carried(
        view, rules.decide_directory(view, changed, write_line(changed), NOW)
    )
    assert calls(effects)
    assert view.directory[MECHELEN].rate == 60_000


def test_an_entry_under_another_groups_name_is_not_taken() -> None:
    view = oostende()
    wrong = directory_decision(entry_of(GENT), group=MECHELEN)
    effects = carried(view, rules.decide_directory(view, wrong, write_line(wrong), NOW))
    assert calls(effects)
    assert GENT not in view.directory


# Members and the mirror.


def test_a_new_member_starts_with_nothing_and_her_limits() -> None:
    view = oostende()
    wanted = NewMember(account_id="lies", name="Lies", floor=-5, ceiling=9)
    effects = carried(view, rules.decide_member(view, wanted, NOW))
    assert effects.outcome is True
    assert view.accounts["lies"] == Account(
        "lies", AccountKind.MEMBER, GROUP_UNIT, floor=-5, ceiling=9
    )


def test_a_member_who_is_there_stays_as_she_is() -> None:
    view = oostende()
    wanted = NewMember(account_id="marie", name="Maria", floor=0, ceiling=0)
    effects = rules.decide_member(view, wanted, NOW)
    assert effects.wanted == ()
    assert effects.outcome is False


@pytest.mark.parametrize("name", ["clearing", "fund", "conversion.7", "conversion.x"])
def test_the_nodes_own_names_are_not_for_members(name: str) -> None:
    assert rules.is_reserved(name)


@pytest.mark.parametrize("name", ["marie", "conversion", "clearings", "1"])
def test_other_names_are_for_members(name: str) -> None:
    assert not rules.is_reserved(name)


def test_the_mirror_tells_the_balance_after_the_newest_decision_once() -> None:
    view, prepare, answer = with_answer()
    told = decision(prepare=hash_of_item(prepare), answer=answer, number=9)
    carried(view, rules.decide_decision(view, told, NOW))
    effects = carried(view, rules.decide_mirror(view))
    assert sent(effects) == [("hub", Mirror(log=LOG, number=9, balance=S))]
    assert rules.decide_mirror(view).wanted == ()


def test_a_node_that_took_no_decision_has_nothing_to_mirror() -> None:
    assert rules.decide_mirror(oostende()).wanted == ()


def test_a_transfer_knows_whose_it_is() -> None:
    payer, _ = with_order()
    payee, _ = with_offer()
    assert (payer.transfers[ID].role, payer.transfers[ID].account) == (
        Role.PAYER,
        "marie",
    )
    assert (payee.transfers[ID].role, payee.transfers[ID].account) == (
        Role.PAYEE,
        "bob",
    )


def test_a_wish_to_cancel_asks_the_hub_once_and_keeps_the_hold() -> None:
    view, prepare = with_order()
    wish = rules.CancelWish(transfer_id=ID)
    effects = carried(view, rules.decide_cancel(view, wish))
    ((to, item),) = sent(effects)
    assert (to, item) == ("hub", TransferCancel(id=prepare.id))
    assert is_held(view)
    assert view.transfers[ID].state is State.ORDERED
    assert sent(rules.decide_cancel(view, wish)) == []


@pytest.mark.parametrize("state", [State.CLEARED, State.REFUSED])
def test_what_has_ended_is_not_called_off(state: State) -> None:
    view, _ = with_order()
    view.transfers[ID] = msgspec.structs.replace(view.transfers[ID], state=state)
    effects = rules.decide_cancel(view, rules.CancelWish(transfer_id=ID))
    assert sent(effects) == []
    assert isinstance(effects.outcome, Ordered)
    assert effects.outcome.transfer.state is state


def test_a_payee_cannot_call_a_payment_off() -> None:
    view = mechelen()
    carried(view, rules.decide_offer(view, offered(view), NOW))
    effects = rules.decide_cancel(view, rules.CancelWish(transfer_id=ID))
    assert (list(effects.wanted), effects.outcome) == ([], None)
