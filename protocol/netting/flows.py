"""Gross flows: who paid whom how much in a cycle, before any netting."""

from collections.abc import Iterable, Mapping

import msgspec

from protocol.errors import MalformedMessageError
from protocol.unit import MILLISECONDS_MAX


class Flows(msgspec.Struct, frozen=True):
    """What the cleared transfers of a cycle come to.

    Attributes:
        paid: milliseconds from payer's group (outer) to payee's group (inner).
        transfers: how many there were.
    """

    paid: Mapping[str, Mapping[str, int]]
    transfers: int

    @property
    def gross(self) -> int:
        """The sum of all transfers, milliseconds; may pass what JSON may hold."""
        return sum(sum(row.values()) for row in self.paid.values())

    @property
    def pairs(self) -> int:
        """How many pairs, payer's group and payee's group, there are."""
        return sum(map(len, self.paid.values()))

    def net(self) -> dict[str, int]:
        """Give what each group has gained: received less paid; the sum is zero."""
        found: dict[str, int] = {}
        for payer, row in self.paid.items():
            found[payer] = found.get(payer, 0) - sum(row.values())
            for payee, milliseconds in row.items():
                found[payee] = found.get(payee, 0) + milliseconds
        return {group: found[group] for group in sorted(found)}


def gather(transfers: Iterable[tuple[str, str, int]]) -> Flows:
    """Add up transfers, one at a time; their order does not matter.

    Args:
        transfers: (payer's group, payee's group, milliseconds) of each that cleared.

    Raises:
        MalformedMessageError: an amount that no transfer has, or one group alone.
    """
    paid: dict[str, dict[str, int]] = {}
    count = 0
    for payer, payee, milliseconds in transfers:
        if not 0 < milliseconds <= MILLISECONDS_MAX or type(milliseconds) is not int:
            expected = f"a whole number from 1 to {MILLISECONDS_MAX}"
            raise MalformedMessageError("milliseconds", milliseconds, expected)
        if payer == payee:
            raise MalformedMessageError("payee group", payee, "another than the payer")
        row = paid.get(payer)
        if row is None:
            row = paid[payer] = {}
        row[payee] = row.get(payee, 0) + milliseconds
        count += 1
    return Flows(paid, count)
