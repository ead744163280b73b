"""The decision log's first leaf, and what nodes mirror of the decisions."""

from clearing.rules.view import RESERVE, AppendDecision, HubView, NoteMirror
from protocol.effects import (
    ArrivedItem,
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


def decide_mirror(arrived: ArrivedItem) -> Effects:
    """Keep a node's mirror beside its position."""
    mirror = arrived.item
    assert isinstance(mirror, Mirror)
    note = NoteMirror(arrived.peer, mirror.log, mirror.number, mirror.balance)
    return Effects(None, (note,))
