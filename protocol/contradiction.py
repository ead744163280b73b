"""Two proofs side by side: do they prove that the hub decided twice, or forked its log?

Each is genuine by itself. An honest hub makes one decision about a transfer for ever,
gives every group the same line, and has one log; so two of its signatures that cannot
both be honest prove to anyone that it lied (protocol, sections 7 and 9). A cycle it
ends once, and begins the next one where that ended (section 10).
"""

from protocol.address import Group
from protocol.cycle_file import ProvenCycle
from protocol.messages import CycleDecision, DecisionName, TransferDecision
from protocol.receipt import Proven
from protocol.refusal import ProvenRefusal

#: What any file that ``interlets-verify`` takes proves.
Proof = Proven | ProvenRefusal | ProvenCycle
_Decision = TransferDecision | CycleDecision


def find_contradiction(one: Proof, other: Proof) -> str | None:
    """Say what two genuine proofs of one federation prove together against its hub.

    Returns:
        The lie in a sentence; ``None``: they may both be an honest hub's.
    """
    if one.federation != other.federation:
        return None
    second = _second_decision(one.decision, other.decision)
    if second is not None:
        return second
    here, there = one.checkpoint, other.checkpoint
    if (here.log, here.size) == (there.log, there.size) and here != there:
        return f"the hub signed two checkpoints of log {here.log} at size {here.size}"
    if _is_other_leaf(one.decision, other.decision):
        told = f"log {one.decision.log} at number {one.decision.number}"
        return f"the hub signed two decisions in {told}"
    if isinstance(one, ProvenCycle) and isinstance(other, ProvenCycle):
        return _broken_chain(one, other) or _broken_chain(other, one)
    return None


def _broken_chain(former: ProvenCycle, following: ProvenCycle) -> str | None:
    """The next cycle begins by the decision, and at the positions, that ended one."""
    cycle, ended = former.decision.cycle, former.decision
    if following.decision.cycle != cycle + 1:
        return None
    if following.decision.former != DecisionName(ended.log, ended.number):
        return f"the hub names another decision as the end of cycle {cycle}"
    # Who has no line stands at zero; so all openings and the former reserve sum to it.
    for group in sorted({*former.lines, *following.lines}):
        closing = former.positions.get(group, 0)
        opening = _opening(following, group)
        if closing != opening:
            return (
                f"the hub closed cycle {cycle} with {group} at {closing} ms, and "
                f"opened the next one with it at {opening} ms"
            )
    return None


def _opening(proven: ProvenCycle, group: Group) -> int:
    line = proven.lines.get(group)
    return 0 if line is None or line.statement is None else line.statement.opening


def _second_decision(one: _Decision, other: _Decision) -> str | None:
    if isinstance(one, CycleDecision) or isinstance(other, CycleDecision):
        return _second_close(one, other)
    if not is_second_decision(one, other):
        return None
    return (
        f"the hub decided twice about transfer {one.id}: {_outcome(one)}, and "
        f"{_outcome(other)}"
    )


def _second_close(one: _Decision, other: _Decision) -> str | None:
    """A cycle ends once, for everyone by the same line."""
    if not isinstance(one, CycleDecision) or not isinstance(other, CycleDecision):
        return None
    if one.cycle != other.cycle or one == other:
        return None
    places = [f"number {each.number} in log {each.log}" for each in (one, other)]
    return f"the hub closed cycle {one.cycle} twice: {places[0]}, and {places[1]}"


def is_second_decision(one: TransferDecision, other: TransferDecision) -> bool:
    """Say whether no honest hub makes both of these decisions.

    About one prepare there is one decision. Of several prepares under one id at most
    one clears; a refusal that names no prepare may have gone to somebody who asked
    for an id that the hub did not know yet.
    """
    if one.id != other.id or one == other:
        return False
    if one.outcome == other.outcome == "cleared":
        return True
    return one.prepare is not None and one.prepare == other.prepare


def _is_other_leaf(one: _Decision, other: _Decision) -> bool:
    return (one.log, one.number) == (other.log, other.number) and one != other


def _outcome(decision: TransferDecision) -> str:
    code = f" ({decision.code})" if decision.code else ""
    return f"{decision.outcome}{code}, number {decision.number} in log {decision.log}"
