"""What a group's node decides; pure.

What is known (``NodeView``) and what arrived go in, effects come out. Who may pay
whom at what price is decided here and nowhere else; *when* it is decided is the
clerk's business (protocol, sections 7 and 8).
"""

from nodes.rules.content import about_prepare, open_content, read_content
from nodes.rules.decisions import decide_answer, decide_decision, decide_item_refused
from nodes.rules.entries import (
    POSTINGS_MAX,
    POSTINGS_MIN,
    Booked,
    Correction,
    HandEntry,
    NotBooked,
    accounts_on,
    decide_correction,
    decide_entry,
)
from nodes.rules.group import decide_directory, decide_log, decide_mirror
from nodes.rules.members import (
    MemberChange,
    NewMember,
    NoteStanding,
    Standing,
    decide_change,
    decide_member,
)
from nodes.rules.offers import decide_offer
from nodes.rules.orders import (
    CancelWish,
    Order,
    Ordered,
    decide_cancel,
    decide_order,
)
from nodes.rules.proposals import (
    NotProposed,
    Propose,
    Wish,
    decide_propose,
    next_entry,
)
from nodes.rules.trust import Believe, Distrust, decide_belief, decide_distrust
from nodes.rules.view import (
    CLEARING,
    FUND,
    SETTLEMENT,
    SUSPENSE,
    Answer,
    KeepAnswer,
    KeepBelief,
    KeepDistrust,
    KeepProposal,
    NodeView,
    NoteDecision,
    OtherBody,
    Proposal,
    ProposalState,
    SaveMember,
    accounts_of,
    conversion,
    conversion_time,
    is_reserved,
    may_be_booked_on,
)

__all__ = [
    "CLEARING",
    "FUND",
    "POSTINGS_MAX",
    "POSTINGS_MIN",
    "SETTLEMENT",
    "SUSPENSE",
    "Answer",
    "Believe",
    "Booked",
    "CancelWish",
    "Correction",
    "Distrust",
    "HandEntry",
    "KeepAnswer",
    "KeepBelief",
    "KeepDistrust",
    "KeepProposal",
    "MemberChange",
    "NewMember",
    "NodeView",
    "NotBooked",
    "NotProposed",
    "NoteDecision",
    "NoteStanding",
    "Order",
    "Ordered",
    "OtherBody",
    "Proposal",
    "ProposalState",
    "Propose",
    "SaveMember",
    "Standing",
    "Wish",
    "about_prepare",
    "accounts_of",
    "accounts_on",
    "conversion",
    "conversion_time",
    "decide_answer",
    "decide_belief",
    "decide_cancel",
    "decide_change",
    "decide_correction",
    "decide_decision",
    "decide_directory",
    "decide_distrust",
    "decide_entry",
    "decide_item_refused",
    "decide_log",
    "decide_member",
    "decide_mirror",
    "decide_offer",
    "decide_order",
    "decide_propose",
    "is_reserved",
    "may_be_booked_on",
    "next_entry",
    "open_content",
    "read_content",
]
