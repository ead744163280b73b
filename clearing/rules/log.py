"""The decision log's first leaf, and what nodes mirror of the decisions."""

from collections.abc import Sequence

import msgspec

from clearing.rules.view import (
    RESERVE,
    AppendDecision,
    HubView,
    MirrorState,
    Moved,
    NoteMirror,
)
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effects,
    OpenAccount,
    SendItem,
)
from protocol.instant import Instant, write_instant
from protocol.ledger import (
    TIME_UNIT,
    Account,
    AccountKind,
)
from protocol.messages import (
    LogDecision,
    Mirror,
    write_line,
)
from protocol.unit import HOUR


def open_log(view: HubView, now: Instant) -> Effects:
    """Begin this start's log; its first leaf ties it to the former one.

    That leaf is the last checkpoint of the former log that the hub knows: a server
    cannot prove that it lost nothing (protocol, section 9).
    """
    decision = LogDecision(
        log=view.log, number=view.size, at=write_instant(now), former=view.former
    )
    line = write_line(decision)
    reserve = Account(account_id=RESERVE, kind=AccountKind.SYSTEM, unit=TIME_UNIT)
    opened = [] if RESERVE in view.accounts else [OpenAccount(reserve)]
    return Effects(
        None,
        (
            *opened,
            AppendDecision(view.log, view.size, line),
            *(SendItem(group, line) for group in sorted(view.directory)),
        ),
    )


#: A node whose mirror comes and goes calls people no oftener.
_CALL_AGAIN_MS = HOUR


def decide_mirror(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Keep a node's mirror; call people when it ceases to be its position's.

    ``position(g)`` is minus the clearing balance of g's node at the same decision
    (protocol, section 8). People are called once, until it is so again.
    """
    mirror, group = arrived.item, arrived.peer
    assert isinstance(mirror, Mirror)
    newest, position = view.mirrored.get(group, (None, None))
    if mirror != newest:
        # One an envelope is lawful; of several in a batch the last counts, and none
        # that names a decision before one that its node has named already.
        return Effects(None, ())
    before = view.mirrors.get(group, MirrorState())
    if position is not None and mirror.balance == -position:
        agreed = (mirror.log, mirror.number)
        state = msgspec.structs.replace(before, agreed=agreed, differs=False)
        return Effects(None, (_note(group, mirror, state),))
    called_at = before.called_at
    if before.differs or (called_at and 0 <= now - called_at < _CALL_AGAIN_MS):
        return Effects(None, (_note(group, mirror, before),))
    state = msgspec.structs.replace(before, differs=True, called_at=now)
    told = _difference(group, mirror, position, view.moved.get(group, []))
    return Effects(None, (_note(group, mirror, state), CallPeople("mirror", told)))


def _note(group: str, mirror: Mirror, state: MirrorState) -> NoteMirror:
    return NoteMirror(group, mirror.log, mirror.number, mirror.balance, state)


def _difference(
    group: str, mirror: Mirror, position: int | None, moved: Sequence[Moved]
) -> str:
    """Say what differs, and since which transfer as far as the hub can tell."""
    name = f"{mirror.log}/{mirror.number}"
    if position is None:
        return f"{group} mirrors decision {name}, which the hub has not made"
    told = (
        f"{group} has {mirror.balance} ms on its clearing account after decision "
        f"{name}, where its position is {position}"
    )
    off = mirror.balance + position
    # Its node booked one transfer not at all, or twice.
    alone = [one.transfer_id for one in moved if off in (one.amount, -one.amount)]
    if alone:
        return f"{told}; transfer {alone[0]} alone explains it"
    if moved:
        return f"{told}; transfer {moved[0].transfer_id} is the first since they agreed"
    return f"{told}; no transfer has moved it since they agreed"
