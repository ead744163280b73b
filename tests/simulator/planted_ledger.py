"""Planted bugs: entries by hand, undoing, closing, limits; see ``planted``."""

from typing import Any

import msgspec

from nodes import member_store
from nodes.rules.entries import BY_HAND, NotBooked, _booked, _refusal
from nodes.rules.limits import _why_not
from nodes.rules.members import Standing, _moved_to_fund
from nodes.rules.view import KeepAnswer
from protocol.effects import Effects, PostEntry, SetLimits
from protocol.errors import RefusalCode, TreasurerRefusalCode
from protocol.ledger import AccountKind, Entry, Posting, may_credit, may_debit
from protocol.steps import Step
from tests.simulator.planted import _bug as bug

_replace = msgspec.structs.replace
_ENTRY = "nodes.house:rules.decide_entry"
_CORRECTION = "nodes.house:rules.decide_correction"
_CHANGE = "nodes.house:rules.decide_change"
_LIMITS = "nodes.house:rules.decide_limits"
_FLOOR = TreasurerRefusalCode.MEMBER_FLOOR
_CEILING = TreasurerRefusalCode.MEMBER_CEILING


def _with_effect(change: Any) -> Any:
    """Make a rule's effects others, one by one; ``None`` leaves one out."""

    def of(right: Any) -> Any:
        def wrong(*values: Any) -> Any:
            effects = right(*values)
            wanted = [change(one, *values) for one in effects.wanted]
            kept = tuple(one for one in wanted if one is not None)
            return _replace(effects, wanted=kept)

        return wrong

    return of


# By hand.


@bug(
    "hand-key-forgotten",
    "What a treasurer booked is not kept under her key, and so booked again.",
    "nodes.rules.entries:_booked",
)
def _key_forgotten(right: Any) -> Any:
    def wrong(*values: Any) -> Any:
        effects = right(*values)
        kept = tuple(one for one in effects.wanted if not isinstance(one, KeepAnswer))
        return _replace(effects, wanted=kept)

    return wrong


@bug(
    "hand-key-of-one-batch",
    "Of two orders under one key in one batch the second is not seen to be the same.",
    _ENTRY,
)
def _key_of_one_batch(right: Any) -> Any:
    def wrong(view: Any, order: Any, now: Any) -> Any:
        first = vars(view).setdefault("answers at first", dict(view.answers))
        known = view.answers
        view.answers = first
        try:
            effects = right(view, order, now)
        finally:
            view.answers = known
        # The table has one row for each key, as it must.
        if (order.caller, order.key) in known:
            kept = [one for one in effects.wanted if not isinstance(one, KeepAnswer)]
            return _replace(effects, wanted=tuple(kept))
        return effects

    return wrong


@bug(
    "hand-other-body-answered",
    "A key that was used for another entry is answered with that one.",
    "nodes.rules.entries:_answered",
)
def _other_body_answered(right: Any) -> Any:
    def wrong(view: Any, order: Any) -> Any:
        before = view.answers.get((order.caller, order.key))
        if before is not None:
            order = _replace(order, body_hash=before.body_hash)
        return right(view, order)

    return wrong


@bug(
    "hand-floor-without-holds",
    "By hand, what is on its way out is not counted against the floor.",
    "nodes.rules.entries:may_debit",
)
def _floor_without_holds(_right: Any) -> Any:
    return lambda account, amount: may_debit(_replace(account, held_out=0), amount)


@bug(
    "hand-ceiling-netted",
    "By hand, what is on its way out makes room below the ceiling.",
    "nodes.rules.entries:may_credit",
)
def _ceiling_netted(_right: Any) -> Any:
    def wrong(account: Any, amount: int) -> Any:
        held_in = account.held_in - account.held_out
        return may_credit(_replace(account, held_in=held_in), amount)

    return wrong


@bug(
    "hand-credit-to-frozen",
    "By hand, a frozen account may still be given something.",
    "nodes.rules.entries:_refusal",
)
def _credit_to_frozen(right: Any) -> Any:
    def wrong(account: Any, amount: int) -> Any:
        if account is not None and amount > 0 and not account.closed:
            account = _replace(account, frozen=False)
        return right(account, amount)

    return wrong


@bug(
    "hand-looks-at-the-first",
    "Of an entry by hand only the first account's limits are asked.",
    _ENTRY,
)
def _looks_at_the_first(right: Any) -> Any:
    def wrong(view: Any, order: Any, now: Any) -> Any:
        effects = right(view, order, now)
        no = effects.outcome
        is_other = (
            effects.wanted
            and isinstance(no, NotBooked)
            and no.account_id != order.postings[0].account_id
        )
        if not is_other or no.code not in (_FLOOR, _CEILING):
            return effects
        entry = Entry(
            entry_id=order.entry_id,
            at=now,
            kind=BY_HAND,
            postings=order.postings,
            author=order.caller,
            reason=order.reason,
        )
        return _booked(Step.ENTRY, order, entry, now)

    return wrong


@bug(
    "hand-on-clearing",
    "A treasurer may book on any of the node's own accounts in the group's unit.",
    "nodes.rules.entries:_refusal",
)
def _on_clearing(_right: Any) -> Any:
    def wrong(account: Any, amount: int) -> Any:
        code = _refusal(account, amount)
        is_own = code is TreasurerRefusalCode.NOT_FOR_PEOPLE
        return None if is_own and account.unit == "unit" else code

    return wrong


@bug(
    "mass-without-last",
    "A mass entry leaves out the last member; the fund balances it.",
    "nodes.bulk:_postings",
)
def _without_last(right: Any) -> Any:
    def wrong(wish: Any, members: Any) -> Any:
        if len(members) < 2:
            return right(wish, members)
        if wish.accounts is not None:
            wish = _replace(wish, accounts=wish.accounts[:-1] or wish.accounts)
        return right(wish, members[:-1])

    return wrong


# Undone again.


@bug(
    "undone-twice-in-a-batch",
    "Of two orders in one batch to undo the same both are booked.",
    "nodes.rules.view:NodeView.apply",
)
def _undone_twice(_right: Any) -> Any:
    def wrong(self: Any, effect: Any) -> None:
        super(type(self), self).apply(effect)

    return wrong


@bug(
    "undone-later-twice",
    "After the batch nobody knows any more that an entry was undone.",
    "nodes.house:ledger_store.read_corrected",
)
def _undone_later_twice(_right: Any) -> Any:
    async def wrong(_connection: Any, _ids: Any) -> Any:
        return set()

    return wrong


@bug(
    "undoing-asks-limits",
    "An entry is not undone where a limit stands in the way.",
    "nodes.rules.entries:_first_refusal",
)
def _undoing_asks_limits(right: Any) -> Any:
    def wrong(view: Any, entry: Any) -> Any:
        refused = right(view, entry)
        if refused is not None:
            return refused
        for posting in entry.postings:
            account = view.accounts[posting.account_id]
            if posting.amount > 0 and may_debit(account, posting.amount):
                return NotBooked(_FLOOR, posting.account_id)
        return None

    return wrong


@bug(
    "undone-and-given-back",
    "A payment that is undone may be given back on top.",
    "nodes.rules.entries:_without_refund",
)
def _undone_and_given_back(_right: Any) -> Any:
    return lambda _view, _entry: ()


@bug(
    "given-back-and-undone",
    "A payment of which a part was given back is undone all the same.",
    "nodes.rules.entries:_is_refunded",
)
def _given_back_and_undone(right: Any) -> Any:
    def wrong(view: Any, entry: Any) -> Any:
        transfer = view.transfers.get(entry.transfer_id or "")
        if transfer is None or transfer.refunded == transfer.milliseconds:
            return right(view, entry)
        return transfer.refund_of is not None

    return wrong


@bug(
    "refund-undone",
    "A payment that gives another back is undone, and still counts as given back.",
    "nodes.rules.entries:_is_refunded",
)
def _refund_undone(_right: Any) -> Any:
    def wrong(view: Any, entry: Any) -> Any:
        transfer = view.transfers.get(entry.transfer_id or "")
        return transfer is not None and transfer.refunded > 0

    return wrong


@bug(
    "undone-onto-closed",
    "Undoing looks whether the first account is closed, and at no other.",
    "nodes.rules.entries:_first_refusal",
)
def _undone_onto_closed(right: Any) -> Any:
    def wrong(view: Any, entry: Any) -> Any:
        refused = right(view, entry)
        is_closed = refused and refused.code is TreasurerRefusalCode.MEMBER_CLOSED
        if is_closed and refused.account_id != entry.postings[0].account_id:
            return None
        return refused

    return wrong


@bug(
    "undone-between-groups",
    "A payment to another group is undone where the member's posting comes first.",
    "nodes.rules.entries:_first_refusal",
)
def _undone_between_groups(right: Any) -> Any:
    def wrong(view: Any, entry: Any) -> Any:
        refused = right(view, entry)
        is_shared = refused and refused.code is TreasurerRefusalCode.BETWEEN_GROUPS
        return None if is_shared else refused

    return wrong


@bug(
    "undone-by-one-less",
    "An entry of more than two postings is undone but for one unit of two of them.",
    _CORRECTION,
)
@_with_effect
def _by_one_less(effect: Any, *_: Any) -> Any:
    if not isinstance(effect, PostEntry) or len(effect.entry.postings) < 3:
        return effect
    postings = list(effect.entry.postings)
    last = postings[-1]
    more = next(at for at, one in enumerate(postings) if one.amount * last.amount < 0)
    sign = 1 if last.amount > 0 else -1
    if last.amount == sign or postings[more].amount == -sign:
        return effect
    postings[-1] = Posting(last.account_id, last.amount - sign)
    other = postings[more]
    postings[more] = Posting(other.account_id, other.amount + sign)
    return PostEntry(_replace(effect.entry, postings=tuple(postings)))


# Closing, opening, limits.


@bug(
    "shut-with-what-comes",
    "An account is closed while something is on its way to it.",
    "nodes.rules.members:_first_refusal",
)
def _shut_with_what_comes(right: Any) -> Any:
    def wrong(account: Any, after: Any, **named: Any) -> Any:
        return right(_replace(account, held_in=0), after, **named)

    return wrong


@bug(
    "shut-leaves-what-is-free",
    "Who is closed leaves to the fund what she has, but not what she owes.",
    "nodes.rules.members:_moved_to_fund",
)
def _leaves_what_is_free(right: Any) -> Any:
    def wrong(account: Any, *rest: Any) -> Any:
        return () if account.balance < 0 else right(account, *rest)

    return wrong


@bug(
    "shut-refused-yet-emptied",
    "An account that cannot be closed is emptied all the same.",
    "nodes.house:rules.decide_change",
)
def _refused_yet_emptied(right: Any) -> Any:
    def wrong(view: Any, change: Any, now: Any) -> Any:
        effects = right(view, change, now)
        account = view.accounts.get(change.account_id)
        is_held = effects.outcome is TreasurerRefusalCode.STILL_HELD
        if not is_held or change.to_fund is None or not account.balance:
            return effects
        after = Standing(name="", floor=None, ceiling=None, closed=True)
        moved = _moved_to_fund(account, after, change, now)
        return Effects(Step.MEMBER, moved, effects.outcome)

    return wrong


@bug(
    "reopened-without-limits",
    "An account that is opened again has no limits.",
    _CHANGE,
)
@_with_effect
def _reopened_without_limits(effect: Any, _view: Any, change: Any, _now: Any) -> Any:
    if isinstance(effect, SetLimits) and change.closed is False:
        return _replace(effect, floor=None, ceiling=None)
    return effect


@bug(
    "reopened-and-released",
    "Opening a closed account releases it, too.",
    _CHANGE,
)
@_with_effect
def _reopened_and_released(effect: Any, _view: Any, change: Any, _now: Any) -> Any:
    if isinstance(effect, SetLimits) and change.closed is False:
        return _replace(effect, frozen=False)
    return effect


@bug(
    "limit-drops-the-other",
    "Who sets a floor alone loses her ceiling.",
    "nodes.rules.members:_changed",
)
def _drops_the_other(right: Any) -> Any:
    def wrong(before: Any, change: Any) -> Any:
        if change.floor is not msgspec.UNSET and change.ceiling is msgspec.UNSET:
            change = _replace(change, ceiling=None)
        return right(before, change)

    return wrong


@bug(
    "limits-release",
    "New limits of many release whoever is frozen.",
    _LIMITS,
)
@_with_effect
def _limits_release(effect: Any, *_: Any) -> Any:
    return _replace(effect, frozen=False) if isinstance(effect, SetLimits) else effect


@bug(
    "limits-but-for-the-wrong",
    "Of limits of many those without a mistake are set, though one line is wrong.",
    _LIMITS,
)
def _but_for_the_wrong(right: Any) -> Any:
    def wrong(view: Any, order: Any) -> Any:
        effects = right(view, order)
        rows = {one.row for one in effects.outcome.wrong}
        lines = tuple(one for one in order.lines if one.row not in rows)
        if not rows or not lines:
            return effects
        done = right(view, _replace(order, lines=lines))
        return _replace(done, outcome=effects.outcome)

    return wrong


@bug(
    "limits-crossed-by-one-line",
    "In limits of many a floor above the ceiling of before is not seen.",
    "nodes.rules.limits:_why_not",
)
def _crossed_by_one_line(_right: Any) -> Any:
    def wrong(account: Any, line: Any, seen: Any) -> Any:
        code = _why_not(account, line, seen)
        is_alone = msgspec.UNSET in (line.floor, line.ceiling)
        is_crossed = code is TreasurerRefusalCode.LIMITS_CROSSED
        return None if is_crossed and is_alone else code

    return wrong


@bug(
    "standing-unnoted",
    "What is noted of a member is how she stood before the change.",
    "nodes.rules.members:NoteStanding",
)
def _standing_unnoted(right: Any) -> Any:
    def wrong(account_id: Any, author: Any, standing: Any, *rest: Any) -> Any:
        return right(account_id, author, _replace(standing, closed=False), *rest)

    return wrong


@bug(
    "act-of-the-counter-entry",
    "The act of an undoing is about the counter-entry, not about what it undoes.",
    "nodes.rules.acts:_act_of_entry",
)
def _act_of_counter_entry(right: Any) -> Any:
    def wrong(order: Any, effects: Any) -> Any:
        act = right(order, effects)
        return act and _replace(act, about=order.entry_id)

    return wrong


@bug(
    "limits-reopen",
    "New limits of many open an account that was closed.",
    _LIMITS,
)
@_with_effect
def _limits_reopen(effect: Any, *_: Any) -> Any:
    return _replace(effect, closed=False) if isinstance(effect, SetLimits) else effect


@bug(
    "closed-account-is-known",
    "Whoever pays to a closed account learns that somebody had it.",
    "nodes.rules.view:NodeView.find_payee",
)
def _closed_is_known(_right: Any) -> Any:
    def wrong(self: Any, account_id: str) -> Any:
        account = self.accounts.get(account_id)
        is_member = account is not None and account.kind is AccountKind.MEMBER
        return account if is_member else None

    return wrong


@bug(
    "mass-with-who-has-left",
    "A mass entry on all members is on closed accounts, too, and so never booked.",
    "nodes.bulk:Bulk._members",
)
def _with_who_has_left(right: Any) -> Any:
    async def wrong(self: Any, connection: Any, wish: Any) -> Any:
        if wish.postings is None and wish.accounts is None:
            return await member_store.read_members(connection)
        return await right(self, connection, wish)

    return wrong


@bug(
    "reason-of-a-change-lost",
    "Why a member was changed is not kept.",
    "nodes.rules.members:NoteStanding",
)
def _reason_lost(right: Any) -> Any:
    return lambda account_id, author, standing, *_: right(account_id, author, standing)


@bug(
    "closed-payer-is-on-hold",
    "Whose account is closed is told that it is on hold.",
    "nodes.rules.orders:_first_refusal_inside",
)
def _closed_is_on_hold(right: Any) -> Any:
    def wrong(*values: Any) -> Any:
        code = right(*values)
        is_closed = code is RefusalCode.ACCOUNT_CLOSED
        return RefusalCode.ACCOUNT_FROZEN if is_closed else code

    return wrong
