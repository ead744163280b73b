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
    KeepStatement,
    OpenCycle,
    Running,
    Statement,
    StatementState,
)
from clearing.rules.cycles import (
    CloseCycle,
    CycleRefused,
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
    "RESERVE",
    "Admission",
    "AdmissionRefused",
    "AppendDecision",
    "Approve",
    "CloseCycle",
    "ClosedCycle",
    "CycleRefused",
    "Disapprove",
    "Freeze",
    "GroupOrder",
    "HubView",
    "Invitation",
    "KeepCycle",
    "KeepProposal",
    "KeepStatement",
    "Limit",
    "MirrorState",
    "Moved",
    "NotDecided",
    "NoteMirror",
    "OpenCycle",
    "Positions",
    "Proposal",
    "ProposalState",
    "Release",
    "Running",
    "SpendInvitation",
    "Statement",
    "StatementState",
    "TellMoves",
    "TileHash",
    "count_refusal",
    "decide_admission",
    "decide_close",
    "decide_cycle_word",
    "decide_due",
    "decide_group",
    "decide_item_refused",
    "decide_mirror",
    "decide_moves",
    "decide_prepare",
    "decide_proposal",
    "decide_reply",
    "decision_of",
    "open_log",
    "read_statement",
]
