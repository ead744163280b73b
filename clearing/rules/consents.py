"""Two admins must agree on dangerous acts, when there are two.

An act that cannot be taken back, or that opens what was closed for a reason, is first
kept as asked: who, when, exactly what. It is done when another admin gives the same
act her word within seven days, under the rules as they are then, which may refuse it.
Freezing is never among them, for it must be quick (docs/decisions/0053). To make an
act dangerous, name it in ``ACTS``, say when it is in ``is_dangerous``, and lead it to
its rule in ``_carry_out``.
"""

from collections.abc import Iterator, Mapping
from typing import assert_never

import msgspec

from clearing.rules.consent_records import Consent, ConsentState, KeepConsent
from clearing.rules.groups import Limit, NotDecided, Release, decide_group
from clearing.rules.leaving import DeclareLeft, decide_leaving
from clearing.rules.view import HubView
from protocol.directory import Directory
from protocol.effects import Effects
from protocol.errors import ConsentRefusalCode
from protocol.instant import Instant
from protocol.steps import Step

DangerousAct = Release | DeclareLeft | Limit

#: Under these names acts are kept and shown.
ACTS: Mapping[str, type[DangerousAct]] = {
    "release": Release,
    "left": DeclareLeft,
    "limits": Limit,
}


class AskConsent(msgspec.Struct, frozen=True):
    """An admin wants a dangerous act done; her word alone does not do it."""

    act: DangerousAct
    by: str


class GiveConsent(msgspec.Struct, frozen=True):
    """An admin gives what was asked her word.

    ``admins`` are the names of all who are admins now.
    """

    number: int
    by: str
    admins: frozenset[str]


class WithdrawConsent(msgspec.Struct, frozen=True):
    """An admin takes back what she asked, or says no to what another did."""

    number: int
    by: str


ConsentOrder = AskConsent | GiveConsent | WithdrawConsent


class NotConsented(msgspec.Struct, frozen=True):
    """Why a word on a consent changed nothing."""

    code: ConsentRefusalCode
    number: int


def is_dangerous(directory: Directory, order: object) -> bool:
    """Say whether an order needs another admin's word.

    Limits do when either goes more than twice as far as before.
    """
    match order:
        case Release() | DeclareLeft():
            return True
        case Limit():
            record = directory.get(order.group)
            return record is not None and (
                order.floor < 2 * record.floor or order.ceiling > 2 * record.ceiling
            )
        case _:
            return False


def write_act(act: DangerousAct) -> str:
    """Write an act exactly, as it is kept and shown: its name, then its fields."""
    name = next(name for name, kind in ACTS.items() if type(act) is kind)
    return msgspec.json.encode({"act": name, **msgspec.structs.asdict(act)}).decode()


def read_act(text: str) -> DangerousAct:
    """Read what ``write_act`` wrote."""
    fields = msgspec.json.decode(text, type=dict[str, object])
    return msgspec.convert(fields, ACTS[str(fields.pop("act"))])


def decide_consent(
    view: HubView, order: ConsentOrder, now: Instant
) -> Iterator[Effects]:
    """Decide on a word; the outcome is the ``Consent``, or why not.

    What the rules would refuse, or what is so already, is told at once and not asked.
    """
    match order:
        case AskConsent():
            yield _ask(view, order, now)
        case GiveConsent():
            yield from _give(view, order, now)
        case WithdrawConsent():
            yield _withdraw(view, order, now)
        case _:
            assert_never(order)


def _ask(view: HubView, order: AskConsent, now: Instant) -> Effects:
    foreseen = next(_carry_out(view, order.act, now))
    if isinstance(foreseen.outcome, NotDecided) or not foreseen.wanted:
        return Effects(None, (), foreseen.outcome)
    act = write_act(order.act)
    for kept in view.consents.values():
        if kept.act == act and kept.waits(now) and kept.asked_by == order.by:
            return Effects(None, (), kept)
    asked = Consent(number=view.next_consent, act=act, asked_by=order.by, asked_at=now)
    return Effects(Step.CONSENT, (KeepConsent(asked),), asked)


def _give(view: HubView, order: GiveConsent, now: Instant) -> Iterator[Effects]:
    """Do what was asked; when the rules refuse it now, it goes on waiting."""
    kept = view.consents.get(order.number)
    if kept is not None and kept.is_done_by(order.by):
        yield Effects(None, (), kept)
        return
    code = _why_not(kept, order, now)
    if code is not None or kept is None:
        code = code or ConsentRefusalCode.NO_SUCH_CONSENT
        yield Effects(None, (), NotConsented(code, order.number))
        return
    outcome: object = None
    for effects in _carry_out(view, read_act(kept.act), now):
        yield effects
        outcome = effects.outcome or outcome
    if not isinstance(outcome, NotDecided):
        done = _ended(kept, ConsentState.DONE, order.by, now)
        yield Effects(Step.CONSENT, (KeepConsent(done),), done)


def _why_not(
    kept: Consent | None, order: GiveConsent, now: Instant
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


def _carry_out(view: HubView, act: DangerousAct, now: Instant) -> Iterator[Effects]:
    """Lead an act to its rule."""
    match act:
        case Release() | Limit():
            yield decide_group(view, act, now)
        case DeclareLeft():
            yield from decide_leaving(view, act, now)
        case _:
            assert_never(act)
