"""Planted bugs: leaving, sharing, charges, caps, two admins; see ``planted``."""

from typing import Any

import msgspec

from clearing.rules.consents import _carry_out
from clearing.rules.cycles import decide_close, read_statement
from clearing.rules.leaving import _turn
from clearing.rules.shares import decision_on, share_out
from clearing.rules.view import RESERVE
from nodes.rules.shares import _book
from protocol.effects import Effects, SendItem, Touched
from protocol.instant import Instant
from protocol.messages import DecisionName
from protocol.steps import Step
from tests.simulator.planted import _bug as bug

_replace = msgspec.structs.replace
_DAY_MS = 86_400_000


# Leaving.


@bug(
    "run-off-forgets-holds",
    "What a leaving group has set aside may be run off again.",
    "clearing.rules.prepares:run_off",
)
def _forgets_holds(right: Any) -> Any:
    def wrong(position: Any, due_out: int = 0, due_in: int = 0) -> Any:
        return right(_replace(position, held_out=0, held_in=0), due_out, due_in)

    return wrong


@bug(
    "run-off-past-zero",
    "A group that is leaving may go to the limits that were agreed with it.",
    "clearing.rules.prepares:run_off",
)
def _past_zero(right: Any) -> Any:
    def wrong(position: Any, due_out: int = 0, due_in: int = 0) -> Any:
        found = right(position, due_out, due_in)
        # Only the way back is shut.
        if position.balance > 0:
            return _replace(found, floor=position.floor)
        return _replace(found, ceiling=position.ceiling)

    return wrong


@bug(
    "run-off-of-half",
    "A creditor that is leaving may pay half of what it has at once, and no more.",
    "clearing.rules.prepares:run_off",
)
def _of_half(right: Any) -> Any:
    def wrong(position: Any, due_out: int = 0, due_in: int = 0) -> Any:
        found = right(position, due_out, due_in)
        return _replace(found, floor=max(found.floor, position.balance // 2))

    return wrong


@bug(
    "release-ends-leaving",
    "Who is released after a freeze is active, though it was leaving.",
    "clearing.rules.groups:_state_before",
)
def _ends_leaving(_right: Any) -> Any:
    return lambda _view, _group: "active"


@bug(
    "left-with-holds",
    "A group is declared left while something of its is in flight.",
    "clearing.rules.leaving:_why_not",
)
def _with_holds(right: Any) -> Any:
    def wrong(view: Any, record: Any, order: Any) -> Any:
        refused = right(view, record, order)
        if refused is None or refused.outcome.code != "still-in-flight":
            return refused
        account = view.accounts[order.group]
        is_seen = account.balance == order.position
        return None if is_seen else refused

    return wrong


@bug(
    "left-keeps-its-legs",
    "A group is declared left, and its legs stay as they are.",
    "clearing.rules.leaving:_legs_of",
)
def _keeps_legs(_right: Any) -> Any:
    return lambda _view, _group: []


@bug(
    "left-unseen",
    "A group is declared left with another position than the admin has seen.",
    "clearing.rules.leaving:_why_not",
)
def _unseen(right: Any) -> Any:
    def wrong(view: Any, record: Any, order: Any) -> Any:
        position = view.accounts[order.group].balance
        return right(view, record, _replace(order, position=position))

    return wrong


@bug(
    "left-trades-on",
    "A group that has left may trade as one that is active.",
    "clearing.rules.prepares:_refusal_by_state",
)
def _trades_on(right: Any) -> Any:
    def wrong(view: Any, payer: Any, payee: Any) -> Any:
        states = (
            _replace(one, state="active") if one.state == "left" else one
            for one in (payer, payee)
        )
        return right(view, *states)

    return wrong


@bug(
    "left-can-be-frozen",
    "A group that has left is frozen once more, and released as active.",
    "clearing.rules.groups:_freeze",
    "clearing.rules.groups:_state_before",
)
def _can_be_frozen(right: Any) -> Any:
    if right.__name__ == "_state_before":
        return lambda view, group: right(view, group).replace("left", "active")

    def wrong(view: Any, record: Any, now: Any) -> Any:
        state = "active" if record.state == "left" else record.state
        return right(view, _replace(record, state=state), now)

    return wrong


@bug(
    "stay-of-anybody",
    "A group's second wish to leave has it stay.",
    "clearing.house:rules.decide_leave_wish",
)
def _stays(right: Any) -> Any:
    def wrong(view: Any, arrived: Any, now: Any) -> Any:
        record = view.directory[arrived.peer]
        if record.state != "leaving":
            return right(view, arrived, now)
        return _replace(_turn(view, record, "active", now), outcome=None)

    return wrong


@bug(
    "wish-waits-for-ever",
    "A node forgets that its group's wish to leave was answered.",
    "nodes.rules.group:answers_to_wish",
)
def _waits(_right: Any) -> Any:
    return lambda _view, _record, _now: ()


# Sharing.


@bug(
    "shares-with-the-frozen",
    "Groups that are frozen bear a part, too.",
    "clearing.rules.shares:_measures",
)
def _with_frozen(right: Any) -> Any:
    def wrong(view: Any, group: Any, rule: Any) -> Any:
        known, view.directory = (
            view.directory,
            {
                name: one if one.state == "left" else _replace(one, state="active")
                for name, one in view.directory.items()
            },
        )
        found = right(view, group, rule)
        view.directory = known
        return found

    return wrong


@bug(
    "shares-to-the-last",
    "What cannot be shared evenly goes to the last by name.",
    "protocol.sharing:_round",
)
def _to_last(right: Any) -> Any:
    def wrong(exact: Any, whole: int) -> Any:
        found = right(
            {one: part // whole * whole for one, part in exact.items()}, whole
        )
        left = sum(exact.values()) // whole - sum(found.values())
        if found:
            found[max(found)] += left
        return found

    return wrong


@bug(
    "turnover-of-payers",
    "Turnover is what a group has paid, and not also what it has received.",
    "clearing.rules.shares:_turnover",
)
def _of_payers(_right: Any) -> Any:
    def wrong(view: Any, group: str) -> int:
        former = view.open_cycle.former
        kept = former and view.open_cycle.statements.get((former.cycle, group))
        return int(read_statement(kept).debits) if kept else 0

    return wrong


@bug(
    "shares-what-was-told",
    "What was told is decided, whatever has changed since.",
    "clearing.cycles:rules.decide_shares",
)
def _what_was_told(right: Any) -> Any:
    def wrong(view: Any, order: Any, now: Any) -> Any:
        told = view.shared.get(getattr(order, "plan", None))
        effects = right(view, order, now)
        if told is None or getattr(effects.outcome, "code", "") != "shares-outdated":
            return effects
        if told.state != "told":
            return effects
        name = DecisionName(view.log, view.size)
        decision = decision_on(told.plan, name, now)
        return Effects(Step.SHARE, *share_out(told, decision, now))

    return wrong


@bug(
    "shared-at-once",
    "What is shared is decided when it is told, and told to nobody.",
    "clearing.rules.shares:decide_tell",
)
def _at_once(right: Any) -> Any:
    def wrong(view: Any, order: Any, now: Any) -> Any:
        effects = right(view, order, now)
        kept = [one for one in effects.wanted if not isinstance(one, SendItem)]
        return Effects(effects.step, kept, effects.outcome)

    return wrong


@bug(
    "books-what-it-was-told",
    "A node books its part when it is told, and again when it is decided.",
    "nodes.cycles:touches",
    "nodes.cycles:rules.decide_plan",
)
def _books_told(right: Any) -> Any:
    if right.__name__ == "touches":
        return lambda view, wanted: Touched(
            accounts={*right(view, wanted).accounts, "shared"}
        )

    def wrong(view: Any, arrived: Any) -> Any:
        effects = right(view, arrived)
        kept = getattr(effects.wanted[0], "shared", None)
        if kept is None or not kept.amount:
            return effects
        # Under an id of its own, so that the ledger lets both in.
        other = _replace(kept, shared_id=kept.shared_id[:-4] + "0000")
        more = _book(view, other, Instant(0))
        return Effects(effects.step, (*effects.wanted, *more), effects.outcome)

    return wrong


@bug(
    "part-of-another",
    "A node books the first part of a decision, and not its own.",
    "nodes.rules.shares:added",
)
def _of_another(right: Any) -> Any:
    def wrong(decision: Any) -> Any:
        found = right(decision)
        return dict.fromkeys(found, next(iter(found.values()), 0))

    return wrong


@bug(
    "shared-forgotten",
    "A node that starts has forgotten what it was told of.",
    "nodes.cycles:share_store.read_shared_named",
)
def _forgotten(right: Any) -> Any:
    async def wrong(connection: Any, ids: Any) -> Any:
        found = await right(connection, ids)
        return {one: own for one, own in found.items() if own.name is not None}

    return wrong


# The charge.


@bug(
    "charge-of-closings",
    "The charge is reckoned from where a group stands, and not from where it stood.",
    "clearing.rules.cycle_records:Running.average",
)
def _of_closings(right: Any) -> Any:
    def wrong(running: Any, begin: Any, end: Any) -> Any:
        found = right(running, begin, end)
        return None if found is None else running.position

    return wrong


@bug(
    "charge-from-the-first-move",
    "A restart counts the time of a cycle from its first move.",
    "clearing.rules.cycle_records:OpenCycle.apply",
)
def _from_first(right: Any) -> Any:
    def wrong(opened: Any, effect: Any) -> None:
        had_closed = opened.has_closed
        right(opened, effect)
        if opened.has_closed and not had_closed:
            for group, running in opened.changed.items():
                opened.changed[group] = _replace(running, since=None)

    return wrong


@bug(
    "no-charge-of-the-leaving",
    "Groups that are leaving pay no charge.",
    "clearing.rules.charge:_standings",
)
def _not_of_leaving(right: Any) -> Any:
    def wrong(view: Any, now: Any) -> Any:
        known, view.directory = (
            view.directory,
            {
                name: _replace(one, state="frozen") if one.state == "leaving" else one
                for name, one in view.directory.items()
            },
        )
        found = right(view, now)
        view.directory = known
        return found

    return wrong


@bug(
    "charge-counts-in-its-cycle",
    "A charge does not enter the tally of the cycle that it belongs to.",
    "clearing.rules.cycle_records:OpenCycle.post",
)
def _counts_not(right: Any) -> Any:
    def wrong(opened: Any, effect: Any, name: Any) -> None:
        accounts = {one.account_id for one in effect.entry.postings}
        if effect.entry.kind != "shared" or RESERVE not in accounts:
            right(opened, effect, name)

    return wrong


@bug(
    "charge-behind-the-close",
    "The charge is decided in a batch of its own; a crash between loses it.",
    "clearing.cycles:rules.decide_close_and_charge",
)
def _behind(_right: Any) -> Any:
    return decide_close


@bug(
    "debtors-charge-by-ceiling",
    "A debtor's charge is held against its ceiling, as a creditor's is.",
    "clearing.rules.charge:AveragePosition",
)
def _by_ceiling(right: Any) -> Any:
    return lambda average, floor, ceiling: right(
        average=average, floor=-ceiling, ceiling=ceiling
    )


# Caps.


@bug(
    "cap-forgets-refusals",
    "What was refused still counts to its pair's cap.",
    "clearing.rules.caps:give_back",
)
def _keeps_refused(_right: Any) -> Any:
    return lambda _view, _refused: []


@bug(
    "cap-without-holds",
    "Only what has cleared counts to a cap; what is held does not.",
    "clearing.rules.caps:is_beyond_cap",
)
def _without_holds(right: Any) -> Any:
    def wrong(view: Any, payer: str, payee: str, amount: int, now: Any) -> Any:
        held = view.accounts[payer].held_out
        return right(view, payer, payee, max(1, amount - held), now)

    return wrong


@bug(
    "cap-for-both-ways",
    "A cap binds what the payee's members pay back, too.",
    "clearing.rules.caps:is_beyond_cap",
)
def _both_ways(right: Any) -> Any:
    def wrong(view: Any, payer: str, payee: str, amount: int, now: Any) -> Any:
        one = right(view, payer, payee, amount, now)
        return one or right(view, payee, payer, amount, now)

    return wrong


@bug(
    "cap-forgotten-at-start",
    "A hub that starts begins to count anew what of a cap is used.",
    "clearing.limit_store:read_use",
)
def _forgotten_use(_right: Any) -> Any:
    async def wrong(_connection: Any, _pairs: Any) -> Any:
        return {}

    return wrong


@bug(
    "month-begins-late",
    "A month begins a day late for what counts to a cap.",
    "clearing.rules.caps:month_of",
)
def _begins_late(right: Any) -> Any:
    return lambda now: right(Instant(now - _DAY_MS))


# Two admins.


@bug(
    "one-admin-twice",
    "An admin gives her own request the second word.",
    "clearing.rules.consents:_why_not",
)
def _twice(right: Any) -> Any:
    def wrong(view: Any, kept: Any, order: Any, now: Any) -> Any:
        code = right(view, kept, order, now)
        return None if code == "same-person" else code

    return wrong


@bug(
    "word-after-a-week",
    "A request waits for a second word for ever.",
    "clearing.rules.consents:_why_not",
)
def _after_week(right: Any) -> Any:
    def wrong(view: Any, kept: Any, order: Any, now: Any) -> Any:
        if kept is not None and kept.state == "asked":
            now = kept.asked_at
        return right(view, kept, order, now)

    return wrong


@bug(
    "request-is-done",
    "A dangerous act is done when it is asked for.",
    "clearing.rules.consents:_ask",
)
def _is_done(_right: Any) -> Any:
    return lambda view, order, now: list(
        _carry_out(view, order.act, order.code_hash, now)
    )[-1]
