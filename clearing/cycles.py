"""Cycles in the hub's batch: what they touch, what is read, which rule decides."""

from collections.abc import Iterable, Iterator

from clearing import cycle_store, rules, share_store
from clearing.rules import (
    CancelLeg,
    CloseCycle,
    DueLegs,
    ForeseeCharge,
    ForeseeShares,
    HubView,
    Leg,
    NoteLate,
    OpenCycle,
    Settle,
    ShareDebt,
    TellMoves,
    TellShares,
)
from protocol.effects import (
    ArrivedItem,
    Effects,
    Touched,
    View,
    refuse_item,
    transfers_of,
)
from protocol.errors import ItemRefusalCode, LedgerBrokenError
from protocol.instant import Instant
from protocol.messages import CycleWord, SettlementPaid, SettlementReceived
from protocol.peer.database import Connection
from protocol.steps import Step


def touches(view: View, wanted: object) -> Touched:
    """Say or note what must be read before it can be decided; transfers, else."""
    assert isinstance(view, HubView)
    match wanted:
        case ArrivedItem():
            return _touched_by_item(view.open_cycle, wanted)
        case TellMoves():
            view.open_cycle.wanted.add((wanted.cycle, wanted.peer))
        case CloseCycle() | ForeseeCharge():
            return Touched(accounts={rules.RESERVE, *view.directory})
        case Settle():
            view.open_cycle.wanted_legs.add(wanted.cycle)
        case CancelLeg():
            view.open_cycle.wanted_leg_ids.add(wanted.leg_id)
            view.open_cycle.wanted_words.add(wanted.leg_id)
        case DueLegs():
            legs = view.open_cycle.open_legs
            view.open_cycle.wanted_words |= {
                leg.leg_id for leg in legs if leg.is_signed
            }
            return Touched(accounts=_parties(legs))
        case ForeseeShares() | TellShares() | ShareDebt():
            return _touched_by_shares(view, wanted.group)
        case _:
            pass
    return Touched()


def _touched_by_shares(view: HubView, group: str) -> Touched:
    """Name what was told before, and by what the groups are measured."""
    view.wanted_shares.add(group)
    former = view.open_cycle.former
    if former is not None:
        view.open_cycle.wanted |= {(former.cycle, name) for name in view.directory}
    return Touched(accounts={*view.directory})


def _touched_by_item(opened: OpenCycle, arrived: ArrivedItem) -> Touched:
    match arrived.item:
        case CycleWord() as item:
            opened.wanted.add((item.cycle, arrived.peer))
            return Touched()
        case SettlementPaid() | SettlementReceived() as item:
            leg = opened.legs.get(item.id)
            if leg is None:
                return Touched()
            opened.wanted.add((leg.cycle, arrived.peer))
            opened.wanted_words.add(leg.leg_id)
            return Touched(accounts=_parties([leg]))
        case _:
            return Touched(transfers=transfers_of(arrived.item))


def _parties(legs: Iterable[Leg]) -> set[str]:
    return {group for leg in legs for group in (leg.debtor, leg.creditor)}


async def read(connection: Connection, view: HubView) -> None:
    """Read what was noted."""
    opened = view.open_cycle
    if opened.wanted:
        opened.statements = await cycle_store.read_named(connection, opened.wanted)
    for leg_id in opened.wanted_leg_ids - opened.legs.keys():
        ended = await cycle_store.read_leg(connection, leg_id)
        if ended is not None:
            opened.legs[leg_id] = ended
    if opened.wanted_words:
        opened.words = await cycle_store.read_words(connection, opened.wanted_words)
    if opened.wanted_legs:
        await _read_for_plan(connection, opened)
    if view.wanted_shares:
        view.shared = await share_store.read_of_groups(connection, view.wanted_shares)


async def _read_for_plan(connection: Connection, opened: OpenCycle) -> None:
    for cycle in opened.wanted_legs:
        for leg in await cycle_store.read_legs(connection, cycle):
            opened.legs.setdefault(leg.leg_id, leg)
        for kept in await cycle_store.read_all_statements(connection, cycle):
            opened.statements[kept.cycle, kept.group] = kept
    if opened.former is not None:
        name = opened.former.name
        for leg in await cycle_store.read_settled_since(connection, name):
            opened.settled[leg.leg_id] = leg
        opened.shared = await share_store.read_group_since(connection, name)


def decide(view: HubView, wanted: object, now: Instant) -> Iterator[Effects]:
    """Lead an order to its rule."""
    match wanted:
        case CloseCycle():
            yield from rules.decide_close_and_charge(view, wanted, now)
        case TellMoves():
            yield rules.decide_moves(view, wanted)
        case Settle() | CancelLeg() | DueLegs() | NoteLate():
            yield from _decide_legs(view, wanted, now)
        case ForeseeCharge():
            yield rules.decide_foresee_charge(view, wanted, now)
        case ForeseeShares() | TellShares() | ShareDebt():
            yield rules.decide_shares(view, wanted, now)
        case _:
            raise LedgerBrokenError(f"no rule for {type(wanted).__name__}")


def _decide_legs(
    view: HubView, wanted: Settle | CancelLeg | DueLegs | NoteLate, now: Instant
) -> Iterator[Effects]:
    match wanted:
        case Settle():
            yield rules.decide_settle(view, wanted, now)
        case CancelLeg():
            yield rules.decide_cancel(view, wanted, now)
        case DueLegs():
            yield from rules.decide_due_legs(view, now)
        case NoteLate():
            yield rules.decide_late(view, wanted, now)


def decide_after(
    view: HubView, arrived: ArrivedItem, decided: Effects, now: Instant
) -> Iterator[Effects]:
    """Decide what follows from what an item led to."""
    if decided.step is Step.DISPUTED:
        assert isinstance(arrived.item, CycleWord)
        yield from rules.void_disputed(view, arrived.item.cycle, arrived.peer, now)


def decide_item(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Lead an item to its rule; a node may send nothing else."""
    if isinstance(arrived.item, CycleWord):
        return rules.decide_cycle_word(view, arrived, now)
    if isinstance(arrived.item, SettlementPaid | SettlementReceived):
        return rules.decide_leg_word(view, arrived, now)
    return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
