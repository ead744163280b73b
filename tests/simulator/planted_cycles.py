"""Planted bugs about cycles, statements and legs; see ``planted``."""

from typing import Any

import msgspec

from clearing.rules import StatementState
from nodes.rules import stated_in
from protocol.cycle import Tally, figures_of
from protocol.effects import Effects, PostEntry, Touched
from protocol.ledger import Entry, Posting
from protocol.messages import CycleMove, SettlementPaid
from tests.simulator.planted import _bug as bug

_replace = msgspec.structs.replace
_FAR_AWAY = 2**62


# Statements.


@bug(
    "digest-skips-a-leg",
    "The hub chains no settled leg into the digest of a statement.",
    "clearing.rules.cycle_records:OpenCycle.post",
)
def _digest_skips(right: Any) -> Any:
    def wrong(opened: Any, effect: Any, name: Any) -> None:
        names = [one.account_id for one in effect.entry.postings]
        before = {group: opened.running(group).tally.digest for group in names}
        right(opened, effect, name)
        if effect.entry.kind == "settlement":
            for group, digest in before.items():
                after = opened.changed[group]
                tally = _replace(after.tally, digest=digest)
                opened.changed[group] = _replace(after, tally=tally)

    return wrong


@bug(
    "boundary-counts-twice",
    "What the batch that ends a cycle decided last counts in the next one, too.",
    "clearing.rules.cycle_records:OpenCycle.post",
    "clearing.rules.cycle_records:OpenCycle.apply",
)
def _boundary(right: Any) -> Any:
    if right.__name__ == "post":

        def wrong_post(opened: Any, effect: Any, name: Any) -> None:
            right(opened, effect, name)
            last = opened.__dict__.setdefault("last", {})
            for one in effect.entry.postings:
                entry_id = effect.entry.entry_id
                move = CycleMove(name.log, name.number, entry_id, one.amount)
                last[one.account_id] = move

        return wrong_post

    def wrong(opened: Any, effect: Any) -> None:
        had_closed = opened.has_closed
        right(opened, effect)
        if opened.has_closed and not had_closed:
            for group, move in opened.__dict__.get("last", {}).items():
                tally = Tally().after(move)
                opened.changed[group] = _replace(opened.changed[group], tally=tally)

    return wrong


@bug(
    "leg-is-no-move",
    "A settled leg raises the next cycle's opening, and is no move of it.",
    "clearing.rules.cycle_records:OpenCycle.post",
)
def _no_move(right: Any) -> Any:
    def wrong(opened: Any, effect: Any, name: Any) -> None:
        if effect.entry.kind != "settlement":
            right(opened, effect, name)
            return
        for one in effect.entry.postings:
            found = opened.running(one.account_id)
            after = _replace(found, opening=found.opening + one.amount)
            opened.changed[one.account_id] = after

    return wrong


class _Elsewhere:
    """A connection that answers some question as if another had been asked."""

    def __init__(self, connection: Any, fetchval: Any) -> None:
        self._connection = connection
        self.fetchval = fetchval

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@bug(
    "restart-folds-twice",
    "A restart folds moves into tallies that know of them.",
    "clearing.house:cycle_store.read_running",
)
def _folds_twice(right: Any) -> Any:
    async def wrong(connection: Any, newest: int, closed: Any) -> Any:
        async def from_the_first(_sql: str) -> int:
            return 0

        elsewhere = _Elsewhere(connection, from_the_first)
        return await right(elsewhere, newest, closed)

    return wrong


@bug(
    "opening-of-today",
    "A node takes a cycle's opening from where its clearing account stands now.",
    "nodes.watch.cycle_watch:cycle_store.read_own_moves",
)
def _opening_of_today(right: Any) -> Any:
    async def wrong(connection: Any, own: Any) -> Any:
        async def newest(sql: str, _sequence: int) -> Any:
            return await connection.fetchval(sql, _FAR_AWAY)

        return await right(_Elsewhere(connection, newest), own)

    return wrong


@bug(
    "agrees-without-looking",
    "A node agrees with whatever it is told.",
    "nodes.cycles:rules.decide_answer_to_statement",
)
def _agrees(right: Any) -> Any:
    def wrong(view: Any, found: Any, now: Any) -> Any:
        own = view.cycles.get(found.cycle)
        if own is not None and own.line is not None:
            found = _replace(found, figures=figures_of(stated_in(own)))
        return right(view, found, now)

    return wrong


@bug(
    "list-begins-late",
    "A list is answered from the move behind the one that was asked for.",
    "protocol.cycle:Moves.narrow",
)
def _begins_late(right: Any) -> Any:
    def wrong(moves: Any, theirs: Any) -> Any:
        first, last = right(moves, theirs)
        return first + 1, last

    return wrong


@bug(
    "closes-before-comparing",
    "The hub ends a cycle before every group has compared.",
    "clearing.rules.cycles:holds_up",
)
def _closes_early(_right: Any) -> Any:
    return lambda _state, _link: False


@bug(
    "closes-what-is-open",
    "Who asks a second time for the end of one cycle ends the next.",
    "clearing.cycles:rules.decide_close_and_charge",
)
def _closes_open(right: Any) -> Any:
    def wrong(view: Any, order: Any, now: Any) -> Any:
        number = view.open_cycle.number
        if order.cycle == number - 1:
            order = _replace(order, cycle=number)
        return right(view, order, now)

    return wrong


# Plans and legs.


@bug(
    "plan-ignores-settled",
    "A second plan of a cycle makes good again what was settled.",
    "clearing.settling:aim_of",
    "clearing.rules.settling:aim_of",
)
def _ignores_settled(right: Any) -> Any:
    def wrong(reserve: Any, statements: Any, _settled: Any, excepted: Any = ()) -> Any:
        return right(reserve, statements, (), excepted)

    return wrong


@bug(
    "excepted-group-settles",
    "A plan has legs for groups that carry their positions forward.",
    "clearing.settling:aim_of",
    "clearing.rules.settling:aim_of",
)
def _excepted_settles(right: Any) -> Any:
    def wrong(reserve: Any, statements: Any, settled: Any, _excepted: Any = ()) -> Any:
        return right(reserve, statements, settled)

    return wrong


@bug(
    "plan-though-disputed",
    "Legs are made while a group disputes its statement.",
    "clearing.cycles:rules.decide_settle",
)
def _though_disputed(right: Any) -> Any:
    def wrong(view: Any, order: Any, now: Any) -> Any:
        kept = view.open_cycle.statements
        view.open_cycle.statements = {
            key: _replace(one, state=StatementState.WAITING, answered_at=None)
            for key, one in kept.items()
        }
        effects = right(view, order, now)
        view.open_cycle.statements = kept
        return effects

    return wrong


@bug(
    "settled-on-one-word",
    "The hub settles a leg when one of the two has signed.",
    "clearing.rules.legs:_settle",
    "clearing.rules.legs:wrong_word",
    "clearing.rules.cycle_records:Leg.is_signed",
)
def _one_word(right: Any) -> Any:
    if isinstance(right, property):
        return property(lambda leg: leg.paid is not None or leg.received is not None)
    if right.__name__ == "wrong_word":
        return lambda _leg, _words: None

    def wrong(view: Any, leg: Any, now: Any) -> Any:
        # What lacks is taken for said.
        word = leg.paid or leg.received
        signed = _replace(leg, paid=leg.paid or word, received=leg.received or word)
        return right(view, signed, now)

    return wrong


@bug(
    "paid-by-the-creditor",
    "The hub takes the word that a debtor has paid from its creditor.",
    "clearing.cycles:rules.decide_leg_word",
)
def _by_creditor(right: Any) -> Any:
    def wrong(view: Any, arrived: Any, now: Any) -> Any:
        leg = view.open_cycle.legs.get(arrived.item.id)
        is_paid = isinstance(arrived.item, SettlementPaid)
        if leg is not None and is_paid and arrived.peer == leg.creditor:
            arrived = _replace(arrived, peer=leg.debtor)
        return right(view, arrived, now)

    return wrong


@bug(
    "leg-before-comparing",
    "The hub decides on a leg before both parties have compared.",
    "clearing.rules.legs:may_decide_on_leg",
)
def _leg_early(_right: Any) -> Any:
    return lambda _view, _leg: True


@bug(
    "legs-forgotten",
    "A hub that starts knows of no open leg.",
    "clearing.house:cycle_store.read_open_legs",
)
def _legs_forgotten(_right: Any) -> Any:
    async def wrong(_connection: Any) -> list[Any]:
        return []

    return wrong


def _booked(view: Any, leg: Any, now: Any) -> PostEntry:
    sign = -1 if leg.debtor == view.group else 1
    postings = (
        Posting("clearing", sign * leg.milliseconds),
        Posting("settlement", -sign * leg.milliseconds),
    )
    return PostEntry(Entry(leg.leg_id, now, "settlement", postings))


@bug(
    "void-leg-books",
    "A node books a leg that is void.",
    "nodes.cycles:rules.decide_settlement",
)
def _void_books(right: Any) -> Any:
    def wrong(view: Any, decision: Any, now: Any) -> Any:
        effects = right(view, decision, now)
        leg = view.legs.get(decision.id)
        if leg is None or decision.outcome != "void" or len(effects.wanted) != 2:
            return effects
        note, kept = effects.wanted
        return Effects(effects.step, (note, _booked(view, leg, now), kept))

    return wrong


@bug(
    "books-on-its-own-word",
    "A node books a leg when its treasurer signs, and not when it is decided.",
    "nodes.cycles:touches",
    "nodes.cycles:rules.decide_sign",
    "nodes.cycles:rules.decide_settlement",
)
def _own_word(right: Any) -> Any:
    if right.__name__ == "touches":

        def touches(view: Any, wanted: Any) -> Any:
            touched = right(view, wanted)
            return Touched(accounts={*touched.accounts, "clearing"})

        return touches

    def wrong(view: Any, order: Any, now: Any) -> Any:
        effects = right(view, order, now)
        if right.__name__ == "decide_sign":
            if effects.step is None:
                return effects
            leg = view.legs[order.leg_id]
            return Effects(
                effects.step,
                (_booked(view, leg, now), *effects.wanted),
                effects.outcome,
            )
        kept = [one for one in effects.wanted if not isinstance(one, PostEntry)]
        return Effects(effects.step, kept, effects.outcome)

    return wrong


@bug(
    "void-leg-stays-open",
    "A node takes the end of a void leg, and keeps the leg as it was.",
    "nodes.cycles:rules.decide_settlement",
)
def _stays_open(right: Any) -> Any:
    def wrong(view: Any, decision: Any, now: Any) -> Any:
        effects = right(view, decision, now)
        if decision.outcome != "void":
            return effects
        return Effects(None, effects.wanted[:1], effects.outcome)

    return wrong
