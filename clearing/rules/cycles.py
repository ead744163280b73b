"""The hub ends a cycle, states each group's figures, and hears what it says to them.

Membership is by order in the log: no transfer waits for a close, and none is
ambiguous. The hub never moves anything because of what a group says; people mend what
is wrong, and the group's node looks again (protocol, section 17). Which lists of moves
answer which is worked out beside the clerk (``clearing.cycle_watch``).
"""

from collections.abc import Iterator, Mapping

import msgspec

from clearing.rules.cycle_records import (
    ClosedCycle,
    CycleRefused,
    KeepCycle,
    KeepStatement,
    Statement,
    StatementState,
)
from clearing.rules.legs import may_decide_on_leg, void_leg
from clearing.rules.view import RESERVE, AppendDecision, HubView
from protocol.address import Group
from protocol.cycle import Difference, Figures, figures_of, write_statement
from protocol.directory import GroupRecord
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    PeerOrder,
    SendItem,
    refuse_item,
)
from protocol.envelope import root_of
from protocol.errors import CycleRefusalCode, ItemRefusalCode
from protocol.instant import Instant, write_instant
from protocol.link import Link, Trouble
from protocol.messages import (
    CycleAgree,
    CycleDecision,
    CycleDispute,
    CycleStatement,
    CycleWord,
    DecisionName,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX


class CloseCycle(msgspec.Struct, frozen=True):
    """The regional admin ends the cycle that she has seen to be open."""

    cycle: int


class TellMoves(PeerOrder, frozen=True, kw_only=True):
    """What was found out about a dispute, beside the clerk.

    Attributes:
        cycle: whose.
        peer: who disputes.
        unanswered: what this answers, as it waited.
        reply: the line to send, if any is due.
        difference: the first move that differs, if that is now known.
    """

    cycle: int
    unanswered: bytes
    reply: bytes | None
    difference: Difference | None


def decide_close(view: HubView, order: CloseCycle, now: Instant) -> Iterator[Effects]:
    """End the open cycle; the outcome is the ``ClosedCycle``, or ``CycleRefused``.

    A former cycle whose statements are still unanswered holds nobody up: they can be
    answered for ever.
    """
    refused = _why_not(view, order)
    if refused is not None:
        yield Effects(None, _calls(refused), refused)
        return
    # What lacks a word is void with this close; it moved nothing.
    for leg in view.open_cycle.open_legs:
        if not leg.is_signed and may_decide_on_leg(view, leg):
            yield void_leg(view, leg, "cycle-closed", now)
    yield _close(view, now)


def _why_not(view: HubView, order: CloseCycle) -> CycleRefused | None:
    code, number = CycleRefusalCode, view.open_cycle.number
    if order.cycle != number:
        return CycleRefused(code.CYCLE_NOT_OPEN, order.cycle)
    for group in who_holds_up(view.directory, view.links):
        return CycleRefused(code.LINK_BEHIND, number, group)
    total = view.accounts[RESERVE].balance
    for group in sorted(view.directory):
        running, account = view.open_cycle.running(group), view.accounts[group]
        if max(running.tally.debits, running.tally.credits) > INTEGER_MAX:
            return CycleRefused(code.CYCLE_TOO_LARGE, number, group)
        if running.opening + running.tally.net != account.balance:
            return CycleRefused(code.LEDGER_DIFFERS, number, group)
        total += account.balance
    return CycleRefused(code.LEDGER_DIFFERS, number, RESERVE) if total else None


def who_holds_up(
    directory: Mapping[Group, GroupRecord], links: Mapping[str, Link]
) -> Iterator[Group]:
    """Name the groups, in order, because of which no cycle can end now."""
    for group, record in sorted(directory.items()):
        if holds_up(record.state, links.get(group)):
            yield group


def holds_up(state: str, link: Link | None) -> bool:
    """Say whether a group's node may know of decisions that this hub has forgotten.

    One that is frozen holds nobody up: its server may be gone for good. Nor does one
    that has left: whatever it claims, it could otherwise stop all others for ever, for
    it can be frozen no more.
    """
    if state in ("frozen", "left") or link is None:
        return False
    if link.trouble is None:
        return not link.has_compared
    return link.trouble in (Trouble.WE_ARE_BEHIND, Trouble.PEER_IS_BEHIND)


def _calls(refused: CycleRefused) -> list[Effect]:
    """Call people about a ledger that somebody has altered: only an audit tells how."""
    if refused.code is not CycleRefusalCode.LEDGER_DIFFERS:
        return []
    text = (
        f"cycle {refused.cycle} was not closed: the position of {refused.group} is"
        " not what the decisions made of it"
    )
    return [CallPeople("ledger", text)]


def _close(view: HubView, now: Instant) -> Effects:
    """Write the one decision that ends the cycle, and a statement for each group."""
    opened = view.open_cycle
    former = None if opened.former is None else opened.former.name
    name = DecisionName(view.log, view.size)
    lines: dict[Group, bytes] = {}
    for group in sorted(view.directory):
        account, running = view.accounts[group], opened.running(group)
        figures = Figures.of(running.opening, running.tally)
        held = account.held_out, account.held_in
        stated = write_statement(group, opened.number, former, name, figures, held)
        lines[group] = write_line(stated)
    closed = ClosedCycle(
        cycle=opened.number,
        name=name,
        former=former,
        at=now,
        groups=len(lines),
        statements=root_of(list(lines.values())),
        reserve=view.accounts[RESERVE].balance,
    )
    line = write_line(decision_of(closed))
    wanted: list[Effect] = [
        AppendDecision(name.log, name.number, line),
        KeepCycle(closed),
    ]
    for group, stated_line in lines.items():
        kept = Statement(cycle=closed.cycle, group=group, line=stated_line)
        wanted += [
            KeepStatement(kept),
            SendItem(group, line),
            SendItem(group, stated_line),
        ]
    return Effects(Step.CLOSE, wanted, closed)


def decision_of(closed: ClosedCycle) -> CycleDecision:
    """Write the decision that ended a cycle."""
    return CycleDecision(
        log=closed.name.log,
        number=closed.name.number,
        at=write_instant(closed.at),
        cycle=closed.cycle,
        former=closed.former,
        groups=closed.groups,
        statements=closed.statements,
        reserve=closed.reserve,
    )


def decide_cycle_word(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Take what a group says to its own statement; to another's it says nothing."""
    said = arrived.item
    assert isinstance(said, CycleWord)
    kept = view.open_cycle.statements.get((said.cycle, arrived.peer))
    if kept is None:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if said.statement != line_hash(kept.line):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    if isinstance(said, CycleAgree):
        return _agree(kept, arrived, now)
    # Each has a whole cycle's moves chained once more.
    if view.rounds.is_used_up((said.cycle, arrived.peer), now):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    view.rounds.note((said.cycle, arrived.peer), now)
    match said:
        case CycleDispute():
            return _dispute(kept, arrived, now)
        case _:
            return _note_list(kept, arrived)


def read_statement(kept: Statement) -> CycleStatement:
    """Read a statement that the hub wrote."""
    stated = read_item(kept.line)
    assert isinstance(stated, CycleStatement), "what we wrote we can read"
    return stated


def _agree(kept: Statement, arrived: ArrivedItem, now: Instant) -> Effects:
    """Keep the first agreement for ever: it is the group's signature on its line."""
    if kept.state is StatementState.AGREED:
        return Effects(None, ())
    agreed = msgspec.structs.replace(
        kept,
        state=StatementState.AGREED,
        answered_at=now,
        answer=arrived.number,
        unanswered=None,
    )
    return Effects(Step.AGREED, (KeepStatement(agreed),))


def _dispute(kept: Statement, arrived: ArrivedItem, now: Instant) -> Effects:
    """Take a dispute, call people, and have the difference looked for.

    What was agreed to stays agreed. A dispute over nothing is none.
    """
    said = arrived.item
    assert isinstance(said, CycleDispute)
    stated = figures_of(read_statement(kept))
    theirs = figures_of(said)
    if kept.state is StatementState.AGREED or theirs == stated:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    disputed = msgspec.structs.replace(
        kept,
        state=StatementState.DISPUTED,
        answered_at=now,
        answer=arrived.number,
        dispute=arrived.line,
        unanswered=b"",
    )
    wanted: list[Effect] = [KeepStatement(disputed)]
    if kept.dispute != arrived.line:
        text = (
            f"{kept.group} disputes cycle {kept.cycle}: it closes at {theirs.closing}"
            f" ms after {theirs.count} moves there, at {stated.closing} after"
            f" {stated.count} here"
        )
        wanted.append(CallPeople("cycle", text))
    return Effects(Step.DISPUTED, wanted)


def _note_list(kept: Statement, arrived: ArrivedItem) -> Effects:
    """Let a node's list be answered; a newer one takes the place of one that waits."""
    if kept.state is not StatementState.DISPUTED:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    waiting = msgspec.structs.replace(kept, unanswered=arrived.line)
    return Effects(None, (KeepStatement(waiting),))


def decide_moves(view: HubView, found: TellMoves) -> Effects:
    """Send what answers a node's list, or keep and tell which move differs."""
    kept = view.open_cycle.statements.get((found.cycle, found.peer))
    if kept is None or kept.unanswered != found.unanswered:
        # Agreed on meanwhile, or asked anew.
        return Effects(None, ())
    told = msgspec.structs.replace(kept, unanswered=None)
    wanted: list[Effect] = []
    if found.difference is not None:
        told = msgspec.structs.replace(told, difference=found.difference)
        if found.difference != kept.difference:
            text = found.difference.told(found.peer, found.cycle)
            wanted.append(CallPeople("cycle", text))
    if found.reply is not None:
        wanted.append(SendItem(found.peer, found.reply))
    return Effects(Step.MOVES, (KeepStatement(told), *wanted))
