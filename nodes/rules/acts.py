"""What of the staff's doing is noted for ever: who, what, about whom, and why.

Each order of a treasurer's that changed something is noted in the same database
transaction as what it did. A refusal changed nothing and is not noted. Nothing here
is secret: no link, no password, no memo.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from nodes.rules.cycle_records import OwnCycle, OwnLeg
from nodes.rules.cycles import AnswerStatement
from nodes.rules.entries import Booked, Correction, HandEntry
from nodes.rules.leaving import WishToLeave
from nodes.rules.legs import SignLeg
from nodes.rules.limits import LimitsChange
from nodes.rules.members import MemberChange, NewMember, Standing
from nodes.rules.moving import MoveIn
from nodes.rules.orders import Order, Ordered
from nodes.rules.own_keys import ChangeKeys, RecoverKeys, signing_kid
from nodes.rules.proposals import Propose
from nodes.rules.trust import AcceptKeys, KeysOutcome, TrustAgain
from nodes.rules.view import ImportRun
from nodes.rules.warnings import SetWarnPercent
from protocol.effects import Effects, HouseEffect, PostEntry, SetLimits

Detail = str | int | bool | None


class Deed(StrEnum):
    """What somebody did."""

    MEMBER_ADMITTED = "member-admitted"
    MEMBER_CHANGED = "member-changed"
    LIMITS_CHANGED = "limits-changed"
    SIGN_IN_MADE = "sign-in-made"
    ENTRY_BOOKED = "entry-booked"
    ENTRY_CORRECTED = "entry-corrected"
    PAYMENT_ORDERED = "payment-ordered"
    PROPOSAL_MADE = "proposal-made"
    LEAVING_ASKED = "leaving-asked"
    TRUSTED_AGAIN = "trusted-again"
    KEYS_ACCEPTED = "keys-accepted"
    KEYS_CHANGED = "keys-changed"
    PERSON_INVITED = "person-invited"
    PERSON_REMOVED = "person-removed"
    SIGN_INS_ENDED = "sign-ins-ended"
    MOVED_IN = "moved-in"
    CYCLE_CHECKED = "cycle-checked"
    LEG_PAID = "leg-paid"
    LEG_RECEIVED = "leg-received"
    WARNING_SET = "warning-set"


class NoteAct(HouseEffect, frozen=True):
    """Keep for ever what somebody did.

    Attributes:
        author: the person; ``None``: a command beside no server.
        deed: what she did.
        about: an account, an entry, a person's name, a group, or nothing.
        details: figures and names, none of them secret.
        reason: in her words, where she gave any.
    """

    author: str | None
    deed: Deed
    about: str
    details: Mapping[str, Detail]
    reason: str | None = None


#: What one act is noted of.
_Single = (
    NewMember
    | MemberChange
    | HandEntry
    | Correction
    | Propose
    | Order
    | AcceptKeys
    | TrustAgain
    | MoveIn
    | WishToLeave
    | ChangeKeys
    | RecoverKeys
)
#: What is noted when it has changed something.
Noted = _Single | LimitsChange | AnswerStatement | SignLeg | SetWarnPercent


def with_act(wanted: Noted, effects: Effects) -> Effects:
    """Add to what an order led to who gave it, if it changed anything."""
    if isinstance(wanted, LimitsChange):
        acts = _acts_of_limits(wanted, effects)
    elif isinstance(wanted, AnswerStatement | SignLeg):
        acts = _acts_of_cycle(wanted, effects.outcome)
    elif isinstance(wanted, SetWarnPercent):
        acts = _acts_of_warning(wanted, effects)
    else:
        act = _act(wanted, effects)
        acts = () if act is None else (act,)
    if not acts:
        return effects
    return msgspec.structs.replace(effects, wanted=(*effects.wanted, *acts))


def _acts_of_limits(wanted: LimitsChange, effects: Effects) -> tuple[NoteAct, ...]:
    """Note each member by herself, so that whoever asks about her finds it."""
    deed = Deed.LIMITS_CHANGED
    return tuple(
        NoteAct(
            wanted.author,
            deed,
            effect.account_id,
            {"floor": effect.floor, "ceiling": effect.ceiling},
            wanted.reason,
        )
        for effect in effects.wanted
        if isinstance(effect, SetLimits)
    )


def _acts_of_warning(wanted: SetWarnPercent, effects: Effects) -> tuple[NoteAct, ...]:
    if effects.outcome is not True:
        return ()
    details: dict[str, Detail] = {"percent": wanted.percent}
    return (NoteAct(wanted.author, Deed.WARNING_SET, "", details),)


def _act(wanted: _Single, effects: Effects) -> NoteAct | None:
    match wanted:
        case TrustAgain():
            if effects.outcome is not True:
                return None
            deed = Deed.TRUSTED_AGAIN
            return NoteAct(wanted.author, deed, wanted.about, {}, wanted.reason)
        case AcceptKeys():
            if effects.outcome is not KeysOutcome.ACCEPTED:
                return None
            deed = Deed.KEYS_ACCEPTED
            return NoteAct(wanted.author, deed, wanted.group, {}, wanted.reason)
        case MoveIn():
            return _act_of_moving(wanted.author, effects.outcome)
        case Order():
            return _act_of_order(wanted, effects)
        case HandEntry() | Correction():
            return _act_of_entry(wanted, effects)
        case _:
            return None if effects.step is None else _act_of_other(wanted, effects)


def _act_of_other(
    wanted: (
        NewMember | MemberChange | Propose | ChangeKeys | RecoverKeys | WishToLeave
    ),
    effects: Effects,
) -> NoteAct:
    match wanted:
        case ChangeKeys() | RecoverKeys():
            return _act_of_keys(wanted)
        case NewMember():
            details: dict[str, Detail] = {
                "name": wanted.name,
                "floor": wanted.floor,
                "ceiling": wanted.ceiling,
            }
            deed = Deed.MEMBER_ADMITTED
            return NoteAct(wanted.author, deed, wanted.account_id, details)
        case MemberChange():
            deed = Deed.MEMBER_CHANGED
            return NoteAct(
                wanted.author,
                deed,
                wanted.account_id,
                _changed(wanted, effects),
                wanted.reason,
            )
        case Propose(entry=entry):
            details = {
                "version": entry.version,
                "name": entry.name,
                "unit": entry.unit.name,
                "milliseconds": entry.rates[-1].milliseconds,
            }
            return NoteAct(wanted.author, Deed.PROPOSAL_MADE, entry.group, details)
        case WishToLeave():
            return NoteAct(wanted.author, Deed.LEAVING_ASKED, "", {}, wanted.reason)


def _changed(wanted: MemberChange, effects: Effects) -> dict[str, Detail]:
    """Tell what she asked for, and what was moved to the fund."""
    details: dict[str, Detail] = {
        name: getattr(wanted, name)
        for name in Standing.__struct_fields__
        if getattr(wanted, name) is not msgspec.UNSET
    }
    for effect in effects.wanted:
        if isinstance(effect, PostEntry):
            details["entry"] = effect.entry.entry_id
            details["to_fund"] = effect.entry.postings[-1].amount
    return details


def _acts_of_cycle(
    wanted: AnswerStatement | SignLeg, own: object
) -> tuple[NoteAct, ...]:
    """Note who had a cycle looked at again, or signed; the node itself is nobody."""
    if isinstance(wanted, SignLeg):
        if not isinstance(own, OwnLeg):
            return ()
        deed = Deed.LEG_PAID if wanted.word == "paid" else Deed.LEG_RECEIVED
        owed: dict[str, Detail] = {
            "cycle": own.cycle,
            "debtor": own.debtor,
            "creditor": own.creditor,
            "milliseconds": own.milliseconds,
        }
        return (NoteAct(wanted.author, deed, own.leg_id, owed, wanted.reason),)
    if wanted.author is None or not isinstance(own, OwnCycle):
        return ()
    details: dict[str, Detail] = {"state": own.state.value}
    deed, about = Deed.CYCLE_CHECKED, str(own.cycle)
    return (NoteAct(wanted.author, deed, about, details, wanted.reason),)


def _act_of_keys(wanted: ChangeKeys | RecoverKeys) -> NoteAct:
    """Note new keys by the id that people see; a recovery is a command."""
    author = wanted.author if isinstance(wanted, ChangeKeys) else None
    details: dict[str, Detail] = {
        "version": wanted.entry.version,
        "signing": signing_kid(wanted.entry),
        "by_recovery": isinstance(wanted, RecoverKeys),
    }
    group, deed = wanted.entry.group, Deed.KEYS_CHANGED
    return NoteAct(author, deed, group, details, wanted.reason)


def _act_of_moving(author: str | None, run: object) -> NoteAct | None:
    """Note an import once, with its last part."""
    if not isinstance(run, ImportRun):
        return None
    details: dict[str, Detail] = {"members": run.members, "entries": run.entries}
    return NoteAct(author, Deed.MOVED_IN, run.digest, details)


def _act_of_order(order: Order, effects: Effects) -> NoteAct | None:
    """Note what was ordered in a member's name; what she orders herself is hers."""
    if order.author is None or effects.step is None:
        return None
    if not isinstance(effects.outcome, Ordered):
        return None
    details: dict[str, Detail] = {
        "transfer": order.transfer_id,
        "to": f"{order.payee}@{order.payee_group}",
        "payee_amount": order.payee_amount,
    }
    return NoteAct(order.author, Deed.PAYMENT_ORDERED, order.payer, details)


def _act_of_entry(order: HandEntry | Correction, effects: Effects) -> NoteAct | None:
    if effects.step is None or not isinstance(effects.outcome, Booked):
        return None
    postings = next(
        effect.entry.postings
        for effect in effects.wanted
        if isinstance(effect, PostEntry)
    )
    details: dict[str, Detail] = {
        "postings": len(postings),
        "total": sum(one.amount for one in postings if one.amount > 0),
    }
    if isinstance(order, HandEntry):
        deed, about = Deed.ENTRY_BOOKED, order.entry_id
    else:
        deed, about = Deed.ENTRY_CORRECTED, order.entry.entry_id
        details["counter_entry"] = order.entry_id
    return NoteAct(order.caller, deed, about, details, order.reason)
