"""What the hub knows in a test, right until the test says otherwise."""

from typing import Any

from clearing.api.groups import PositionAnswer
from clearing.rules import HubView, Invitation
from protocol.address import Group
from protocol.directory import keyring
from protocol.effects import ArrivedItem, Effects, View
from protocol.instant import write_instant
from protocol.ledger import TIME_UNIT, Account, AccountKind
from protocol.messages import (
    TransferAccept,
    TransferDecision,
    line_hash,
)
from protocol.peer.web.units import RateAnswer, UnitAnswer
from protocol.transfer import NOW_MS, Transfer
from tests.peer.makers import (
    LOG,
    arrival,
    carry_out,
    compared,
    directory_of,
    later,
    sent,
)
from tests.protocol.makers import FEDERATION, ID, MECHELEN, OOSTENDE, hash_of, prepare

#: Milliseconds of the transfer in these tests: one blusser.
S = 180_000


def position(group: str, **changes: Any) -> Account:
    fields: dict[str, Any] = {"floor": -(10**12), "ceiling": 10**12}
    return Account(group, AccountKind.GROUP, TIME_UNIT, **(fields | changes))


def hub_view() -> HubView:
    """Both groups are active, have compared, and may go to 10^12 either way."""
    view = HubView(LOG, FEDERATION)
    view.directory = directory_of()
    view.keyring = keyring(view.directory)
    view.history = [record.line for record in view.directory.values()]
    for group in (OOSTENDE, MECHELEN):
        view.accounts[group] = position(group)
        view.links[group] = compared(group)
    return view


def prepared(*, peer: Group = OOSTENDE, box: str | None = None, **changes: Any) -> Any:
    """Oostende's prepare of one blusser, payable now, as it arrives."""
    fields: dict[str, Any] = {
        "milliseconds": S,
        "decide_by": write_instant(later(NOW_MS)),
        "checkpoint": None,
        "content": hash_of("content"),
    }
    item = prepare(**(fields | changes))
    return arrival(peer, item, box=box)


def accepted(arrived: ArrivedItem, **changes: Any) -> ArrivedItem:
    """The payee's accept of that prepare, as it arrives."""
    fields: dict[str, Any] = {"id": ID, "prepare": line_hash(arrived.line)}
    return arrival(MECHELEN, TransferAccept(**(fields | changes)), number=5)


def decisions(effects: Effects) -> list[tuple[str, TransferDecision]]:
    """Whom a decision about a transfer is told, and the decision."""
    return [(to, item) for to, item in sent(effects) if type(item) is TransferDecision]


def transfer_in(view: View) -> Transfer:
    return view.transfers[ID]


def apply(view: HubView, effects: Effects) -> Effects:
    return carry_out(view, effects)


def invitation(**changes: Any) -> Invitation:
    fields: dict[str, Any] = {
        "code_hash": hash_of("code"),
        "group": "gent",
        "floor": -3_600_000,
        "ceiling": 7_200_000,
        "until": later(1),
        "request_hash": None,
    }
    return Invitation(**(fields | changes))


def position_answer(**changes: Any) -> PositionAnswer:
    """A group's position as answers show it, between no limits."""
    fields: dict[str, Any] = {
        "group": "oostende",
        "name": "LETS Oostende",
        "same_name": [],
        "state": "active",
        "unit": UnitAnswer("blusser", "blussers", "bl", 0),
        "rate": RateAnswer(
            version=1, milliseconds=180_000, per_hour="20", minutes_per_unit="3"
        ),
        "position": 0,
        "held_out": 0,
        "held_in": 0,
        "floor": None,
        "ceiling": None,
        "link": "compared",
        "mirror": None,
        "position_at_mirror": None,
        "is_mirrored": False,
        "digits": "",
        "proposal": None,
        "warning": None,
    }
    return PositionAnswer(**(fields | changes))
