"""The hub's decisions, one by one (protocol, section 7); no clerk, no database."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    Admission,
    AdmissionRefused,
    AppendDecision,
    Cap,
    HubView,
    SpendInvitation,
)
from protocol.address import Group
from protocol.directory import GroupRecord
from protocol.effects import (
    CallPeople,
    EndHold,
    OpenAccount,
    OpenLink,
    PlaceHold,
    PostEntry,
    SaveTransfer,
    SendItem,
)
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.instant import Instant, write_instant
from protocol.ledger import HoldState, Posting
from protocol.link import Trouble
from protocol.messages import (
    DirectoryDecision,
    GroupEntry,
    ItemRefused,
    LogDecision,
    TransferAccept,
    TransferAnswer,
    TransferCancel,
    TransferDecision,
    TransferOffer,
    TransferRefuse,
    line_hash,
    read_item,
)
from protocol.transfer import DEADLINE_SLACK_MS, NOW_MS, REACHABLE_MS, State
from protocol.unit import MILLISECONDS_MAX
from tests.clearing.makers import (
    S,
    accepted,
    apply,
    decisions,
    hub_view,
    invitation,
    position,
    prepared,
    transfer_in,
)
from tests.peer.makers import (
    NOW,
    OTHER_ID,
    arrival,
    compared,
    directory_of,
    entry_of,
    in_state,
    later,
    not_compared,
    of_kind,
    sent,
    signed,
    sums,
)
from tests.protocol.makers import ID, MECHELEN, OOSTENDE, hash_of

GENT = Group("gent")


def offered(view: HubView, **changes: Any) -> Any:
    """Let a prepare be taken and offered; gives it as it arrived."""
    arrived = prepared(**changes)
    apply(view, rules.decide_prepare(view, arrived, NOW))
    assert transfer_in(view).state is State.OFFERED
    return arrived


# A prepare arrives.


def test_a_prepare_holds_both_positions_and_is_offered_as_it_was_signed() -> None:
    view = hub_view()
    arrived = prepared(box="sealed")
    effects = apply(view, rules.decide_prepare(view, arrived, NOW))
    assert of_kind(effects, PlaceHold) == [PlaceHold(ID, OOSTENDE, MECHELEN, S)]
    (item,) = of_kind(effects, SendItem)
    assert (item.peer, item.box) == (MECHELEN, "sealed")
    offer = read_item(item.line)
    assert isinstance(offer, TransferOffer)
    assert offer.line.encode() == arrived.line
    assert (offer.path, offer.envelope) == (arrived.proof.path, arrived.proof.envelope)
    assert transfer_in(view).state is State.OFFERED


def test_a_hold_is_no_decision_and_moves_no_position() -> None:
    view = hub_view()
    effects = apply(view, rules.decide_prepare(view, prepared(), NOW))
    assert not of_kind(effects, AppendDecision)
    assert [view.accounts[group].balance for group in (OOSTENDE, MECHELEN)] == [0, 0]
    assert view.accounts[OOSTENDE].held_out == S
    assert view.accounts[MECHELEN].held_in == S


def test_an_offer_needs_no_comparison_since_it_decides_nothing() -> None:
    view = hub_view()
    view.links[MECHELEN] = not_compared(MECHELEN)
    apply(view, rules.decide_prepare(view, prepared(), NOW))
    assert transfer_in(view).state is State.OFFERED


Spoiler = Callable[[HubView, dict[str, Any]], None]


def no_such_group(view: HubView, fields: dict[str, Any]) -> None:
    fields["payee_group"] = "gent"


def group_that_has_left(view: HubView, fields: dict[str, Any]) -> None:
    view.directory = in_state(view.directory, MECHELEN, "left")


def leaving_payer(view: HubView, fields: dict[str, Any]) -> None:
    """At zero it may do nothing at all; a freeze is said before."""
    if view.directory[OOSTENDE].state == "active":
        view.directory = in_state(view.directory, OOSTENDE, "leaving")


def leaving_payee(view: HubView, fields: dict[str, Any]) -> None:
    if view.directory[MECHELEN].state == "active":
        view.directory = in_state(view.directory, MECHELEN, "leaving")


def frozen_group(view: HubView, fields: dict[str, Any]) -> None:
    view.directory = in_state(view.directory, OOSTENDE, "frozen")


def too_much(view: HubView, fields: dict[str, Any]) -> None:
    fields["milliseconds"] = MILLISECONDS_MAX + 1


def too_late(view: HubView, fields: dict[str, Any]) -> None:
    fields["decide_by"] = write_instant(NOW)


def old_rate(view: HubView, fields: dict[str, Any]) -> None:
    fields["payer_rate"] = 2


def refund_of_nothing(view: HubView, fields: dict[str, Any]) -> None:
    fields["refund_of"] = OTHER_ID


def payer_at_floor(view: HubView, fields: dict[str, Any]) -> None:
    view.accounts[OOSTENDE].floor = 0


def payee_at_ceiling(view: HubView, fields: dict[str, Any]) -> None:
    view.accounts[MECHELEN].ceiling = 0


def pair_at_cap(view: HubView, fields: dict[str, Any]) -> None:
    cap = Cap(OOSTENDE, MECHELEN, S - 1, write_instant(NOW), "@admin", "agreed")
    view.limits.caps = {(OOSTENDE, MECHELEN): cap}


#: What can be wrong with a prepare, in the law's order of precedence.
REASONS: list[tuple[RefusalCode, Spoiler]] = [
    (RefusalCode.UNKNOWN_GROUP, no_such_group),
    (RefusalCode.GROUP_LEFT, group_that_has_left),
    (RefusalCode.GROUP_FROZEN, frozen_group),
    (RefusalCode.AMOUNT_OUT_OF_RANGE, too_much),
    (RefusalCode.DEADLINE_OUT_OF_RANGE, too_late),
    (RefusalCode.RATE_CHANGED, old_rate),
    (RefusalCode.REFUND_UNKNOWN, refund_of_nothing),
    (RefusalCode.PAYER_GROUP_LEAVING, leaving_payer),
    (RefusalCode.PAYER_GROUP_FLOOR, payer_at_floor),
    (RefusalCode.PAYEE_GROUP_LEAVING, leaving_payee),
    (RefusalCode.PAYEE_GROUP_CEILING, payee_at_ceiling),
    (RefusalCode.MONTH_CAP, pair_at_cap),
]
ORDER = list(RefusalCode)


def spoilt(view: HubView, *spoilers: Spoiler) -> Any:
    fields: dict[str, Any] = {}
    for spoil in spoilers:
        spoil(view, fields)
    return prepared(**fields)


@pytest.mark.parametrize(("code", "spoil"), REASONS, ids=[str(c) for c, _ in REASONS])
def test_the_hub_refuses_a_prepare_to_its_payer_alone(
    code: RefusalCode, spoil: Spoiler
) -> None:
    view = hub_view()
    effects = apply(view, rules.decide_prepare(view, spoilt(view, spoil), NOW))
    ((to, decision),) = decisions(effects)
    assert (to, decision.outcome, decision.code) == (OOSTENDE, "refused", code)
    assert not of_kind(effects, PlaceHold)
    assert transfer_in(view).state is State.REFUSED


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.combinations(REASONS, 2)),
    ids=lambda reason: str(reason[0]),
)
def test_of_two_reasons_the_hub_says_the_first(
    first: tuple[RefusalCode, Spoiler], second: tuple[RefusalCode, Spoiler]
) -> None:
    assert ORDER.index(first[0]) < ORDER.index(second[0])
    view = hub_view()
    # The other way round, since precedence is not the order in which they came.
    arrived = spoilt(view, second[1], first[1])
    ((_, decision),) = decisions(rules.decide_prepare(view, arrived, NOW))
    assert decision.code is first[0]


def test_a_refused_prepare_is_a_leaf_of_the_log() -> None:
    view = hub_view()
    effects = apply(view, rules.decide_prepare(view, spoilt(view, too_late), NOW))
    (leaf,) = of_kind(effects, AppendDecision)
    (item,) = of_kind(effects, SendItem)
    assert (leaf.log, leaf.number, leaf.line) == (view.log, 0, item.line)
    assert view.size == 1


@pytest.mark.parametrize(
    ("milliseconds", "code"),
    [
        (0, RefusalCode.AMOUNT_OUT_OF_RANGE),
        (1, None),
        (MILLISECONDS_MAX, None),
        (MILLISECONDS_MAX + 1, RefusalCode.AMOUNT_OUT_OF_RANGE),
    ],
)
def test_an_amount_is_one_to_ten_to_the_fourteenth(
    milliseconds: int, code: RefusalCode | None
) -> None:
    view = hub_view()
    view.accounts[OOSTENDE].floor = view.accounts[MECHELEN].ceiling = None
    arrived = prepared(milliseconds=milliseconds)
    apply(view, rules.decide_prepare(view, arrived, NOW))
    assert transfer_in(view).code == code


@pytest.mark.parametrize(
    ("within_ms", "code"),
    [
        (0, RefusalCode.DEADLINE_OUT_OF_RANGE),
        (1, None),
        (REACHABLE_MS + DEADLINE_SLACK_MS, None),
        (REACHABLE_MS + DEADLINE_SLACK_MS + 1, RefusalCode.DEADLINE_OUT_OF_RANGE),
    ],
)
def test_a_deadline_lies_ahead_and_not_too_far(
    within_ms: int, code: RefusalCode | None
) -> None:
    view = hub_view()
    arrived = prepared(decide_by=write_instant(later(within_ms)))
    apply(view, rules.decide_prepare(view, arrived, NOW))
    assert transfer_in(view).code == code


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ({"floor": -S}, None),
        ({"floor": -S + 1}, RefusalCode.PAYER_GROUP_FLOOR),
        ({"floor": -2 * S, "held_out": S}, None),
        ({"floor": -2 * S, "held_out": S + 1}, RefusalCode.PAYER_GROUP_FLOOR),
        # Position -3, floor -3, held_in 1: nothing may be paid until it has posted.
        ({"floor": -3, "balance": -3, "held_in": S}, RefusalCode.PAYER_GROUP_FLOOR),
        ({"frozen": True}, RefusalCode.PAYER_GROUP_FLOOR),
    ],
)
def test_a_paying_group_may_reach_its_floor_and_no_further(
    account: dict[str, Any], code: RefusalCode | None
) -> None:
    view = hub_view()
    view.accounts[OOSTENDE] = position(OOSTENDE, **account)
    apply(view, rules.decide_prepare(view, prepared(), NOW))
    assert transfer_in(view).code == code


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ({"ceiling": S}, None),
        ({"ceiling": S - 1}, RefusalCode.PAYEE_GROUP_CEILING),
        ({"ceiling": 2 * S, "held_in": S}, None),
        ({"ceiling": 2 * S, "held_in": S + 1}, RefusalCode.PAYEE_GROUP_CEILING),
        ({"ceiling": 0, "held_out": S}, RefusalCode.PAYEE_GROUP_CEILING),
    ],
)
def test_a_receiving_group_may_reach_its_ceiling_and_no_further(
    account: dict[str, Any], code: RefusalCode | None
) -> None:
    view = hub_view()
    view.accounts[MECHELEN] = position(MECHELEN, **account)
    apply(view, rules.decide_prepare(view, prepared(), NOW))
    assert transfer_in(view).code == code


def test_the_second_prepare_of_a_batch_sees_the_hold_of_the_first() -> None:
    view = hub_view()
    view.accounts[OOSTENDE].floor = -S
    apply(view, rules.decide_prepare(view, prepared(), NOW))
    effects = rules.decide_prepare(view, prepared(id=OTHER_ID), NOW)
    assert decisions(effects)[0][1].code is RefusalCode.PAYER_GROUP_FLOOR


def test_a_group_does_not_pay_itself_through_the_hub() -> None:
    view = hub_view()
    effects = rules.decide_prepare(view, prepared(payee_group=OOSTENDE), NOW)
    assert decisions(effects)[0][1].code is RefusalCode.UNKNOWN_GROUP


@pytest.mark.parametrize("payee", ["hub", "reserve"])
def test_nobody_pays_the_hub_itself(payee: str) -> None:
    view = hub_view()
    effects = rules.decide_prepare(view, prepared(payee_group=payee), NOW)
    assert decisions(effects)[0][1].code is RefusalCode.UNKNOWN_GROUP


@pytest.mark.parametrize(
    ("state", "group", "code"),
    [
        # At zero a group that is leaving has nothing more to run off.
        ("leaving", OOSTENDE, RefusalCode.PAYER_GROUP_LEAVING),
        ("leaving", MECHELEN, RefusalCode.PAYEE_GROUP_LEAVING),
        ("frozen", OOSTENDE, RefusalCode.GROUP_FROZEN),
        ("frozen", MECHELEN, RefusalCode.GROUP_FROZEN),
        ("left", OOSTENDE, RefusalCode.GROUP_LEFT),
        ("left", MECHELEN, RefusalCode.GROUP_LEFT),
    ],
)
def test_only_an_active_group_trades(
    group: Group, state: str, code: RefusalCode
) -> None:
    view = hub_view()
    view.directory = in_state(view.directory, group, state)
    effects = rules.decide_prepare(view, prepared(), NOW)
    assert decisions(effects)[0][1].code is code


@pytest.mark.parametrize("trouble", [Trouble.FORK, Trouble.PEER_IS_BEHIND])
def test_a_group_whose_link_is_frozen_counts_as_frozen(trouble: Trouble) -> None:
    view = hub_view()
    view.links[MECHELEN] = msgspec.structs.replace(
        view.links[MECHELEN], trouble=trouble
    )
    effects = rules.decide_prepare(view, prepared(), NOW)
    assert decisions(effects)[0][1].code is RefusalCode.GROUP_FROZEN


def told_behind(view: rules.HubView, group: Group) -> None:
    """Let a group say that it has more of the hub's than the hub knows."""
    link = view.links.get(group) or compared(group)
    view.links[group] = msgspec.structs.replace(
        link, trouble=Trouble.WE_ARE_BEHIND, is_named=False
    )


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_a_hub_that_may_have_forgotten_decides_on_no_offer(group: Group) -> None:
    view = hub_view()
    arrived = offered(view)
    told_behind(view, group)
    effects = apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    assert sent(effects) == []
    assert (
        list(rules.decide_due(view, transfer_in(view), later(REACHABLE_MS)).wanted)
        == []
    )
    view.links[group] = compared(group)
    effects = rules.decide_due(view, transfer_in(view), NOW)
    assert {item.outcome for _, item in decisions(effects)} == {"cleared"}


def test_the_word_of_one_group_stops_no_other() -> None:
    view = hub_view()
    told_behind(view, GENT)
    arrived = offered(view)
    effects = rules.decide_reply(view, accepted(arrived), NOW)
    assert {item.outcome for _, item in decisions(effects)} == {"cleared"}


def test_an_unknown_id_waits_while_anyone_says_that_the_hub_is_behind() -> None:
    view = hub_view()
    told_behind(view, GENT)
    effects = apply(view, rules.decide_reply(view, an_unknown("accept"), NOW))
    assert sent(effects) == []
    del view.links[GENT]
    effects = rules.decide_due(view, transfer_in(view), NOW)
    assert decisions(effects)[0][1].code is RefusalCode.UNKNOWN_TRANSFER


def test_nobody_spoils_the_id_of_two_other_groups() -> None:
    view = hub_view()
    reply = arrival(GENT, TransferCancel(id=ID))
    view.links[GENT] = compared(GENT)
    apply(view, rules.decide_reply(view, reply, NOW))
    apply(view, rules.decide_prepare(view, prepared(), NOW))
    assert transfer_in(view).state is State.OFFERED


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_an_old_rate_is_refused_when_the_prepare_is_taken(group: Group) -> None:
    view = hub_view()
    other = MECHELEN if group == OOSTENDE else OOSTENDE
    view.directory = directory_of(entry_of(group, 90_000, 95_000), entry_of(other))
    effects = rules.decide_prepare(view, prepared(), NOW)
    assert decisions(effects)[0][1].code is RefusalCode.RATE_CHANGED


def test_a_group_cannot_prepare_in_the_name_of_another() -> None:
    view = hub_view()
    effects = apply(view, rules.decide_prepare(view, prepared(peer=MECHELEN), NOW))
    ((to, refused),) = sent(effects)
    assert to == MECHELEN
    assert isinstance(refused, ItemRefused)
    assert refused.code is ItemRefusalCode.NOT_YOURS
    assert view.transfers == {}


@pytest.mark.parametrize("has_ended", [False, True])
def test_the_same_prepare_again_changes_nothing(has_ended: bool) -> None:
    view = hub_view()
    arrived = offered(view)
    if has_ended:
        apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    assert rules.decide_prepare(view, arrived, later(1)).wanted == ()


@pytest.mark.parametrize("has_ended", [False, True])
def test_another_prepare_under_the_same_id_is_no_second_decision(
    has_ended: bool,
) -> None:
    view = hub_view()
    arrived = offered(view)
    if has_ended:
        apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    other = prepared(milliseconds=S + 1)
    effects = rules.decide_prepare(view, other, later(1))
    ((to, refused),) = sent(effects)
    assert to == OOSTENDE
    assert refused == ItemRefused(
        number=other.number, hash=line_hash(other.line), code=ItemRefusalCode.ID_REUSED
    )
    assert len(effects.wanted) == 1


# What must wait until both groups have compared.


@pytest.mark.parametrize("silent", [(OOSTENDE,), (MECHELEN,), (OOSTENDE, MECHELEN)])
@pytest.mark.parametrize(
    ("code", "spoil"), REASONS[1:], ids=[str(c) for c, _ in REASONS[1:]]
)
def test_a_refusal_waits_for_both_groups_and_then_has_the_same_code(
    code: RefusalCode, spoil: Spoiler, silent: tuple[Group, ...]
) -> None:
    view = hub_view()
    for group in silent:
        view.links[group] = not_compared(group)
    effects = apply(view, rules.decide_prepare(view, spoilt(view, spoil), NOW))
    assert [type(effect) for effect in effects.wanted] == [SaveTransfer]
    assert transfer_in(view).state is State.TAKEN
    for group in silent:
        assert rules.decide_due(view, transfer_in(view), later(1)).wanted == ()
        view.links[group] = compared(group)
    # Long past its deadline: the reason that it was refused for stays.
    effects = apply(view, rules.decide_due(view, transfer_in(view), later(10**9)))
    ((to, decision),) = decisions(effects)
    assert (to, decision.code) == (OOSTENDE, code)
    assert transfer_in(view).state is State.REFUSED


def test_a_refusal_about_an_unknown_group_waits_for_the_payer_alone() -> None:
    view = hub_view()
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    apply(view, rules.decide_prepare(view, spoilt(view, no_such_group), NOW))
    assert transfer_in(view).state is State.TAKEN
    view.links[OOSTENDE] = compared(OOSTENDE)
    effects = rules.decide_due(view, transfer_in(view), NOW)
    assert decisions(effects)[0][1].code is RefusalCode.UNKNOWN_GROUP


@pytest.mark.parametrize("silent", [OOSTENDE, MECHELEN])
def test_an_accept_waits_for_both_groups_and_then_clears(silent: Group) -> None:
    view = hub_view()
    arrived = offered(view)
    view.links[silent] = not_compared(silent)
    effects = apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    assert sent(effects) == []
    assert transfer_in(view).state is State.OFFERED
    view.links[silent] = compared(silent)
    effects = apply(view, rules.decide_due(view, transfer_in(view), later(1)))
    assert [decision.outcome for _, decision in decisions(effects)] == ["cleared"] * 2
    assert of_kind(effects, PostEntry)


def test_an_accept_that_waited_past_the_deadline_does_not_clear() -> None:
    view = hub_view()
    arrived = offered(view)
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    view.links[OOSTENDE] = compared(OOSTENDE)
    effects = rules.decide_due(view, transfer_in(view), later(NOW_MS))
    codes = [decision.code for _, decision in decisions(effects)]
    assert codes == [RefusalCode.PAYEE_UNREACHABLE] * 2


def test_an_expired_offer_waits_for_both_groups() -> None:
    view = hub_view()
    offered(view)
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    assert rules.decide_due(view, transfer_in(view), later(NOW_MS)).wanted == ()


@pytest.mark.parametrize("is_cancel", [False, True])
def test_a_refuse_or_cancel_waits_for_both_groups(is_cancel: bool) -> None:
    view = hub_view()
    arrived = offered(view)
    view.links[MECHELEN] = not_compared(MECHELEN)
    reply = cancelled() if is_cancel else refused_by_payee(arrived)
    effects = apply(view, rules.decide_reply(view, reply, NOW))
    assert sent(effects) == []
    assert view.holds[ID].state is HoldState.HELD
    view.links[MECHELEN] = compared(MECHELEN)
    effects = apply(view, rules.decide_due(view, transfer_in(view), later(1)))
    code = RefusalCode.CANCELLED if is_cancel else RefusalCode.UNKNOWN_ACCOUNT
    assert [decision.code for _, decision in decisions(effects)] == [code] * 2
    assert view.holds[ID].state is HoldState.VOIDED


def test_a_cancel_does_not_change_the_reason_that_already_waits() -> None:
    view = hub_view()
    view.links[MECHELEN] = not_compared(MECHELEN)
    apply(view, rules.decide_prepare(view, spoilt(view, old_rate), NOW))
    apply(view, rules.decide_reply(view, cancelled(), later(1)))
    assert transfer_in(view).waiting_code == RefusalCode.RATE_CHANGED


def test_a_refusal_that_waits_is_not_overturned_by_an_accept() -> None:
    view = hub_view()
    arrived = offered(view)
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    apply(view, rules.decide_reply(view, refused_by_payee(arrived), NOW))
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    view.links[OOSTENDE] = compared(OOSTENDE)
    effects = rules.decide_due(view, transfer_in(view), later(1))
    assert {decision.outcome for _, decision in decisions(effects)} == {"refused"}


def test_a_cancel_counts_while_an_accept_waits_undecided() -> None:
    view = hub_view()
    arrived = offered(view)
    view.links[MECHELEN] = not_compared(MECHELEN)
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    apply(view, rules.decide_reply(view, cancelled(), NOW))
    view.links[MECHELEN] = compared(MECHELEN)
    effects = rules.decide_due(view, transfer_in(view), later(1))
    assert {decision.code for _, decision in decisions(effects)} == {
        RefusalCode.CANCELLED
    }


# Replies.


def refused_by_payee(arrived: Any, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "id": ID,
        "prepare": line_hash(arrived.line),
        "code": RefusalCode.UNKNOWN_ACCOUNT,
    }
    return arrival(MECHELEN, TransferRefuse(**(fields | changes)), number=5)


def cancelled(peer: Group = OOSTENDE) -> Any:
    return arrival(peer, TransferCancel(id=ID), number=6)


def test_an_accept_in_time_posts_both_positions() -> None:
    view = hub_view()
    arrived = offered(view)
    effects = apply(view, rules.decide_reply(view, accepted(arrived), later(1)))
    (posted,) = of_kind(effects, PostEntry)
    assert posted.entry.postings == (Posting(OOSTENDE, -S), Posting(MECHELEN, S))
    assert (posted.entry.entry_id, posted.entry.transfer_id) == (ID, ID)
    assert view.accounts[OOSTENDE].balance == -S
    assert view.accounts[MECHELEN].balance == S
    assert (view.accounts[OOSTENDE].held_out, view.accounts[MECHELEN].held_in) == (0, 0)
    assert transfer_in(view).state is State.CLEARED


def test_the_payer_gets_the_answer_just_before_the_decision() -> None:
    view = hub_view()
    arrived = offered(view)
    accept = accepted(arrived)
    effects = rules.decide_reply(view, accept, NOW)
    (to_payer, answer), (_, decision), (to_payee, told) = sent(effects)
    assert (to_payer, to_payee) == (OOSTENDE, MECHELEN)
    assert isinstance(answer, TransferAnswer)
    assert answer.line.encode() == accept.line
    assert isinstance(decision, TransferDecision)
    assert decision == told
    assert decision.answer == line_hash(accept.line)
    assert decision.prepare == line_hash(arrived.line)


def test_both_groups_and_the_log_get_the_very_same_line() -> None:
    view = hub_view()
    arrived = offered(view)
    effects = rules.decide_reply(view, accepted(arrived), NOW)
    (leaf,) = of_kind(effects, AppendDecision)
    lines = [item.line for item in of_kind(effects, SendItem)][1:]
    assert lines == [leaf.line, leaf.line]


@pytest.mark.parametrize(
    ("at", "outcome"),
    [
        (NOW - 1, "refused"),  # a clock set back below the prepare's taking
        (NOW, "cleared"),
        (NOW + NOW_MS - 1, "cleared"),
        (NOW + NOW_MS, "refused"),
        (NOW + NOW_MS + 1, "refused"),
    ],
)
def test_an_accept_counts_from_the_taking_until_just_before_the_deadline(
    at: int, outcome: str
) -> None:
    view = hub_view()
    arrived = offered(view)
    effects = apply(view, rules.decide_reply(view, accepted(arrived), Instant(at)))
    assert [decision.outcome for _, decision in decisions(effects)] == [outcome] * 2
    if outcome == "refused":
        assert {decision.code for _, decision in decisions(effects)} == {
            RefusalCode.PAYEE_UNREACHABLE
        }
        assert view.holds[ID].state is HoldState.VOIDED


@pytest.mark.parametrize(
    ("at", "is_decided"),
    [(NOW - 1, True), (NOW, False), (NOW + NOW_MS - 1, False), (NOW + NOW_MS, True)],
)
def test_an_offer_that_nobody_answers_expires_at_its_deadline(
    at: int, is_decided: bool
) -> None:
    view = hub_view()
    offered(view)
    effects = apply(view, rules.decide_due(view, transfer_in(view), Instant(at)))
    codes = [decision.code for _, decision in decisions(effects)]
    assert codes == [RefusalCode.PAYEE_UNREACHABLE] * 2 * is_decided
    assert (view.holds[ID].state is HoldState.VOIDED) is is_decided


def test_the_payees_refusal_voids_and_is_told_to_both_with_its_reason() -> None:
    view = hub_view()
    arrived = offered(view)
    reply = refused_by_payee(arrived)
    effects = apply(view, rules.decide_reply(view, reply, NOW))
    assert of_kind(effects, EndHold) == [EndHold(ID, HoldState.VOIDED)]
    assert [to for to, _ in decisions(effects)] == [OOSTENDE, MECHELEN]
    decision = decisions(effects)[0][1]
    assert decision.code is RefusalCode.UNKNOWN_ACCOUNT
    assert decision.answer == line_hash(reply.line)
    assert view.accounts[OOSTENDE].held_out == view.accounts[MECHELEN].held_in == 0


def test_the_payer_may_cancel_what_is_not_decided() -> None:
    view = hub_view()
    offered(view)
    effects = apply(view, rules.decide_reply(view, cancelled(), NOW))
    codes = [decision.code for _, decision in decisions(effects)]
    assert codes == [RefusalCode.CANCELLED] * 2
    assert view.holds[ID].state is HoldState.VOIDED


def of_the_wrong_party(kind: str, arrived: Any) -> Any:
    prepare_hash = line_hash(arrived.line)
    match kind:
        case "accept":
            return arrival(OOSTENDE, TransferAccept(id=ID, prepare=prepare_hash))
        case "refuse":
            code = RefusalCode.UNKNOWN_ACCOUNT
            refuse = TransferRefuse(id=ID, prepare=prepare_hash, code=code)
            return arrival(OOSTENDE, refuse)
        case _:
            return cancelled(MECHELEN)


@pytest.mark.parametrize("kind", ["accept", "refuse", "cancel"])
def test_nobody_answers_for_the_other_party(kind: str) -> None:
    view = hub_view()
    arrived = offered(view)
    reply = of_the_wrong_party(kind, arrived)
    effects = apply(view, rules.decide_reply(view, reply, NOW))
    ((to, refused),) = sent(effects)
    assert to == reply.peer
    assert isinstance(refused, ItemRefused)
    assert refused.code is ItemRefusalCode.NOT_YOURS
    assert view.holds[ID].state is HoldState.HELD


@pytest.mark.parametrize("is_accept", [False, True])
def test_a_reply_to_another_prepare_has_no_effect(is_accept: bool) -> None:
    view = hub_view()
    arrived = offered(view)
    other = hash_of("another prepare")
    reply = (
        accepted(arrived, prepare=other)
        if is_accept
        else refused_by_payee(arrived, prepare=other)
    )
    effects = apply(view, rules.decide_reply(view, reply, NOW))
    assert [type(item) for _, item in sent(effects)] == [ItemRefused]
    assert transfer_in(view).state is State.OFFERED
    assert view.holds[ID].state is HoldState.HELD


def an_unknown(kind: str) -> Any:
    prepare_hash = hash_of("prepare")
    match kind:
        case "accept":
            return arrival(MECHELEN, TransferAccept(id=ID, prepare=prepare_hash))
        case "refuse":
            code = RefusalCode.UNKNOWN_ACCOUNT
            return arrival(
                MECHELEN, TransferRefuse(id=ID, prepare=prepare_hash, code=code)
            )
        case _:
            return cancelled()


@pytest.mark.parametrize("kind", ["accept", "refuse", "cancel"])
def test_a_reply_about_an_unknown_id_is_refused_to_its_sender(kind: str) -> None:
    view = hub_view()
    reply = an_unknown(kind)
    effects = apply(view, rules.decide_reply(view, reply, NOW))
    ((to, decision),) = decisions(effects)
    assert (to, decision.code) == (reply.peer, RefusalCode.UNKNOWN_TRANSFER)
    assert (decision.prepare, decision.answer) == (None, None)
    assert len(of_kind(effects, AppendDecision)) == 1
    # The refused id stays refused: a late reply and a prepare change nothing.
    assert decisions(rules.decide_reply(view, reply, NOW)) == []
    effects = rules.decide_prepare(view, prepared(), NOW)
    ((to, item),) = sent(effects)
    assert isinstance(item, ItemRefused)
    assert (to, item.code) == (OOSTENDE, ItemRefusalCode.ID_REUSED)


@pytest.mark.parametrize("late", ["accept", "refuse", "cancel"])
@pytest.mark.parametrize("outcome", [State.CLEARED, State.REFUSED])
def test_the_first_decision_wins_for_ever(outcome: State, late: str) -> None:
    view = hub_view()
    arrived = offered(view)
    first = accepted(arrived) if outcome is State.CLEARED else cancelled()
    apply(view, rules.decide_reply(view, first, NOW))
    assert transfer_in(view).state is outcome
    replies = {
        "accept": accepted(arrived),
        "refuse": refused_by_payee(arrived),
        "cancel": cancelled(),
    }
    assert rules.decide_reply(view, replies[late], NOW).wanted == ()
    assert rules.decide_due(view, transfer_in(view), later(NOW_MS)).wanted == ()


def test_what_is_held_clears_whatever_was_frozen_or_limited_since() -> None:
    view = hub_view()
    arrived = offered(view)
    for group in (OOSTENDE, MECHELEN):
        account = view.accounts[group]
        account.frozen, account.floor, account.ceiling = True, 0, 0
        view.directory = in_state(view.directory, group, "frozen")
    effects = apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    assert {decision.outcome for _, decision in decisions(effects)} == {"cleared"}
    assert view.accounts[OOSTENDE].balance == -S


def test_what_was_taken_before_a_rate_change_clears_as_it_was_fixed() -> None:
    view = hub_view()
    arrived = offered(view)
    view.directory = directory_of(
        entry_of(OOSTENDE, 180_000, 90_000), entry_of(MECHELEN, 60_000, 1)
    )
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    assert view.accounts[MECHELEN].balance == S


def test_entries_and_positions_of_the_hub_sum_to_zero() -> None:
    view = hub_view()
    entries = []
    for number in range(1, 6):
        id_ = ID[:-1] + str(number)
        arrived = prepared(id=id_, milliseconds=number * 1000 + 1)
        apply(view, rules.decide_prepare(view, arrived, NOW))
        effects = rules.decide_reply(view, accepted(arrived, id=id_), NOW)
        apply(view, effects)
        entries += [posted.entry for posted in of_kind(effects, PostEntry)]
    assert len(entries) == 5
    units = {name: account.unit for name, account in view.accounts.items()}
    assert sums(entries, units) == {"time": 0}
    assert sum(account.balance for account in view.accounts.values()) == 0


# Items that the payee's node could not take.


def item_refused(item: SendItem, number: int, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "number": number,
        "hash": line_hash(item.line),
        "code": ItemRefusalCode.UNREADABLE,
    }
    return arrival(item.peer, ItemRefused(**(fields | changes)), number=9)


def test_an_offer_that_the_payees_node_cannot_read_is_refused() -> None:
    view = hub_view()
    effects = apply(view, rules.decide_prepare(view, prepared(), NOW))
    (offer,) = of_kind(effects, SendItem)
    view.sent_lines[MECHELEN, 1] = offer.line
    effects = apply(
        view, rules.decide_item_refused(view, item_refused(offer, 1), later(1))
    )
    assert [to for to, _ in decisions(effects)] == [OOSTENDE, MECHELEN]
    assert {decision.outcome for _, decision in decisions(effects)} == {"refused"}
    assert view.holds[ID].state is HoldState.VOIDED


def test_a_refused_item_with_another_hash_calls_people_and_moves_nothing() -> None:
    view = hub_view()
    effects = apply(view, rules.decide_prepare(view, prepared(), NOW))
    (offer,) = of_kind(effects, SendItem)
    view.sent_lines[MECHELEN, 1] = offer.line
    refused = item_refused(offer, 1, hash=hash_of("other"))
    effects = rules.decide_item_refused(view, refused, NOW)
    assert [type(effect) for effect in effects.wanted] == [CallPeople]


def test_a_refused_decision_calls_people() -> None:
    view = hub_view()
    arrived = offered(view)
    effects = apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    decision = of_kind(effects, SendItem)[-1]
    view.sent_lines[MECHELEN, 2] = decision.line
    effects = rules.decide_item_refused(view, item_refused(decision, 2), NOW)
    assert [type(effect) for effect in effects.wanted] == [CallPeople]


def test_an_offer_refused_after_the_decision_changes_nothing() -> None:
    view = hub_view()
    arrived = prepared()
    effects = apply(view, rules.decide_prepare(view, arrived, NOW))
    (offer,) = of_kind(effects, SendItem)
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    view.sent_lines[MECHELEN, 1] = offer.line
    effects = rules.decide_item_refused(view, item_refused(offer, 1), NOW)
    assert effects.wanted == ()


# The log and the directory.


def test_every_start_opens_a_log_and_tells_all_groups() -> None:
    view = hub_view()
    effects = apply(view, rules.open_log(view, NOW))
    assert [to for to, _ in sent(effects)] == [MECHELEN, OOSTENDE]
    assert all(isinstance(item, LogDecision) for _, item in sent(effects))
    assert view.size == 1


def admission(entry: GroupEntry | None = None, **changes: Any) -> Admission:
    entry = entry or entry_of(GENT)
    fields: dict[str, Any] = {
        "entry": entry,
        "signed": signed(entry, changes.pop("keys_of", None)),
        "code_hash": hash_of("code"),
        "request_hash": hash_of("request"),
    }
    return Admission(**(fields | changes))


def inviting_view(**changes: Any) -> HubView:
    view = hub_view()
    invited = invitation(**changes)
    view.invitations[invited.code_hash] = invited
    return view


def told(view: HubView, asked: Admission, now: Instant = NOW) -> str:
    effects = rules.decide_admission(view, asked, now)
    assert effects.wanted == ()
    assert isinstance(effects.outcome, AdmissionRefused)
    return effects.outcome.told


def test_an_invited_group_gets_an_account_a_link_and_a_place_in_the_directory() -> None:
    view = inviting_view()
    effects = apply(view, rules.decide_admission(view, admission(), NOW))
    assert isinstance(effects.outcome, GroupRecord)
    (opened,) = of_kind(effects, OpenAccount)
    account = opened.account
    assert (account.account_id, account.floor, account.ceiling) == (
        "gent",
        -3_600_000,
        7_200_000,
    )
    assert of_kind(effects, OpenLink) == [OpenLink("gent")]
    assert GENT in view.directory
    assert of_kind(effects, SpendInvitation)


def test_everyone_is_told_of_a_new_group_and_it_of_everyone_from_the_first_on() -> None:
    view = inviting_view()
    former = list(view.history)
    effects = apply(view, rules.decide_admission(view, admission(), NOW))
    lines = {
        group: [item.line for item in of_kind(effects, SendItem) if item.peer == group]
        for group in (GENT, MECHELEN, OOSTENDE)
    }
    (leaf,) = of_kind(effects, AppendDecision)
    assert isinstance(read_item(leaf.line), DirectoryDecision)
    assert lines[MECHELEN] == lines[OOSTENDE] == [leaf.line]
    assert lines[GENT] == [*former, leaf.line]


def test_the_same_request_again_gets_the_same_answer() -> None:
    view = inviting_view()
    first = apply(view, rules.decide_admission(view, admission(), NOW))
    # Also after the invitation has expired: the first answer may have been lost.
    again = rules.decide_admission(view, admission(), later(10**10))
    assert again.wanted == ()
    assert again.outcome == first.outcome


def test_an_invitation_admits_only_once() -> None:
    view = inviting_view()
    apply(view, rules.decide_admission(view, admission(), NOW))
    other = admission(request_hash=hash_of("another request"))
    assert "has been used" in told(view, other)


def test_an_invitation_that_the_hub_never_gave_admits_nobody() -> None:
    assert "not one of ours" in told(hub_view(), admission())


def test_an_invitation_admits_no_other_group() -> None:
    assert "not one of ours" in told(inviting_view(group="brugge"), admission())


@pytest.mark.parametrize(("now", "is_admitted"), [(NOW, True), (NOW + 1, False)])
def test_an_invitation_counts_until_its_time(now: int, is_admitted: bool) -> None:
    view = inviting_view()
    effects = rules.decide_admission(view, admission(), Instant(now))
    assert isinstance(effects.outcome, GroupRecord) is is_admitted
    if not is_admitted:
        assert "expired" in told(view, admission(), Instant(now))


def test_a_groups_name_is_given_once() -> None:
    view = inviting_view(group=MECHELEN)
    entry = entry_of(MECHELEN, keys_of="a newcomer")
    assert "already there" in told(view, admission(entry, keys_of="a newcomer"))


def test_a_group_begins_with_version_1_of_its_entry() -> None:
    assert "version 1" in told(inviting_view(), admission(entry_of(GENT, 1, 2)))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_key_of_a_new_group_is_in_use_anywhere(place: int) -> None:
    theirs, ours = entry_of(MECHELEN).keys, entry_of(GENT).keys
    keys = [*ours]
    keys[place] = msgspec.structs.replace(keys[place], key=theirs[place].key)
    view = inviting_view()
    assert "already in use" in told(
        view,
        admission(entry_of(GENT, keys=keys), signed="not looked at any more"),
    )


def test_the_hubs_own_keys_are_in_use_too() -> None:
    view = inviting_view()
    view.own_keys = frozenset({entry_of(GENT).keys[1].key})
    assert "already in use" in told(view, admission())


def test_a_key_is_in_use_whatever_it_is_used_for() -> None:
    keys = list(entry_of(GENT).keys)
    theirs = entry_of(MECHELEN).keys
    keys[2] = msgspec.structs.replace(keys[2], key=theirs[0].key)
    view = inviting_view()
    assert "already in use" in told(
        view, admission(entry_of(GENT, keys=keys), signed="not looked at any more")
    )


def test_two_requests_with_one_invitation_in_one_batch_admit_one() -> None:
    view = inviting_view()
    apply(view, rules.decide_admission(view, admission(), NOW))
    other = admission(
        entry_of(GENT, keys_of="somebody else"),
        keys_of="somebody else",
        request_hash=hash_of("other"),
    )
    assert "has been used" in told(view, other)
