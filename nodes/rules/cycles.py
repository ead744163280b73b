"""The node hears that a cycle ended, and says whether its own ledger yields the same.

What the ledger yields is read beside the clerk (``nodes.watch.cycle_watch``), from the
postings themselves; here it is compared and signed. Agreement needs nobody. A dispute
calls people; when they have mended what was wrong, the node looks again at their word
(protocol, section 17).
"""

import msgspec

from nodes.rules.cycle_records import CycleState, KeepOwnCycle, OwnCycle
from nodes.rules.view import NodeView, NoteDecision
from protocol.cycle import Difference, Figures, figures_of
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    SendItem,
    refuse_item,
)
from protocol.errors import CycleRefusalCode, ItemRefusalCode
from protocol.instant import Instant, read_instant
from protocol.messages import (
    CycleAgree,
    CycleDecision,
    CycleDispute,
    CycleList,
    CycleStatement,
    DecisionName,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step


class AnswerStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What our own ledger yields for a cycle; the outcome is the ``OwnCycle``.

    Attributes:
        cycle: which.
        figures: signed as the position: the negative of the clearing account.
        author: who had it looked at again; ``None``: the node by itself.
        reason: in her words.
    """

    cycle: int
    figures: Figures
    author: str | None = None
    reason: str | None = None


class TellMoves(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a dispute of ours, beside the clerk.

    Attributes:
        cycle: whose.
        unanswered: the hub's list that this answers.
        reply: the line to send.
        difference: the first move that differs, if that is now known.
    """

    cycle: int
    unanswered: bytes
    reply: bytes
    difference: Difference | None


class NotAnswered(msgspec.Struct, frozen=True):
    """Why nothing was said of a cycle."""

    code: CycleRefusalCode


def decide_cycle(view: NodeView, decision: CycleDecision) -> Effects:
    """Take that a cycle ended; what the hub says twice or out of order calls people."""
    note = NoteDecision(decision.log, decision.number)
    known, before = view.cycles.get(decision.cycle), view.cycles.get(decision.cycle - 1)
    if known is not None:
        text = f"cycle {decision.cycle} was closed a second time"
        return Effects(None, (note, CallPeople("cycle", text)))
    if before is not None and before.name != decision.former:
        text = f"cycle {decision.cycle} does not begin where cycle {before.cycle} ended"
        return Effects(None, (note, CallPeople("cycle", text)))
    ended = OwnCycle(
        cycle=decision.cycle,
        name=DecisionName(decision.log, decision.number),
        former=decision.former,
        at=read_instant(decision.at),
    )
    return Effects(Step.CYCLE, (note, KeepOwnCycle(ended)))


def decide_statement(view: NodeView, arrived: ArrivedItem) -> Effects:
    """Keep our statement, to be looked at beside the clerk."""
    stated = arrived.item
    assert isinstance(stated, CycleStatement)
    own = view.cycles.get(stated.cycle)
    is_ours = own is not None and (stated.group, stated.to, stated.former) == (
        view.group,
        own.name,
        own.former,
    )
    if own is None or not is_ours:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if own.line is not None:
        if own.line == arrived.line:
            return Effects(None, ())
        text = f"the hub states cycle {own.cycle} a second time, otherwise"
        refused = refuse_item(arrived, ItemRefusalCode.ID_REUSED)
        return Effects(None, (refused, CallPeople("cycle", text)))
    waiting = msgspec.structs.replace(own, line=arrived.line, state=CycleState.WAITING)
    return Effects(Step.STATEMENT, (KeepOwnCycle(waiting),))


def stated_in(own: OwnCycle) -> CycleStatement:
    """Read a statement that is here."""
    stated = read_item(own.line or b"")
    assert isinstance(stated, CycleStatement), "it was read when it came"
    return stated


def decide_answer_to_statement(
    view: NodeView, found: AnswerStatement, now: Instant
) -> Effects:
    """Sign that our ledger yields the same, or what it yields instead.

    What was agreed to stays agreed. A dispute that says nothing new is not sent again.
    """
    own = view.cycles.get(found.cycle)
    if own is None or own.line is None:
        return Effects(None, (), NotAnswered(CycleRefusalCode.NO_STATEMENT))
    if own.state is CycleState.AGREED:
        return Effects(None, (), own)
    statement = line_hash(own.line)
    if figures_of(stated_in(own)) == found.figures:
        agreed = msgspec.structs.replace(
            own, state=CycleState.AGREED, answered_at=now, unanswered=None
        )
        line = write_line(CycleAgree(cycle=own.cycle, statement=statement))
        wanted = (KeepOwnCycle(agreed), SendItem("hub", line))
        return Effects(Step.AGREE, wanted, agreed)
    said = CycleDispute(
        cycle=own.cycle,
        statement=statement,
        **msgspec.structs.asdict(found.figures),
    )
    line = write_line(said)
    if line == own.dispute:
        return Effects(None, (), own)
    disputed = msgspec.structs.replace(
        own,
        state=CycleState.DISPUTED,
        answered_at=now,
        dispute=line,
        unanswered=None,
        difference=None,
    )
    text = (
        f"cycle {own.cycle}: the hub states {_told(figures_of(stated_in(own)))},"
        f" our own ledger yields {_told(found.figures)}"
    )
    return Effects(
        Step.DISPUTE,
        (KeepOwnCycle(disputed), SendItem("hub", line), CallPeople("cycle", text)),
        disputed,
    )


def _told(figures: Figures) -> str:
    return (
        f"{figures.opening} ms at first, {figures.closing} ms after"
        f" {figures.count} moves"
    )


def decide_list(view: NodeView, arrived: ArrivedItem) -> Effects:
    """Let the hub's list be answered; a newer one takes the place of one that waits."""
    said = arrived.item
    assert isinstance(said, CycleList)
    own = view.cycles.get(said.cycle)
    if own is None or own.line is None or line_hash(own.line) != said.statement:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if own.state is not CycleState.DISPUTED:
        # We have agreed since.
        return Effects(None, ())
    kept = msgspec.structs.replace(own, unanswered=arrived.line)
    return Effects(None, (KeepOwnCycle(kept),))


def decide_moves(view: NodeView, found: TellMoves) -> Effects:
    """Answer the hub's list; when the move that differs is known, tell people."""
    own = view.cycles.get(found.cycle)
    if own is None or own.unanswered != found.unanswered:
        return Effects(None, ())
    told = msgspec.structs.replace(own, unanswered=None)
    wanted: list[Effect] = [SendItem("hub", found.reply)]
    if found.difference is not None:
        told = msgspec.structs.replace(told, difference=found.difference)
        text = found.difference.told(view.group, found.cycle)
        wanted.append(CallPeople("cycle", text))
    return Effects(Step.MOVES, (KeepOwnCycle(told), *wanted))
