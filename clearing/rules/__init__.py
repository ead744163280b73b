"""What the hub decides; pure: the one moment that counts in every transfer.

What is known (``HubView``) and what arrived go in, effects come out. The hub sees
groups, amounts, ids and times; never names, accounts or memos. It decides nothing
about a transfer, refusals included, before both its groups have compared since
its start (protocol, section 7).
"""

from clearing.rules.admission import Admission, AdmissionRefused, decide_admission
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
    "Disapprove",
    "Freeze",
    "GroupOrder",
    "HubView",
    "Invitation",
    "KeepProposal",
    "Limit",
    "MirrorState",
    "Moved",
    "NotDecided",
    "NoteMirror",
    "Positions",
    "Proposal",
    "ProposalState",
    "Release",
    "SpendInvitation",
    "TileHash",
    "count_refusal",
    "decide_admission",
    "decide_due",
    "decide_group",
    "decide_item_refused",
    "decide_mirror",
    "decide_prepare",
    "decide_proposal",
    "decide_reply",
    "open_log",
]
