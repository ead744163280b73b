"""Two admins must agree on dangerous acts, when there are two.

An act that is dangerous (``clearing.rules.dangers``) is first kept as asked: who, when,
exactly what, and how its group then stood. It is done when another admin gives the same
act her word within seven days, under the rules as they are then, which may refuse it,
and only while the group still stands so: a word on one freeze releases no later one.
Who the admins are is in the database; whoever asks brings along who they are now.
"""

from collections.abc import Iterator
from typing import assert_never

import msgspec

from clearing.rules.consent_records import (
    CONSENT_MS,
    Consent,
    ConsentState,
    KeepConsent,
)
from clearing.rules.dangers import (
    DangerousAct,
    done_acts,
    fits,
    is_dangerous,
    read_act,
    seen_of,
    write_act,
)
from clearing.rules.groups import Limit, NotDecided, Release, decide_group
from clearing.rules.inviting import Invite, decide_invite
from clearing.rules.leaving import DeclareLeft, Stay, decide_leaving
from clearing.rules.shares import NotShared, ShareDebt, decide_share
from clearing.rules.view import HubView
from protocol.effects import Effects
from protocol.errors import ConsentRefusalCode
from protocol.instant import Instant
from protocol.steps import Step

#: So many admins must agree, where there are so many.
_WORDS = 2


class AskConsent(msgspec.Struct, frozen=True):
    """An admin wants an act done; where it is dangerous her word alone does it not.

    Attributes:
        act: what.
        by: her name; "" for one who is no admin.
        admins: the names of all who are admins now. Of one alone nothing is asked.
        code_hash: of the code that an invitation is made with.
    """

    act: DangerousAct
    by: str
    admins: frozenset[str]
    code_hash: str = ""


class GiveConsent(msgspec.Struct, frozen=True):
    """An admin gives what was asked her word.

    ``admins`` are the names of all who are admins now; ``code_hash`` is of the code
    that an invitation is made with.
    """

    number: int
    by: str
    admins: frozenset[str]
    code_hash: str = ""


class WithdrawConsent(msgspec.Struct, frozen=True):
    """An admin takes back what she asked, or says no to what another did."""

    number: int
    by: str


ConsentOrder = AskConsent | GiveConsent | WithdrawConsent


class NotConsented(msgspec.Struct, frozen=True):
    """Why a word on a consent changed nothing; 0 is what never got a number."""

    code: ConsentRefusalCode
    number: int


def decide_consent(
    view: HubView, order: ConsentOrder, now: Instant
) -> Iterator[Effects]:
    """Decide on a word; the outcome is the ``Consent``, or why not.

    What the rules would refuse, or what is so already, is told at once and not asked.
    What needs nobody else is done at once, with the outcome of its own rule.
    """
    match order:
        case AskConsent():
            if len(order.admins) < _WORDS or not is_dangerous(view, order.act):
                yield from _carry_out(view, order.act, order.code_hash, now)
            else:
                yield _ask(view, order, now)
        case GiveConsent():
            yield from _give(view, order, now)
        case WithdrawConsent():
            yield _withdraw(view, order, now)
        case _:
            assert_never(order)


def _ask(view: HubView, order: AskConsent, now: Instant) -> Effects:
    if order.by not in order.admins:
        return Effects(None, (), NotConsented(ConsentRefusalCode.NOT_AN_ADMIN, 0))
    foreseen = next(_carry_out(view, order.act, order.code_hash, now))
    if _is_no(foreseen.outcome) or not foreseen.wanted:
        return Effects(None, (), foreseen.outcome)
    asked = Consent(
        number=view.next_consent,
        act=write_act(order.act),
        asked_by=order.by,
        asked_at=now,
        seen=seen_of(view.directory, order.act),
    )
    for kept in view.consents.values():
        same = msgspec.structs.replace(
            asked, number=kept.number, asked_at=kept.asked_at
        )
        if kept == same and kept.waits(now):
            return Effects(None, (), kept)
    return Effects(Step.CONSENT, (KeepConsent(asked),), asked)


def _give(view: HubView, order: GiveConsent, now: Instant) -> Iterator[Effects]:
    """Do what was asked; when the rules refuse it now, it goes on waiting."""
    kept = view.consents.get(order.number)
    if kept is not None and kept.is_done_by(order.by):
        yield _give_again(view, kept, order, now)
        return
    code = _why_not(view, kept, order, now)
    if code is not None or kept is None:
        code = code or ConsentRefusalCode.NO_SUCH_CONSENT
        yield Effects(None, (), NotConsented(code, order.number))
        return
    outcome: object = None
    for effects in _carry_out(view, read_act(kept.act), order.code_hash, now):
        yield effects
        outcome = effects.outcome or outcome
    if not _is_no(outcome):
        done = _ended(kept, ConsentState.DONE, order.by, now)
        yield Effects(Step.CONSENT, (KeepConsent(done),), done)


def _is_no(outcome: object) -> bool:
    return isinstance(outcome, NotDecided | NotShared)


def _give_again(
    view: HubView, kept: Consent, order: GiveConsent, now: Instant
) -> Effects:
    """Take the same word again: it is the same, but an invitation is made anew.

    Its link was shown once, and may be lost with the answer. Nobody else can have been
    admitted by it, for then the group is there.
    """
    act = read_act(kept.act)
    if isinstance(act, Invite) and _may_renew(view, kept, order, now):
        made = decide_invite(view, act, order.code_hash, now)
        if not _is_no(made.outcome):
            return Effects(made.step, made.wanted, kept)
    return Effects(None, (), kept)


def _may_renew(view: HubView, kept: Consent, order: GiveConsent, now: Instant) -> bool:
    """Say whether it is the newest word on inviting this group, and not yet old."""
    assert kept.ended_at is not None, "it was done"
    group = read_act(kept.act).group
    others = [
        one.ended_at or now
        for one, act in done_acts(view)
        if isinstance(act, Invite) and act.group == group and one.number != kept.number
    ]
    is_newest = all(ended_at < kept.ended_at for ended_at in others)
    is_timely = kept.ended_at <= now < kept.ended_at + CONSENT_MS
    return is_newest and is_timely and {order.by, kept.asked_by} <= order.admins


def _why_not(
    view: HubView, kept: Consent | None, order: GiveConsent, now: Instant
) -> ConsentRefusalCode | None:
    code = ConsentRefusalCode
    if kept is None:
        return code.NO_SUCH_CONSENT
    if not kept.waits(now):
        return code.CONSENT_ENDED
    # Also when she asked before she was an admin no more, and is one again.
    if order.by == kept.asked_by:
        return code.SAME_PERSON
    if not {order.by, kept.asked_by} <= order.admins:
        return code.NOT_AN_ADMIN
    if not fits(view.directory, kept):
        return code.CONSENT_OUTDATED
    return None


def _withdraw(view: HubView, order: WithdrawConsent, now: Instant) -> Effects:
    kept, code = view.consents.get(order.number), ConsentRefusalCode
    if kept is None:
        return Effects(None, (), NotConsented(code.NO_SUCH_CONSENT, order.number))
    if kept.state is ConsentState.WITHDRAWN:
        return Effects(None, (), kept)
    if not kept.waits(now):
        return Effects(None, (), NotConsented(code.CONSENT_ENDED, order.number))
    ended = _ended(kept, ConsentState.WITHDRAWN, order.by, now)
    return Effects(Step.CONSENT, (KeepConsent(ended),), ended)


def _ended(kept: Consent, state: ConsentState, by: str, now: Instant) -> Consent:
    return msgspec.structs.replace(kept, state=state, ended_by=by, ended_at=now)


def _carry_out(
    view: HubView, act: DangerousAct, code_hash: str, now: Instant
) -> Iterator[Effects]:
    """Lead an act to its rule."""
    match act:
        case Release() | Limit():
            yield decide_group(view, act, now)
        case Stay() | DeclareLeft():
            yield from decide_leaving(view, act, now)
        case ShareDebt():
            yield decide_share(view, act, now)
        case Invite():
            yield decide_invite(view, act, code_hash, now)
        case _:
            assert_never(act)
