"""The symmetric charge: what stands far from zero over a cycle pays into the reserve.

It is decided right after the decision that ended the cycle, and belongs to the next.
Who owes pays like who is owed, by the average position over the cycle. It is off
unless the groups have agreed on a rate (protocol, section 18).
"""

from collections.abc import Iterator, Mapping

import msgspec

from clearing.rules.cycles import CloseCycle, decide_close
from clearing.rules.share_records import Shared
from clearing.rules.shares import share_out
from clearing.rules.view import RESERVE, HubView
from protocol.effects import CallPeople, Effects
from protocol.instant import Instant, write_instant
from protocol.messages import ITEM_LENGTH_MAX, SharedDecision, write_line
from protocol.shared import BEARING, added, charge_id, share_charge
from protocol.sharing import AveragePosition
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX


class ForeseeCharge(msgspec.Struct, frozen=True):
    """Look at what would be charged if the open cycle ended now; nothing is decided."""

    cycle: int


def decide_close_and_charge(
    view: HubView, order: CloseCycle, now: Instant
) -> Iterator[Effects]:
    """End the open cycle and charge by what it was; both or neither is durable."""
    standings = _standings(view, now)
    for effects in decide_close(view, order, now):
        yield effects
        if effects.step is Step.CLOSE:
            yield from _charge(view, order.cycle, standings, now)


def decide_foresee_charge(view: HubView, order: ForeseeCharge, now: Instant) -> Effects:
    """Look: the outcome is a ``SharedDecision`` that nobody was told, or ``None``."""
    if order.cycle != view.open_cycle.number:
        return Effects(None, ())
    return Effects(None, (), _decision(view, order.cycle, _standings(view, now), now))


def _standings(view: HubView, now: Instant) -> Mapping[str, AveragePosition]:
    """Average the positions of groups that bear a part, over the cycle that is open.

    The first cycle has no beginning that all know, so nothing is charged for it.
    """
    former, found = view.open_cycle.former, {}
    if former is None or not view.agreed.charge.rate:
        return {}
    for group, record in view.directory.items():
        average = view.open_cycle.running(group).average(former.at, now)
        if record.state in BEARING and average is not None:
            found[str(group)] = AveragePosition(
                average=average, floor=record.floor, ceiling=record.ceiling
            )
    return found


def _decision(
    view: HubView, cycle: int, standings: Mapping[str, AveragePosition], now: Instant
) -> SharedDecision | None:
    """Write what is to be charged; ``None``: nothing is."""
    rule = view.agreed.charge
    shares = share_charge(standings, rule)
    total = -sum(one.amount for one in shares)
    if not total:
        return None
    return SharedDecision(
        log=view.log,
        number=view.size,
        at=write_instant(now),
        id=charge_id(view.federation, cycle),
        why="charge",
        cycle=cycle,
        group=None,
        rule=None,
        plan=None,
        rate=rule.rate,
        threshold=rule.threshold,
        reserve=total,
        shares=shares,
    )


def _charge(
    view: HubView, cycle: int, standings: Mapping[str, AveragePosition], now: Instant
) -> Iterator[Effects]:
    decision = _decision(view, cycle, standings, now)
    if decision is None:
        return
    after = [
        view.accounts[group].balance + amount
        for group, amount in added(decision).items()
    ]
    after.append(view.accounts[RESERVE].balance + decision.reserve)
    is_too_far = any(abs(position) > INTEGER_MAX for position in after)
    if is_too_far or len(write_line(decision)) > ITEM_LENGTH_MAX:
        what = (
            "a position that no statement can say" if is_too_far else "too many groups"
        )
        text = f"cycle {cycle}: nothing was charged, since it would need {what}"
        yield Effects(None, (CallPeople("cycle", text),))
        return
    kept = Shared(shared_id=decision.id, why="charge")
    # Everyone is told, so that everyone can compute it anew.
    wanted, _ = share_out(kept, decision, now, view.directory)
    yield Effects(Step.SHARE, wanted)
