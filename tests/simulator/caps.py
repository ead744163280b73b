"""Looks at caps: no pair of groups passes its own, and none is refused below it.

What is used is reckoned anew at each batch that touches a capped pair, from the
transfers on the hub's ledger; which cap counts, from the changes that the hub signed.
"""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

Pair = tuple[str, str]


class Caps:
    """Caps of one simulated federation.

    Attributes:
        lawful: by pair, the caps that a transfer of the newest batch may have met;
            ``None``: none.
    """

    def __init__(self, checker: "Checker") -> None:
        self._checker = checker
        self.lawful: dict[Pair, list[int | None]] = {}

    def look(self, server: Server, first: Mapping[tuple[Any, Any], Any]) -> None:
        """Look at what a batch of the hub's has changed."""
        if server is not self._checker.federation.hub or self._checker.is_restored:
            return
        self.lawful = {pair: caps[-1:] for pair, caps in self.lawful.items()}
        for name, key in first:
            if name == "limit_change":
                self._take(server.database.table(name)[key])
        for (name, key), before in first.items():
            if name == "transfer" and self.lawful:
                row = server.database.table(name)[key]
                if row["state"] == "offered" and before is None:
                    self._look_at_offered(server, row)

    def _take(self, row: Any) -> None:
        change = _payload(row["signed"])
        if change["about"] == "cap":
            pair = change["group"], change["payee"]
            # Of one batch it is not known what came before the change.
            self.lawful.setdefault(pair, [None]).append(change["month"])

    def _look_at_offered(self, server: Server, row: Any) -> None:
        caps = self.lawful.get(_pair(row), [None])
        most = None if None in caps else max(one for one in caps if one is not None)
        used = used_by(server, row, {})
        self._checker.demand(
            so=most is None or used <= most,
            told=f"{row['transfer_id']} brings {_pair(row)} to {used} ms, cap {most}",
        )

    def is_reached(
        self, server: Server, first: Mapping[tuple[Any, Any], Any], row: Any
    ) -> bool:
        """Say whether a refusal for a cap may be true."""
        used = used_by(server, row, first)
        caps = self.lawful.get(_pair(row), [None])
        return any(one is not None and used + row["milliseconds"] > one for one in caps)


def used_by(server: Server, row: Any, first: Mapping[tuple[Any, Any], Any]) -> int:
    """Add up what a transfer's pair has used in its month, or had in mid-batch."""
    used = 0
    for key, one in server.database.table("transfer").items():
        before = first.get(("transfer", key))
        was_held = before is not None and before["state"] == "offered"
        is_held = one["state"] in ("offered", "cleared") or was_held
        if is_held and (*_pair(one), _month(one)) == (*_pair(row), _month(row)):
            used += one["milliseconds"]
    return used


def _pair(row: Any) -> Pair:
    return row["payer_group"], row["payee_group"]


def _month(row: Any) -> tuple[int, int]:
    return row["taken_at"].year, row["taken_at"].month


def _payload(signed: str) -> Any:
    """Read a JWS, without the product's code."""
    part = signed.split(".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
