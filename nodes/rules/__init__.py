"""What a group's node decides; pure.

What is known (``NodeView``) and what arrived go in, effects come out. Who may pay
whom at what price is decided here and nowhere else; *when* it is decided is the
clerk's business (protocol, sections 7 and 8).
"""

from nodes.rules.content import about_prepare, open_content, read_content
from nodes.rules.decisions import decide_answer, decide_decision, decide_item_refused
from nodes.rules.group import (
    NewMember,
    SaveMember,
    decide_directory,
    decide_log,
    decide_member,
    decide_mirror,
)
from nodes.rules.offers import decide_offer
from nodes.rules.orders import (
    CancelWish,
    Order,
    Ordered,
    OtherBody,
    decide_cancel,
    decide_order,
)
from nodes.rules.view import (
    CLEARING,
    FUND,
    SETTLEMENT,
    SUSPENSE,
    Answer,
    KeepAnswer,
    NodeView,
    NoteDecision,
    accounts_of,
    conversion,
    conversion_time,
    is_reserved,
)

__all__ = [
    "CLEARING",
    "FUND",
    "SETTLEMENT",
    "SUSPENSE",
    "Answer",
    "CancelWish",
    "KeepAnswer",
    "NewMember",
    "NodeView",
    "NoteDecision",
    "Order",
    "Ordered",
    "OtherBody",
    "SaveMember",
    "about_prepare",
    "accounts_of",
    "conversion",
    "conversion_time",
    "decide_answer",
    "decide_cancel",
    "decide_decision",
    "decide_directory",
    "decide_item_refused",
    "decide_log",
    "decide_member",
    "decide_mirror",
    "decide_offer",
    "decide_order",
    "is_reserved",
    "open_content",
    "read_content",
]
