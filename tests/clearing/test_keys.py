"""How the hub takes a group's new keys, by its old key or its recovery key; pure."""

from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import HubView, NotDecided, RecoverKeys
from protocol.directory import GroupRecord, periods, trusted
from protocol.effects import ArrivedItem, Effects
from protocol.envelope import ITEMS_MAX
from protocol.errors import DirectoryRefusalCode, ItemRefusalCode, NotSignedError
from protocol.key_change import STATEMENT_LENGTH_MAX, leaves_room, may_fit
from protocol.keyring import Keyring, check_in_force
from protocol.link import Trouble
from protocol.messages import (
    ITEM_LENGTH_MAX,
    GroupEntry,
    ItemRefused,
    KeyChangeItem,
    KeysDecision,
    write_line,
)
from protocol.steps import Step
from tests.clearing.makers import apply, hub_view
from tests.clearing.test_groups import order, proposing, waiting
from tests.peer.makers import (
    NOW,
    arrival,
    compared,
    key_change,
    keys_decision,
    later,
    recovery,
    sent,
    signed,
)
from tests.protocol.makers import MECHELEN, OOSTENDE, signing_key
from tests.protocol.test_key_change import ANEW, renewed

NUMBER = 17
#: So many recoveries fit behind whatever the old keys have named.
RECOVERIES = 16


def changing(
    entry: GroupEntry | None = None,
    *,
    by: str = ANEW,
    statement: str | None = None,
    **changes: Any,
) -> ArrivedItem:
    """Oostende's change of keys, as it arrives."""
    new = entry or renewed()
    item = KeyChangeItem(
        entry=signed(new, by), statement=statement or key_change(new, NUMBER)
    )
    fields = {"number": NUMBER, "is_last": True} | changes
    return arrival(fields.pop("peer", OOSTENDE), item, **fields)


def take(view: HubView, arrived: ArrivedItem, after: int = 0) -> Effects:
    return apply(view, rules.decide_key_change(view, arrived, later(after)))


def next_change(view: HubView, by: str, whose: str, number: int) -> ArrivedItem:
    """A change that may follow on the newest, however it came to be."""
    entry = renewed(whose, version=view.directory[OOSTENDE].entry.version + 1)
    view.links[OOSTENDE] = compared(OOSTENDE, taken=number)
    return changing(
        entry, by=whose, statement=key_change(entry, number, by), number=number
    )


def recover(view: HubView, *, sent_to: int = NUMBER, **changes: Any) -> Effects:
    entry = changes.pop("entry", None) or renewed()
    fields: dict[str, Any] = {
        "entry": entry,
        "signed": signed(entry, changes.pop("by", ANEW)),
        "statement": recovery(entry),
        "sent": sent_to,
    }
    wish = RecoverKeys(**(fields | changes))
    return apply(view, rules.decide_recovery(view, wish, NOW))


def spans(view: HubView) -> list[tuple[str, int, int | None]]:
    return [(one.kid, one.first, one.last) for one in view.directory[OOSTENDE].keys]


def told_no(effects: Effects) -> ItemRefusalCode:
    [(peer, item)] = sent(effects)
    assert peer == OOSTENDE and isinstance(item, ItemRefused)
    assert effects.step is None
    return item.code


def test_new_keys_are_told_to_everyone_with_the_old_key_s_word() -> None:
    view, arrived = hub_view(), changing()
    effects = take(view, arrived)
    assert effects.step is Step.KEYS
    decisions = [item for _, item in sent(effects)]
    assert [peer for peer, _ in sent(effects)] == sorted(view.directory)
    assert isinstance(decisions[0], KeysDecision)
    assert decisions[0].statement == arrived.item.statement  # type: ignore[union-attr]
    old, new = signing_key(OOSTENDE).kid, signing_key(ANEW).kid
    assert spans(view) == [(old, 1, NUMBER), (new, NUMBER + 1, None)]
    assert trusted(view.directory, frozenset()) is view.directory


def test_each_key_counts_for_its_own_items_alone() -> None:
    view = hub_view()
    take(view, changing())
    ring = Keyring(periods(view.directory))
    old, new = (ring.period(signing_key(one).kid) for one in (OOSTENDE, ANEW))
    check_in_force(old, NUMBER)
    check_in_force(new, NUMBER + 1)
    for period, number in ((old, NUMBER + 1), (new, NUMBER)):
        with pytest.raises(NotSignedError):
            check_in_force(period, number)


NOT_APPROVED: dict[str, dict[str, Any]] = {
    "something behind it in its envelope": {"is_last": False},
    "another number than the statement's": {"number": NUMBER + 1},
    "the recovery key's word": {"statement": recovery(renewed())},
    "a stranger's word": {"statement": key_change(renewed(), NUMBER, "a stranger")},
    "the new key's word": {"statement": key_change(renewed(), NUMBER, ANEW)},
    "a version used before": {
        "entry": renewed(version=1),
        "statement": key_change(renewed(version=1), NUMBER),
    },
    "a version left out": {
        "entry": renewed(version=3),
        "statement": key_change(renewed(version=3), NUMBER),
    },
    "another name too": {
        "entry": renewed(name="LETS Other"),
        "statement": key_change(renewed(name="LETS Other"), NUMBER),
    },
    "another group's keys": {
        "entry": renewed(MECHELEN),
        "by": MECHELEN,
        "statement": key_change(renewed(MECHELEN), NUMBER),
    },
    "the keys that it has": {
        "entry": renewed(OOSTENDE),
        "by": OOSTENDE,
        "statement": key_change(renewed(OOSTENDE), NUMBER),
    },
}


@pytest.mark.parametrize("changes", NOT_APPROVED.values(), ids=NOT_APPROVED)
def test_what_may_not_be_changes_nothing(changes: dict[str, Any]) -> None:
    view = hub_view()
    before = view.directory
    assert told_no(take(view, changing(**changes))) is ItemRefusalCode.NOT_APPROVED
    assert view.directory is before


def test_a_change_for_another_group_or_in_no_form_is_answered() -> None:
    view = hub_view()
    arrived = changing(peer=MECHELEN)
    [(_, item)] = sent(take(view, arrived))
    assert isinstance(item, ItemRefused)
    assert item.code is ItemRefusalCode.NOT_YOURS
    spoilt = arrival(
        OOSTENDE, KeyChangeItem(entry="x", statement="y"), number=NUMBER, is_last=True
    )
    assert told_no(take(view, spoilt)) is ItemRefusalCode.UNREADABLE


def test_no_group_comes_back_to_a_former_key() -> None:
    view = hub_view()
    take(view, changing())
    back = renewed(OOSTENDE, version=3)
    arrived = changing(
        back,
        by=OOSTENDE,
        statement=key_change(back, NUMBER + 5, ANEW),
        number=NUMBER + 5,
    )
    effects = take(view, arrived, rules.CHANGE_MS)
    assert told_no(effects) is ItemRefusalCode.NOT_APPROVED


@pytest.mark.parametrize(
    ("after", "is_taken"),
    [(0, False), (rules.CHANGE_MS - 1, False), (rules.CHANGE_MS, True)],
)
def test_an_old_key_names_another_once_an_hour(after: int, is_taken: bool) -> None:
    view = hub_view()
    take(view, changing())
    order(view, rules.Limit(OOSTENDE, -5, 5))
    again = next_change(view, ANEW, "oostende once more", NUMBER + 1)
    assert (take(view, again, after).step is Step.KEYS) is is_taken


def test_a_clock_that_was_put_right_does_not_stop_changes() -> None:
    view = hub_view()
    take(view, changing(), rules.CHANGE_MS)
    again = next_change(view, ANEW, "oostende once more", NUMBER + 1)
    assert take(view, again).step is Step.KEYS


def test_a_frozen_group_has_new_keys_by_its_recovery_key_alone() -> None:
    view = hub_view()
    order(view, rules.Freeze(OOSTENDE))
    assert told_no(take(view, changing())) is ItemRefusalCode.NOT_APPROVED
    outcome = recover(view).outcome
    assert isinstance(outcome, GroupRecord)
    assert outcome.state == "frozen"


def test_whoever_has_the_signing_key_alone_shuts_nobody_out() -> None:
    """As many changes as are taken, and every recovery still fits behind them."""
    view, by, number = hub_view(), OOSTENDE, NUMBER
    for count in range(200):
        whose = f"thief {count}"
        change = next_change(view, by, whose, number + count)
        if take(view, change, count * rules.CHANGE_MS).step is None:
            break
        by = whose
    assert 30 < count < 150, "there is an end, and it is far"
    for turn in range(RECOVERIES):
        whose = f"recovered {turn}"
        version = view.directory[OOSTENDE].entry.version + 1
        entry = renewed(whose, version=version)
        longest = recovery(entry, reason="\N{PARTY POPPER}" * 500)
        outcome = recover(view, entry=entry, by=whose, statement=longest).outcome
        assert isinstance(outcome, GroupRecord)


def test_a_proposal_leaves_the_recovery_key_its_room() -> None:
    view = hub_view()
    record = view.directory[OOSTENDE]
    signed_entry = record.signed
    most = max(n for n in range(200) if leaves_room(signed_entry, n))
    for former, is_kept in ((most - 1, True), (most + 1, False)):
        many = msgspec.structs.replace(record, former=("x",) * former)
        view.directory = {**view.directory, OOSTENDE: many}
        effects = rules.decide_proposal(view, proposing(), NOW)
        assert (effects.step is Step.PROPOSAL) is is_kept


def test_no_recovery_key_says_more_than_there_is_room_for() -> None:
    entry = msgspec.structs.replace(renewed(version=2**53 - 1), group="g" * 32)
    most = recovery(entry, f"{OOSTENDE} recovery", reason="\N{PARTY POPPER}" * 500)
    assert len(most) <= STATEMENT_LENGTH_MAX
    quoted = recovery(entry, f"{OOSTENDE} recovery", reason='"' * 500)
    assert len(quoted) <= STATEMENT_LENGTH_MAX


def test_a_proposal_that_waits_is_answered_for_its_version_is_taken() -> None:
    view = hub_view()
    asked = waiting(view, number=5)
    effects = take(view, changing())
    refusals = [item for _, item in sent(effects) if isinstance(item, ItemRefused)]
    assert [one.number for one in refusals] == [asked.number]
    assert not view.proposals[OOSTENDE].is_waiting


def test_a_hub_that_may_have_forgotten_something_changes_no_keys() -> None:
    view = hub_view()
    behind = compared(MECHELEN, trouble=Trouble.WE_ARE_BEHIND)
    view.links[MECHELEN] = behind
    assert told_no(take(view, changing())) is ItemRefusalCode.NOT_APPROVED
    outcome = recover(view).outcome
    assert outcome == NotDecided(DirectoryRefusalCode.HUB_BEHIND, MECHELEN)


def test_what_is_decided_later_names_former_keys_too() -> None:
    view = hub_view()
    take(view, changing())
    frozen = order(view, rules.Freeze(OOSTENDE))
    _, item = sent(frozen)[0]
    assert isinstance(item, KeysDecision)
    assert (item.state, item.statement) == ("frozen", None)
    assert len(item.former) == 1


# By the recovery key.


def test_the_recovery_key_gives_new_keys_and_what_was_sealed_still_counts() -> None:
    view = hub_view()
    view.links[OOSTENDE] = compared(OOSTENDE, taken=NUMBER - 3)
    effects = recover(view)
    assert isinstance(effects.outcome, GroupRecord)
    assert spans(view)[0] == (signing_key(OOSTENDE).kid, 1, NUMBER)
    again = recover(view)
    assert (again.step, again.wanted) == (None, ()), "the same is decided once"
    assert again.outcome == view.directory[OOSTENDE]


def test_what_the_hub_took_more_than_the_node_knows_was_signed_by_the_old_key() -> None:
    view = hub_view()
    view.links[OOSTENDE] = compared(OOSTENDE, taken=NUMBER + 4)
    recover(view)
    assert spans(view)[0][2] == NUMBER + 4


def test_a_key_that_signed_nothing_has_an_empty_span() -> None:
    view = hub_view()
    view.links[OOSTENDE] = compared(OOSTENDE, taken=NUMBER)
    take(view, changing())
    third = "oostende once more"
    entry = renewed(third, version=3)
    recover(view, entry=entry, by=third)
    assert spans(view)[1:] == [
        (signing_key(ANEW).kid, NUMBER + 1, NUMBER),
        (signing_key(third).kid, NUMBER + 1, None),
    ]


def test_a_group_that_never_said_anything_gets_new_keys_too() -> None:
    view = hub_view()
    view.links[OOSTENDE] = compared(OOSTENDE, taken=0)
    recover(view, sent_to=0)
    assert spans(view)[0][2] == 0


@pytest.mark.parametrize(
    ("more", "is_taken"), [(ITEMS_MAX, True), (ITEMS_MAX + 1, False)]
)
def test_no_more_than_one_envelope_can_be_on_its_way(more: int, is_taken: bool) -> None:
    view = hub_view()
    view.links[OOSTENDE] = compared(OOSTENDE, taken=9)
    outcome = recover(view, sent_to=9 + more).outcome
    assert isinstance(outcome, GroupRecord) is is_taken


@pytest.mark.parametrize(
    "changes",
    [
        {"statement": key_change(renewed(), NUMBER)},
        {"statement": recovery(renewed(), OOSTENDE)},
        {"statement": recovery(renewed(), f"{MECHELEN} recovery")},
        {"entry": renewed(version=3)},
    ],
)
def test_no_other_word_recovers(changes: dict[str, Any]) -> None:
    view = hub_view()
    outcome = recover(view, **changes).outcome
    assert outcome == NotDecided(DirectoryRefusalCode.ENTRY_CHANGED, OOSTENDE)
    assert spans(view) == [(signing_key(OOSTENDE).kid, 1, None)]


def test_nobody_recovers_a_group_that_is_not_there() -> None:
    view = hub_view()
    view.directory = {MECHELEN: view.directory[MECHELEN]}
    outcome = recover(view).outcome
    assert outcome == NotDecided(DirectoryRefusalCode.NO_SUCH_GROUP, OOSTENDE)


@pytest.mark.parametrize("former", [1, 5, 30])
def test_what_may_fit_does_fit(former: int) -> None:
    """The longest numbers, and a statement: the line is never longer than reckoned."""
    entry = renewed()
    last = 2**53 - 2 - former
    signers = [OOSTENDE, *(f"once {n}" for n in range(1, former)), ANEW]
    decision = keys_decision(
        entry,
        signers,
        [last + n for n in range(former)],
        recovery(entry),
        number=2**53 - 1,
        floor=-(10**14),
        ceiling=10**14,
        state="leaving",
    )
    statement = decision.statement or ""
    spare = ITEM_LENGTH_MAX - len(write_line(decision))
    padded = decision.entry + "x" * spare
    longest = msgspec.structs.replace(decision, entry=padded)
    assert len(write_line(longest)) == ITEM_LENGTH_MAX
    assert not may_fit(padded + "x", statement, former)
