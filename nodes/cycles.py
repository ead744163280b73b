"""Cycles in a node's batch: what they touch, what is read, which rule decides."""

from nodes import cycle_store, rules
from nodes.rules import AnswerStatement, NodeView, TellMoves
from protocol.effects import ArrivedItem, Effects, Touched, View, refuse_item
from protocol.errors import ItemRefusalCode, LedgerBrokenError
from protocol.instant import Instant
from protocol.messages import CycleDecision, CycleList, CycleStatement
from protocol.peer.database import Connection

#: What is about one cycle, and names it: items, then orders.
_About = CycleDecision | CycleStatement | CycleList | AnswerStatement | TellMoves


def touches(view: View, wanted: object) -> Touched:
    """Note what must be read before it can be decided, if it is about a cycle."""
    assert isinstance(view, NodeView)
    about = wanted.item if isinstance(wanted, ArrivedItem) else wanted
    if isinstance(about, _About):
        view.wanted_cycles |= {about.cycle - 1, about.cycle}
    return Touched()


async def read(connection: Connection, view: NodeView) -> None:
    """Read what was noted."""
    if view.wanted_cycles:
        view.cycles = await cycle_store.read_cycles_named(
            connection, view.wanted_cycles
        )


def decide(view: NodeView, wanted: object, now: Instant) -> Effects:
    """Lead an item or an order to its rule; a hub may send nothing else."""
    match wanted:
        case AnswerStatement():
            effects = rules.decide_answer_to_statement(view, wanted, now)
            return rules.with_act(wanted, effects)
        case TellMoves():
            return rules.decide_moves(view, wanted)
        case ArrivedItem(item=CycleDecision() as decision):
            return rules.decide_cycle(view, decision)
        case ArrivedItem(item=CycleStatement()):
            return rules.decide_statement(view, wanted)
        case ArrivedItem(item=CycleList()):
            return rules.decide_list(view, wanted)
        case ArrivedItem():
            code = ItemRefusalCode.NOT_YOURS
            return Effects(None, (refuse_item(wanted, code),))
        case _:
            raise LedgerBrokenError(f"no rule for {type(wanted).__name__}")
