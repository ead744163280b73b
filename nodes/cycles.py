"""Cycles in a node's batch: what they touch, what is read, which rule decides."""

from nodes import cycle_store, rules, share_store
from nodes.rules import AnswerStatement, NodeView, NoteLateLegs, SignLeg, TellMoves
from protocol.effects import ArrivedItem, Effects, Touched, View, refuse_item
from protocol.errors import ItemRefusalCode, LedgerBrokenError
from protocol.instant import Instant
from protocol.messages import (
    CycleDecision,
    CycleList,
    CycleStatement,
    SettlementDecision,
    SettlementLeg,
    SharedDecision,
    SharedPlan,
)
from protocol.peer.database import Connection

#: What is about one cycle, and names it: items, then orders.
_About = (
    CycleDecision
    | CycleStatement
    | CycleList
    | SettlementLeg
    | SettlementDecision
    | SharedPlan
    | SharedDecision
    | AnswerStatement
    | TellMoves
)


def touches(view: View, wanted: object) -> Touched:
    """Note what must be read before it can be decided, if it is about a cycle."""
    assert isinstance(view, NodeView)
    about = wanted.item if isinstance(wanted, ArrivedItem) else wanted
    if isinstance(about, _About):
        view.wanted_cycles |= {about.cycle - 1, about.cycle}
    match about:
        case SettlementLeg() | SettlementDecision():
            view.wanted_legs.add(about.id)
        case SharedPlan():
            view.wanted_shares.add(about.id)
        case SharedDecision():
            view.wanted_shares.add(about.id)
            return Touched(accounts={rules.SHARED, rules.SHARED_APART})
        case SignLeg():
            view.wanted_legs.add(about.leg_id)
        case NoteLateLegs():
            view.wanted_legs |= set(about.leg_ids)
        case _:
            pass
    return Touched()


async def read(connection: Connection, view: NodeView) -> None:
    """Read what was noted."""
    if view.wanted_cycles:
        view.cycles = await cycle_store.read_cycles_named(
            connection, view.wanted_cycles
        )
    if view.wanted_legs:
        view.legs = await cycle_store.read_legs_named(connection, view.wanted_legs)
    if view.wanted_shares:
        view.shared = await share_store.read_shared_named(
            connection, view.wanted_shares
        )


def decide(view: NodeView, wanted: object, now: Instant) -> Effects:
    """Lead an item or an order to its rule; a hub may send nothing else."""
    match wanted:
        case AnswerStatement():
            effects = rules.decide_answer_to_statement(view, wanted, now)
            return rules.with_act(wanted, effects)
        case SignLeg():
            return rules.with_act(wanted, rules.decide_sign(view, wanted, now))
        case TellMoves():
            return rules.decide_moves(view, wanted)
        case NoteLateLegs():
            return rules.decide_late_legs(view, wanted, now)
        case ArrivedItem():
            return _decide_item(view, wanted, now)
        case _:
            raise LedgerBrokenError(f"no rule for {type(wanted).__name__}")


def _decide_item(view: NodeView, wanted: ArrivedItem, now: Instant) -> Effects:
    match wanted.item:
        case CycleDecision() as decision:
            return rules.decide_cycle(view, decision)
        case CycleStatement():
            return rules.decide_statement(view, wanted)
        case CycleList():
            return rules.decide_list(view, wanted)
        case SettlementLeg():
            return rules.decide_leg(view, wanted)
        case SettlementDecision() as decision:
            return rules.decide_settlement(view, decision, now)
        case SharedPlan():
            return rules.decide_plan(view, wanted)
        case SharedDecision() as decision:
            return rules.decide_shared(view, decision, now)
        case _:
            code = ItemRefusalCode.NOT_YOURS
            return Effects(None, (refuse_item(wanted, code),))
