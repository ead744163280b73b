"""What the hub decides; pure: the one moment that counts in every transfer.

What is known (``HubView``) and what arrived go in, effects come out. The hub sees
groups, amounts, ids and times; never names, accounts or memos. It decides nothing
about a transfer, refusals included, before both its groups have compared since
its start (protocol, section 7).
"""

from clearing.rules.admission import Admission, AdmissionRefused, decide_admission
from clearing.rules.cycle_records import (
    ClosedCycle,
    KeepCycle,
    KeepLeg,
    KeepStatement,
    Leg,
    LegState,
    OpenCycle,
    Running,
    Statement,
    StatementState,
)
from clearing.rules.cycles import (
    CloseCycle,
    TellMoves,
    decide_close,
    decide_cycle_word,
    decide_moves,
    decision_of,
    read_statement,
)
from clearing.rules.decisions import decide_due, decide_item_refused, decide_reply
from clearing.rules.groups import (
    Approve,
    Disapprove,
    Freeze,
    GroupOrder,
    Limit,
    NotDecided,
    Release,
    decide_group,
    decide_proposal,
)
from clearing.rules.keys import (
    CHANGE_MS,
    RecoverKeys,
    decide_key_change,
    decide_recovery,
)
from clearing.rules.legs import (
    CancelLeg,
    CycleRefused,
    DueLegs,
    Settle,
    decide_cancel,
    decide_due_legs,
    decide_leg_word,
    decide_settle,
    may_decide_on_leg,
)
from clearing.rules.log import decide_mirror, open_log
from clearing.rules.prepares import decide_prepare
from clearing.rules.refusals import count_refusal
from clearing.rules.view import (
    RESERVE,
    AppendDecision,
    HubView,
    Invitation,
    KeepProposal,
    MirrorState,
    Moved,
    NoteMirror,
    Positions,
    Proposal,
    ProposalState,
    SpendInvitation,
    TileHash,
)

__all__ = [
    "CHANGE_MS",
    "RESERVE",
    "Admission",
    "AdmissionRefused",
    "AppendDecision",
    "Approve",
    "CancelLeg",
    "CloseCycle",
    "ClosedCycle",
    "CycleRefused",
    "Disapprove",
    "DueLegs",
    "Freeze",
    "GroupOrder",
    "HubView",
    "Invitation",
    "KeepCycle",
    "KeepLeg",
    "KeepProposal",
    "KeepStatement",
    "Leg",
    "LegState",
    "Limit",
    "MirrorState",
    "Moved",
    "NotDecided",
    "NoteMirror",
    "OpenCycle",
    "Positions",
    "Proposal",
    "ProposalState",
    "RecoverKeys",
    "Release",
    "Running",
    "Settle",
    "SpendInvitation",
    "Statement",
    "StatementState",
    "TellMoves",
    "TileHash",
    "count_refusal",
    "decide_admission",
    "decide_cancel",
    "decide_close",
    "decide_cycle_word",
    "decide_due",
    "decide_due_legs",
    "decide_group",
    "decide_item_refused",
    "decide_key_change",
    "decide_leg_word",
    "decide_mirror",
    "decide_moves",
    "decide_prepare",
    "decide_proposal",
    "decide_recovery",
    "decide_reply",
    "decide_settle",
    "decision_of",
    "may_decide_on_leg",
    "open_log",
    "read_statement",
]
