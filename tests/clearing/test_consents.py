"""Two admins agree on dangerous acts: by rules alone."""

import random
from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    ACTS,
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
    Disapprove,
    Freeze,
    GiveConsent,
    HubView,
    Invite,
    Limit,
    NotConsented,
    NotDecided,
    NotShared,
    Release,
    SetCap,
    Settle,
    SetWarning,
    ShareDebt,
    Stay,
    TellShares,
    WithdrawConsent,
    agreed_limits,
    is_dangerous,
    read_act,
)
from clearing.rules.dangers import write_act
from protocol.address import Group
from protocol.directory import GroupRecord, fold
from protocol.effects import Effects
from protocol.errors import (
    ConsentRefusalCode,
    DirectoryRefusalCode,
    SharingRefusalCode,
)
from protocol.instant import Instant
from protocol.messages import write_line
from protocol.steps import Step
from tests.clearing.makers import apply as carried
from tests.clearing.makers import hub_view
from tests.clearing.test_shares import leaving, tell
from tests.peer.makers import NOW, directory_decision, in_state, later
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE

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
    found = outcome(view, ask(Release(OOSTENDE), by))
    assert isinstance(found, Consent)
    return found


def ask(
    act: DangerousAct, by: str = ANN, admins: frozenset[str] = ADMINS
) -> AskConsent:
    return AskConsent(act, by, admins, code_hash="a code")


def give(number: int, by: str = BOB, admins: frozenset[str] = ADMINS) -> GiveConsent:
    return GiveConsent(number, by, admins, code_hash="another code")


def test_what_is_asked_is_kept_exactly_and_changes_nothing() -> None:
    view = frozen()
    before, size = view.directory, view.size
    (effects,) = decide(view, ask(Release(OOSTENDE)))
    kept = effects.outcome
    assert isinstance(kept, Consent) and view.consents == {1: kept}
    assert (effects.step, kept.asked_by, kept.asked_at) == (Step.CONSENT, ANN, NOW)
    assert kept.act == '{"act":"release","group":"oostende"}'
    assert (view.directory, view.size) == (before, size)
    # Asked again it is the same; another admin's asking is hers.
    assert outcome(view, ask(Release(OOSTENDE))) == kept
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
            view, ask(Release(OOSTENDE)), later(after_ms)
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
    kept = outcome(view, ask(DeclareLeft(OOSTENDE, 0)))
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
    refused = outcome(view, ask(DeclareLeft(OOSTENDE, 0)))
    assert refused == NotDecided(DirectoryRefusalCode.GROUP_NOT_LEAVING, OOSTENDE)
    # Nor is what is so already.
    record = view.directory[OOSTENDE]
    assert outcome(view, ask(Release(OOSTENDE))) == record
    assert view.consents == {}


@pytest.mark.parametrize(
    "act",
    [
        *(Release(OOSTENDE), Stay(OOSTENDE), DeclareLeft(OOSTENDE, -5)),
        *(Limit(OOSTENDE, -7, 8), ShareDebt(OOSTENDE, "plan"), Invite(OOSTENDE, -7, 8)),
    ],
    ids=str,
)
def test_an_act_is_read_as_it_was_written(act: DangerousAct) -> None:
    assert read_act(write_act(act)) == act


def admitted(floor: int = -(10**12), ceiling: int = 10**12) -> HubView:
    """Oostende was admitted with these limits."""
    view = hub_view()
    entry = view.directory[OOSTENDE].entry
    decision = directory_decision(entry, floor=floor, ceiling=ceiling)
    line = write_line(decision)
    view.directory = fold({}, decision, line, FEDERATION) | {
        MECHELEN: view.directory[MECHELEN]
    }
    view.history = [line, view.directory[MECHELEN].line]
    view.accounts[OOSTENDE].floor = floor
    view.accounts[OOSTENDE].ceiling = ceiling
    return view


def alone(view: HubView, floor: int, ceiling: int, now: Instant = NOW) -> bool:
    """Say whether one admin alone has set limits."""
    act = Limit(OOSTENDE, floor, ceiling, author=ANN, reason="so")
    return isinstance(outcome(view, ask(act), now), GroupRecord)


def agreed(view: HubView, floor: int, ceiling: int, now: Instant = NOW) -> None:
    act = Limit(OOSTENDE, floor, ceiling, author=ANN, reason="so")
    kept = outcome(view, ask(act), now)
    assert isinstance(kept, Consent), kept
    assert outcome(view, give(kept.number), now).state is ConsentState.DONE


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (Release(OOSTENDE), True),
        (DeclareLeft(OOSTENDE, 0), True),
        (Stay(OOSTENDE), True),
        (ShareDebt(OOSTENDE, "plan"), True),
        (Invite(Group("gent"), 0, 0), True),
        # Limits are -10^12 and 10^12 now.
        (Limit(OOSTENDE, -2 * 10**12, 2 * 10**12), False),
        (Limit(OOSTENDE, -2 * 10**12 - 1, 0), True),
        (Limit(OOSTENDE, 0, 2 * 10**12 + 1), True),
        (Limit(OOSTENDE, 0, 0), False),
        (Limit(Group("gent"), -1, 1), False),
    ],
    ids=str,
)
def test_which_acts_are_dangerous(act: DangerousAct, *, expected: bool) -> None:
    assert is_dangerous(admitted(), act) is expected


@pytest.mark.parametrize(
    "order",
    # A freeze must be quick, and the others move nothing or are taken back.
    [
        *(Freeze, BeginLeaving, Approve, Disapprove, CancelLeg, CloseCycle),
        *(Settle, TellShares, SetCap, SetWarning),
    ],
)
def test_which_acts_are_done_with_one_word(order: type) -> None:
    assert order not in ACTS.values()


def test_from_no_limit_at_all_any_is_more_than_double() -> None:
    assert is_dangerous(admitted(0, 0), Limit(OOSTENDE, -1, 0))
    assert is_dangerous(admitted(0, 0), Limit(OOSTENDE, 0, 1))


def test_doubling_again_and_again_comes_no_further_than_doubling_once() -> None:
    view = admitted(-100, 100)
    assert alone(view, -200, 200)
    assert not alone(view, -400, 200)
    assert not alone(view, -200, 201)
    # Not after a long while either; and what is as far as now is nobody's danger.
    assert not alone(view, -201, 200, later(400 * DAY))
    assert alone(view, -200, 150)
    assert agreed_limits(view, OOSTENDE) == (-100, 100)


def test_from_what_two_have_agreed_on_one_may_double_once_more() -> None:
    view = admitted(-100, 100)
    agreed(view, -1000, 100, later(5))
    assert agreed_limits(view, OOSTENDE) == (-1000, 100)
    assert alone(view, -2000, 200, later(6))
    assert not alone(view, -2001, 200, later(7))
    assert not alone(view, -2000, 201, later(7))


def test_what_was_narrowed_is_not_widened_again_by_one() -> None:
    view = admitted(-100, 100)
    assert alone(view, -1, 100)
    assert alone(view, -2, 100, later(1))
    assert not alone(view, -3, 100, later(2))
    # Narrowing is never dangerous, also of what was widened while there was one admin.
    one = frozenset({ANN})
    act = Limit(OOSTENDE, -5000, 100, author=ANN, reason="so")
    assert isinstance(outcome(view, ask(act, admins=one)), GroupRecord)
    assert alone(view, -4000, 100, later(3))
    assert not alone(view, -4001, 100, later(4))


@pytest.mark.parametrize("seed", range(30))
def test_one_admin_never_passes_twice_what_two_agreed_on(seed: int) -> None:
    draw = random.Random(seed)
    view, floor, ceiling = admitted(-100, 100), -100, 100
    for turn in range(40):
        now = later(draw.randint(0, 3) + 4 * turn)
        wish = -draw.randint(0, 900), draw.randint(0, 900)
        if draw.random() < 0.2 and is_dangerous(view, Limit(OOSTENDE, *wish)):
            agreed(view, *wish, now)
            floor, ceiling = wish
        elif alone(view, *wish, now):
            floor, ceiling = max(floor, wish[0]), min(ceiling, wish[1])
        record = view.directory[OOSTENDE]
        assert record.floor >= 2 * floor and record.ceiling <= 2 * ceiling
        assert agreed_limits(view, OOSTENDE) == (floor, ceiling)


def test_whether_two_must_agree_is_decided_with_the_decision() -> None:
    # Limits are narrowed by what was decided before it, in the same batch.
    view = admitted(-100, 100)
    carried(view, rules.decide_group(view, Limit(OOSTENDE, -10, 10), NOW))
    assert not alone(view, -100, 100)
    # One admin alone is asked nothing; nobody who is none asks anything.
    one = frozenset({ANN})
    assert isinstance(outcome(frozen(), ask(Release(OOSTENDE), ANN, one)), GroupRecord)
    found = outcome(frozen(), ask(Release(OOSTENDE), "@eve"))
    assert found == NotConsented(CODE.NOT_AN_ADMIN, 0)


def test_a_word_on_one_freeze_releases_no_later_one() -> None:
    view = frozen()
    kept = asked(view)
    asked(view, BOB)
    assert outcome(view, give(2, ANN), later(1)).state is ConsentState.DONE
    carried(view, rules.decide_group(view, Freeze(OOSTENDE), later(2)))
    found = outcome(view, give(kept.number), later(3))
    assert found == NotConsented(CODE.CONSENT_OUTDATED, kept.number)
    assert view.directory[OOSTENDE].state == "frozen"
    # It is asked anew, about the group as it is now; what is outdated is taken back.
    anew = outcome(view, ask(Release(OOSTENDE)), later(4))
    assert anew.number == 3 and anew.seen != kept.seen
    assert outcome(view, WithdrawConsent(1, BOB)).state is ConsentState.WITHDRAWN
    assert outcome(view, give(3), later(5)).state is ConsentState.DONE


def test_what_was_asked_before_a_group_s_state_was_kept_fits_nothing() -> None:
    view = frozen()
    kept = msgspec.structs.replace(asked(view), seen=None)
    view.consents[kept.number] = kept
    found = outcome(view, give(kept.number))
    assert found == NotConsented(CODE.CONSENT_OUTDATED, kept.number)


def test_a_debt_is_shared_by_two() -> None:
    view = leaving()
    plan = tell(view).shared_id
    before = {name: view.accounts[name].balance for name in view.accounts}
    kept = outcome(view, ask(ShareDebt(OOSTENDE, plan)))
    assert isinstance(kept, Consent)
    assert {name: view.accounts[name].balance for name in view.accounts} == before
    # What can never be is not asked.
    refused = outcome(view, ask(ShareDebt(OOSTENDE, "another")))
    assert refused == NotShared(SharingRefusalCode.NO_SUCH_PLAN, OOSTENDE)
    # A word on figures that no longer hold does nothing, and it goes on waiting.
    view.accounts[OOSTENDE].held_out = 1
    found = outcome(view, give(kept.number))
    assert found == NotShared(SharingRefusalCode.STILL_IN_FLIGHT, OOSTENDE)
    assert view.consents[kept.number] == kept
    view.accounts[OOSTENDE].held_out = 0
    done = decide(view, give(kept.number))
    assert [one.step for one in done] == [Step.SHARE, Step.CONSENT]
    assert view.accounts[OOSTENDE].balance == 0


GENT_ASKED = Invite(Group("gent"), -100, 100)


def test_a_group_is_invited_by_two() -> None:
    view = hub_view()
    kept = outcome(view, ask(GENT_ASKED))
    assert isinstance(kept, Consent) and view.invitations == {}
    made, said = decide(view, give(kept.number))
    assert (made.step, said.step) == (Step.INVITE, Step.CONSENT)
    assert set(view.invitations) == {"another code"}
    # Her word again makes a link anew, and the one before counts no more.
    again = GiveConsent(kept.number, BOB, ADMINS, code_hash="a third")
    (renewed,) = decide(view, again, later(5))
    assert renewed.outcome == said.outcome and renewed.step is Step.INVITE
    assert view.invitations["another code"].until == later(5)
    assert view.invitations["a third"].until == later(7 * DAY + 5)
    # Not for ever, not when it was thought better of, not once she who asked is gone.
    assert [one.wanted for one in decide(view, again, later(7 * DAY))] == [()]
    gone = msgspec.structs.replace(again, admins=frozenset({BOB, "@eve"}))
    assert [one.wanted for one in decide(view, gone)] == [()]
    fewer = outcome(view, ask(Invite(Group("gent"), 0, 0)), later(9))
    assert outcome(view, give(fewer.number), later(9)).state is ConsentState.DONE
    assert [one.wanted for one in decide(view, again, later(10))] == [()]


def test_one_admin_alone_invites_and_nobody_invites_who_is_there() -> None:
    view = hub_view()
    made = outcome(view, ask(GENT_ASKED, ANN, frozenset({ANN})))
    assert made == view.invitations["a code"]
    for admins in (ADMINS, frozenset({ANN})):
        refused = outcome(view, ask(Invite(OOSTENDE, 0, 0), ANN, admins))
        assert refused == NotDecided(DirectoryRefusalCode.GROUP_THERE, OOSTENDE)


def test_who_stays_after_all_is_agreed_on_by_two() -> None:
    view = hub_view()
    carried(view, next(rules.decide_leaving(view, BeginLeaving(OOSTENDE), NOW)))
    kept = outcome(view, ask(Stay(OOSTENDE)))
    assert view.directory[OOSTENDE].state == "leaving"
    assert outcome(view, give(kept.number)).state is ConsentState.DONE
    assert view.directory[OOSTENDE].state == "active"


def test_it_is_asked_of_a_group_that_is_frozen_only_as_it_is() -> None:
    view = hub_view()
    view.directory = in_state(view.directory, OOSTENDE, "left")
    refused = outcome(view, ask(Release(OOSTENDE)))
    assert refused == NotDecided(DirectoryRefusalCode.LEFT_FOR_EVER, OOSTENDE)
