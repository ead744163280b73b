"""Two proofs side by side: do they prove that the hub decided twice, or forked its log?

Each is genuine by itself. An honest hub makes one decision about a transfer for ever,
gives every group the same line, and has one log; so two of its signatures that cannot
both be honest prove to anyone that it lied (protocol, sections 7 and 9).
"""

from protocol.messages import TransferDecision
from protocol.receipt import Proven
from protocol.refusal import ProvenRefusal

_Proof = Proven | ProvenRefusal


def find_contradiction(one: _Proof, other: _Proof) -> str | None:
    """Say what two genuine proofs of one federation prove together against its hub.

    Returns:
        The lie in a sentence; ``None``: they may both be an honest hub's.
    """
    if one.federation != other.federation:
        return None
    if is_second_decision(one.decision, other.decision):
        return (
            f"the hub decided twice about transfer {one.decision.id}: "
            f"{_outcome(one.decision)}, and {_outcome(other.decision)}"
        )
    here, there = one.checkpoint, other.checkpoint
    if (here.log, here.size) == (there.log, there.size) and here != there:
        return f"the hub signed two checkpoints of log {here.log} at size {here.size}"
    if _is_other_leaf(one.decision, other.decision):
        told = f"log {one.decision.log} at number {one.decision.number}"
        return f"the hub signed two decisions in {told}"
    return None


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


def _is_other_leaf(one: TransferDecision, other: TransferDecision) -> bool:
    return (one.log, one.number) == (other.log, other.number) and one != other


def _outcome(decision: TransferDecision) -> str:
    code = f" ({decision.code})" if decision.code else ""
    return f"{decision.outcome}{code}, number {decision.number} in log {decision.log}"
