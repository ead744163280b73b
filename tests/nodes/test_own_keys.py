"""How a group asks for new keys of its own, and what signs what meanwhile; pure."""

import random
from typing import Any

import msgspec
import pytest

from nodes import rules
from nodes.rules import (
    ChangeKeys,
    KeepRenewal,
    NodeView,
    NotRenewed,
    Ordered,
    ProposalState,
    Propose,
    RecoverKeys,
    Renewal,
    cover_kids,
    sealable_to,
    span_at,
)
from protocol.effects import CallPeople, Effects
from protocol.errors import DirectoryRefusalCode, ItemRefusalCode, RefusalCode
from protocol.key_change import check_statement, sign_key_change
from protocol.messages import (
    DirectoryDecision,
    GroupEntry,
    ItemRefused,
    KeyChangeItem,
    line_hash,
    write_line,
)
from protocol.steps import Step
from tests.nodes.makers import carried, know, oostende, order
from tests.peer.makers import (
    NOW,
    arrival,
    compared,
    directory_decision,
    entry_of,
    key_change,
    keys_decision,
    of_kind,
    recovery,
    sent,
    signed,
)
from tests.protocol.makers import OOSTENDE, signing_key
from tests.protocol.test_directory import asked
from tests.protocol.test_key_change import ANEW, renewed

OLD, NEW = signing_key(OOSTENDE).kid, signing_key(ANEW).kid
LAST = 41


def view_at(numbered: int = LAST - 1) -> NodeView:
    """Oostende's node, whose next item has number 41."""
    view = oostende()
    view.numbered["hub"] = numbered
    view.links["hub"] = compared("hub", sent=numbered, acknowledged=numbered)
    return view


def change(view: NodeView, entry: GroupEntry | None = None, by: str = ANEW) -> Effects:
    new = entry or renewed()
    order = ChangeKeys(entry=new, signed=signed(new, by))
    old = signing_key(OOSTENDE)
    effects = rules.decide_change_keys(
        view, order, lambda told: sign_key_change(told, old), NOW
    )
    return carried(view, effects)


def recover(view: NodeView, base: GroupEntry | None = None, **changes: Any) -> Effects:
    new = changes.pop("entry", None) or renewed()
    fields: dict[str, Any] = {
        "base": base or entry_of(OOSTENDE),
        "entry": new,
        "signed": signed(new, ANEW),
        "statement": recovery(new),
        "reason": "the disk broke",
    }
    wish = RecoverKeys(**(fields | changes))
    return carried(view, rules.decide_recover_keys(view, wish, entry_of(OOSTENDE), NOW))


def told(view: NodeView, decision: DirectoryDecision) -> Effects:
    line = write_line(decision)
    return carried(view, rules.decide_directory(view, decision, line, NOW))


def approved(view: NodeView) -> Effects:
    entry = renewed()
    statement = key_change(entry, LAST)
    return told(view, keys_decision(entry, (OOSTENDE, ANEW), (LAST,), statement))


def states(effects: Effects) -> list[ProposalState]:
    return [one.renewal.state for one in of_kind(effects, KeepRenewal)]


def test_a_change_is_an_item_that_the_old_key_has_signed_for() -> None:
    view = view_at()
    effects = change(view)
    assert effects.step is Step.KEY_CHANGE
    [(peer, item)] = sent(effects)
    assert peer == "hub" and isinstance(item, KeyChangeItem)
    check_statement(item.statement, entry_of(OOSTENDE), renewed(), LAST)
    assert isinstance(effects.outcome, Renewal)
    assert effects.outcome.number == LAST


def test_new_keys_wait_alone() -> None:
    view = view_at()
    change(view)
    assert change(view).outcome == NotRenewed(DirectoryRefusalCode.KEYS_WAIT)
    wish = Propose(entry=asked(), signed=signed(asked()))
    outcome = rules.decide_propose(view, wish, NOW).outcome
    assert outcome == rules.NotProposed(DirectoryRefusalCode.KEYS_WAIT)


@pytest.mark.parametrize(
    "entry", [renewed(version=1), renewed(version=3), renewed(name="LETS Other")]
)
def test_only_what_follows_with_other_keys_is_asked(entry: GroupEntry) -> None:
    outcome = change(view_at(), entry).outcome
    assert outcome == NotRenewed(DirectoryRefusalCode.ENTRY_CHANGED)


def test_nothing_is_sealed_behind_a_change_until_it_is_answered() -> None:
    view = view_at()
    assert sealable_to(view.renewal, LAST) is None
    change(view)
    assert [sealable_to(view.renewal, n) for n in (1, LAST, LAST + 1)] == [
        LAST,
        LAST,
        0,
    ]
    approved(view)
    assert sealable_to(view.renewal, LAST + 1) is None


def test_the_answer_brings_the_keys_into_force_item_by_item() -> None:
    view = view_at()
    change(view)
    effects = approved(view)
    assert states(effects) == [ProposalState.APPROVED]
    assert not of_kind(effects, CallPeople)
    record, first = view.trusted[OOSTENDE], entry_of(OOSTENDE)
    found = [span_at(record, first, number) for number in (1, LAST, LAST + 1, 10**9)]
    assert [one.kid for one in found if one] == [OLD, OLD, NEW, NEW]


def test_a_no_leaves_the_old_keys_and_people_are_told() -> None:
    view = view_at()
    change(view)
    assert view.renewal is not None
    item = KeyChangeItem(entry=view.renewal.signed, statement=view.renewal.statement)
    line = write_line(item)
    view.sent_lines["hub", LAST] = line
    code = ItemRefusalCode.NOT_APPROVED
    refused = ItemRefused(number=LAST, hash=line_hash(line), code=code)
    effects = carried(
        view, rules.decide_item_refused(view, arrival("hub", refused), NOW)
    )
    assert states(effects) == [ProposalState.REFUSED]
    assert len(of_kind(effects, CallPeople)) == 1
    assert sealable_to(view.renewal, LAST + 1) is None
    again = rules.decide_item_refused(view, arrival("hub", refused), NOW)
    assert not again.wanted, "its answer again is no news"


def test_another_entry_of_that_version_is_a_no_as_well() -> None:
    view = view_at()
    change(view)
    effects = told(view, directory_decision(asked()))
    assert states(effects) == [ProposalState.REFUSED]


def test_keys_that_nobody_here_asked_for_are_told_to_people() -> None:
    effects = approved(view_at())
    [call] = of_kind(effects, CallPeople)
    assert "never asked" in call.text


# By the recovery key.


def test_a_recovery_takes_the_place_of_a_change_that_waits() -> None:
    view = view_at()
    change(view)
    other = renewed("another")
    effects = recover(view, entry=other, signed=signed(other, "another"))
    assert effects.step is Step.RECOVERY
    assert states(effects) == [ProposalState.REPLACED, ProposalState.WAITING]
    assert view.renewal is not None and view.renewal.is_recovery
    # The hub took the change after all: there is no room for the recovery.
    assert states(approved(view)) == [ProposalState.REFUSED, ProposalState.APPROVED]


def test_a_recovery_says_up_to_where_the_old_key_has_sealed() -> None:
    view = view_at()
    view.numbered["hub"] = LAST + 7
    outcome = recover(view).outcome
    assert isinstance(outcome, Renewal)
    assert outcome.number == LAST - 1, "what waits unsealed is the new key's to sign"


def test_a_recovery_builds_on_what_the_hub_tells() -> None:
    base = asked()
    new = msgspec.structs.replace(renewed(version=3), rates=base.rates)
    effects = recover(view_at(), base, entry=new)
    assert effects.step is Step.RECOVERY
    assert recover(view_at(), entry=new).outcome == NotRenewed(
        DirectoryRefusalCode.ENTRY_CHANGED
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"base": entry_of(OOSTENDE, keys_of="slipped in")},
        {"statement": recovery(renewed(), OOSTENDE)},
        {"statement": key_change(renewed(), LAST)},
    ],
)
def test_no_other_key_recovers(changes: dict[str, Any]) -> None:
    outcome = recover(view_at(), **changes).outcome
    assert outcome == NotRenewed(DirectoryRefusalCode.ENTRY_CHANGED)


def test_before_the_hub_s_first_word_the_sheet_of_the_joining_counts() -> None:
    view = view_at()
    know(view, {})
    outcome = recover(view).outcome
    assert isinstance(outcome, Renewal) and outcome.is_recovery
    other = entry_of(OOSTENDE, keys_of="slipped in")
    view = view_at()
    know(view, {})
    assert recover(view, other).outcome == NotRenewed(
        DirectoryRefusalCode.ENTRY_CHANGED
    )


def test_nothing_is_paid_now_while_a_recovery_waits() -> None:
    for renew, code in ((recover, RefusalCode.HUB_UNREACHABLE), (change, None)):
        view = view_at()
        renew(view)
        outcome = rules.decide_order(view, order(), NOW).outcome
        assert (outcome if code else None) is code
        # What may wait is taken, and is sealed with the keys that will count.
        patient = order(deliver="when_reachable")
        assert isinstance(rules.decide_order(view, patient, NOW).outcome, Ordered)
    approved(view)
    assert isinstance(rules.decide_order(view, order(), NOW).outcome, Ordered)


# Covers.


def test_covers_try_the_likeliest_key_first() -> None:
    view = view_at()
    first = entry_of(OOSTENDE)
    assert cover_kids(None, first, None, 0) == [OLD]
    change(view)
    record = view.trusted[OOSTENDE]
    assert cover_kids(record, first, view.renewal, LAST - 1) == [OLD, NEW]
    assert cover_kids(record, first, view.renewal, LAST) == [NEW, OLD]
    recover(view)
    assert cover_kids(record, first, view.renewal, 0) == [NEW, OLD]
    approved(view)
    assert cover_kids(view.trusted[OOSTENDE], first, view.renewal, 0) == [NEW]


@pytest.mark.parametrize("seed", range(50))
def test_each_item_has_one_key_however_often_keys_change(seed: int) -> None:
    """Whatever the numbers of the changes, every item is some key's, and one's."""
    draw = random.Random(seed)
    lasts = sorted(draw.sample(range(1, 60), draw.randint(1, 6)))
    signers = [OOSTENDE, *(f"once {n}" for n in range(len(lasts)))]
    entry = renewed(signers[-1])
    keys = keys_decision(entry, signers, lasts, None).keys
    view = oostende()
    record = msgspec.structs.replace(view.directory[OOSTENDE], keys=tuple(keys))
    for number in range(1, 70):
        found = span_at(record, entry_of(OOSTENDE), number)
        place = sum(last < number for last in lasts)
        assert found is not None
        assert found.kid == signing_key(signers[place]).kid
