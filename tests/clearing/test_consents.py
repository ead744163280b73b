"""Two admins agree on dangerous acts: by rules alone."""

from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    Approve,
    AskConsent,
    BeginLeaving,
    CancelLeg,
    CloseCycle,
    Consent,
    ConsentOrder,
    ConsentState,
    DangerousAct,
    DeclareLeft,
    Freeze,
    GiveConsent,
    HubView,
    Limit,
    NotConsented,
    NotDecided,
    Release,
    Stay,
    WithdrawConsent,
    is_dangerous,
    read_act,
)
from clearing.rules.consents import write_act
from protocol.address import Group
from protocol.effects import Effects
from protocol.errors import ConsentRefusalCode, DirectoryRefusalCode
from protocol.instant import Instant
from protocol.steps import Step
from tests.clearing.makers import apply as carried
from tests.clearing.makers import hub_view
from tests.peer.makers import NOW, in_state, later
from tests.protocol.makers import OOSTENDE

ANN, BOB, DAY = "@ann", "@bob", 86_400_000
ADMINS = frozenset({ANN, BOB})
CODE = ConsentRefusalCode


def frozen() -> HubView:
    view = hub_view()
    carried(view, rules.decide_group(view, Freeze(OOSTENDE), NOW))
    return view


def decide(view: HubView, order: ConsentOrder, now: Instant = NOW) -> list[Effects]:
    """Decide on a word; every part is applied before the next."""
    return [carried(view, one) for one in rules.decide_consent(view, order, now)]


def outcome(view: HubView, order: ConsentOrder, now: Instant = NOW) -> Any:
    return decide(view, order, now)[-1].outcome


def asked(view: HubView, by: str = ANN) -> Consent:
    found = outcome(view, AskConsent(Release(OOSTENDE), by))
    assert isinstance(found, Consent)
    return found


def give(number: int, by: str = BOB, admins: frozenset[str] = ADMINS) -> GiveConsent:
    return GiveConsent(number, by, admins)


def test_what_is_asked_is_kept_exactly_and_changes_nothing() -> None:
    view = frozen()
    before, size = view.directory, view.size
    (effects,) = decide(view, AskConsent(Release(OOSTENDE), ANN))
    kept = effects.outcome
    assert isinstance(kept, Consent) and view.consents == {1: kept}
    assert (effects.step, kept.asked_by, kept.asked_at) == (Step.CONSENT, ANN, NOW)
    assert kept.act == '{"act":"release","group":"oostende"}'
    assert (view.directory, view.size) == (before, size)
    # Asked again it is the same; another admin's asking is hers.
    assert outcome(view, AskConsent(Release(OOSTENDE), ANN)) == kept
    assert asked(view, BOB).number == 2


def test_another_admin_s_word_does_it() -> None:
    view = frozen()
    kept = asked(view)
    done, said = decide(view, give(kept.number), later(5))
    assert (done.step, said.step) == (Step.DIRECTORY, Step.CONSENT)
    assert view.directory[OOSTENDE].state == "active"
    ended = view.consents[kept.number]
    assert (ended.state, ended.ended_by) == (ConsentState.DONE, BOB)
    # Her word again is the same word; another's comes too late.
    again = decide(view, give(kept.number))
    assert [one.wanted for one in again] == [()] and again[0].outcome == ended
    for order in (give(kept.number, ANN), WithdrawConsent(kept.number, ANN)):
        assert outcome(view, order) == NotConsented(CODE.CONSENT_ENDED, kept.number)


@pytest.mark.parametrize(
    ("by", "admins", "code"),
    [
        (ANN, ADMINS, CODE.SAME_PERSON),
        ("@eve", ADMINS, CODE.NOT_AN_ADMIN),
        # Who asked is an admin no more.
        (BOB, frozenset({BOB, "@eve"}), CODE.NOT_AN_ADMIN),
    ],
)
def test_only_another_admin_gives_a_word(
    by: str, admins: frozenset[str], code: ConsentRefusalCode
) -> None:
    view = frozen()
    kept = asked(view)
    assert outcome(view, give(kept.number, by, admins)) == NotConsented(code, 1)
    assert view.directory[OOSTENDE].state == "frozen"
    assert view.consents[1] == kept


@pytest.mark.parametrize(
    ("after_ms", "is_done"), [(0, True), (7 * DAY - 1, True), (7 * DAY, False)]
)
def test_it_waits_seven_days_and_no_longer(after_ms: int, *, is_done: bool) -> None:
    view = frozen()
    kept = asked(view)
    found = outcome(view, give(kept.number), later(after_ms))
    if is_done:
        assert isinstance(found, Consent)
    else:
        assert found == NotConsented(CODE.CONSENT_ENDED, 1)
        # It may be asked anew, as another.
        assert outcome(
            view, AskConsent(Release(OOSTENDE), ANN), later(after_ms)
        ) == msgspec.structs.replace(kept, number=2, asked_at=later(after_ms))
    assert (view.directory[OOSTENDE].state == "active") is is_done


def test_a_clock_that_was_set_back_lets_nothing_wait_longer() -> None:
    view = frozen()
    kept = asked(view)
    found = outcome(view, give(kept.number), Instant(NOW - 1))
    assert found == NotConsented(CODE.CONSENT_ENDED, 1)


@pytest.mark.parametrize("by", [ANN, BOB])
def test_either_takes_it_back(by: str) -> None:
    view = frozen()
    kept = asked(view)
    ended = outcome(view, WithdrawConsent(kept.number, by))
    assert (ended.state, ended.ended_by) == (ConsentState.WITHDRAWN, by)
    assert outcome(view, WithdrawConsent(kept.number, by)) == ended
    assert outcome(view, give(kept.number)) == NotConsented(CODE.CONSENT_ENDED, 1)
    assert view.directory[OOSTENDE].state == "frozen"


def test_nobody_gives_a_word_to_what_nobody_asked() -> None:
    view = frozen()
    for order in (give(1), WithdrawConsent(1, ANN)):
        assert outcome(view, order) == NotConsented(CODE.NO_SUCH_CONSENT, 1)


def test_it_is_done_under_the_rules_as_they_are_then() -> None:
    view = hub_view()
    carried(view, next(rules.decide_leaving(view, BeginLeaving(OOSTENDE), NOW)))
    kept = outcome(view, AskConsent(DeclareLeft(OOSTENDE, 0), ANN))
    view.accounts[OOSTENDE].held_in = 1
    found = outcome(view, give(kept.number))
    assert found == NotDecided(DirectoryRefusalCode.STILL_IN_FLIGHT, OOSTENDE)
    # It goes on waiting.
    assert view.consents[kept.number] == kept
    view.accounts[OOSTENDE].held_in = 0
    assert outcome(view, give(kept.number)).state is ConsentState.DONE
    assert view.directory[OOSTENDE].state == "left"


def test_what_could_not_be_is_not_asked() -> None:
    view = hub_view()
    refused = outcome(view, AskConsent(DeclareLeft(OOSTENDE, 0), ANN))
    assert refused == NotDecided(DirectoryRefusalCode.GROUP_NOT_LEAVING, OOSTENDE)
    # Nor is what is so already.
    record = view.directory[OOSTENDE]
    assert outcome(view, AskConsent(Release(OOSTENDE), ANN)) == record
    assert view.consents == {}


@pytest.mark.parametrize(
    "act",
    [Release(OOSTENDE), DeclareLeft(OOSTENDE, -5), Limit(OOSTENDE, -7, 8)],
    ids=str,
)
def test_an_act_is_read_as_it_was_written(act: DangerousAct) -> None:
    assert read_act(write_act(act)) == act


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Release(OOSTENDE), True),
        (DeclareLeft(OOSTENDE, 0), True),
        # Limits are -10^12 and 10^12 now.
        (Limit(OOSTENDE, -2 * 10**12, 2 * 10**12), False),
        (Limit(OOSTENDE, -2 * 10**12 - 1, 0), True),
        (Limit(OOSTENDE, 0, 2 * 10**12 + 1), True),
        (Limit(OOSTENDE, 0, 0), False),
        (Limit(Group("gent"), -1, 1), False),
        # A freeze must be quick, and the others can be taken back.
        (Freeze(OOSTENDE), False),
        (BeginLeaving(OOSTENDE), False),
        (Stay(OOSTENDE), False),
        (Approve(OOSTENDE, 1), False),
        (CancelLeg("a leg"), False),
        (CloseCycle(1), False),
    ],
    ids=str,
)
def test_which_acts_are_dangerous(order: object, *, expected: bool) -> None:
    view = hub_view()
    record = msgspec.structs.replace(
        view.directory[OOSTENDE], floor=-(10**12), ceiling=10**12
    )
    assert is_dangerous({OOSTENDE: record}, order) is expected


def test_from_no_limit_at_all_any_is_more_than_double() -> None:
    view = hub_view()
    record = msgspec.structs.replace(view.directory[OOSTENDE], floor=0, ceiling=0)
    assert is_dangerous({OOSTENDE: record}, Limit(OOSTENDE, -1, 0))
    assert is_dangerous({OOSTENDE: record}, Limit(OOSTENDE, 0, 1))


def test_it_is_asked_of_a_group_that_is_frozen_only_as_it_is() -> None:
    view = hub_view()
    view.directory = in_state(view.directory, OOSTENDE, "left")
    refused = outcome(view, AskConsent(Release(OOSTENDE), ANN))
    assert refused == NotDecided(DirectoryRefusalCode.LEFT_FOR_EVER, OOSTENDE)
