"""How much each way of netting saves: values and numbers of payments, side by side."""

import msgspec

from protocol.errors import LedgerBrokenError
from protocol.netting.circulation import check_circulation, largest_circulation
from protocol.netting.flows import Flows

#: Most groups, and pairs of them, for which the largest circulation is looked for: a
#: second or two. Beyond, that figure is left out: what the hub does clears more anyway.
GROUPS_MAX = 1_000
PAIRS_MAX = 50_000


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to be paid.

    Attributes:
        milliseconds: their sum.
        payments: how many of them.
    """

    milliseconds: int
    payments: int


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle's trade would have left to pay, by each way of netting.

    Attributes:
        gross: without any: every transfer by itself.
        bilateral: each two groups net what they owe each other.
        multilateral: all that goes round in circles clears too, and every debt that
            stays is one there was; ``None`` where that is too much to compute.
        novation: each group owes the hub, or is owed: one position. It is what the
            hub does, and the least that any way can leave.
    """

    gross: Left
    bilateral: Left
    multilateral: Left | None
    novation: Left

    @property
    def cleared(self) -> int:
        """What the hub's netting saved, milliseconds."""
        return self.gross.milliseconds - self.novation.milliseconds

    @property
    def payments_saved(self) -> int:
        """How many payments the hub's netting saved."""
        return self.gross.payments - self.novation.payments


def compute_savings(flows: Flows) -> Savings:
    """Compute what each way of netting leaves of a cycle's gross flows.

    The circulation is left out beyond ``GROUPS_MAX`` groups or ``PAIRS_MAX`` pairs, and
    where the search for it takes too long.

    Raises:
        LedgerBrokenError: the netting itself is wrong; nothing may be published.
    """
    net = flows.net()
    is_small = len(net) <= GROUPS_MAX and flows.pairs <= PAIRS_MAX
    savings = Savings(
        gross=Left(milliseconds=flows.gross, payments=flows.transfers),
        bilateral=_bilateral(flows),
        multilateral=_multilateral(flows) if is_small else None,
        novation=Left(
            milliseconds=sum(gained for gained in net.values() if gained > 0),
            payments=sum(1 for gained in net.values() if gained),
        ),
    )
    _check(savings, net)
    return savings


def _bilateral(flows: Flows) -> Left:
    milliseconds = payments = 0
    for payer, row in flows.paid.items():
        for payee, there in row.items():
            stays = there - flows.paid.get(payee, {}).get(payer, 0)
            if stays > 0:
                milliseconds += stays
                payments += 1
    return Left(milliseconds=milliseconds, payments=payments)


def _multilateral(flows: Flows) -> Left | None:
    found = largest_circulation(flows)
    if found is None:
        return None
    check_circulation(flows, found)
    return Left(milliseconds=found.value, payments=found.payments)


def _check(savings: Savings, net: dict[str, int]) -> None:
    if sum(net.values()) != 0:
        raise LedgerBrokenError(f"netting: gains sum to {sum(net.values())}, not 0")
    one, other = savings.novation, savings.bilateral
    between = savings.multilateral or other
    if not (
        one.milliseconds
        <= between.milliseconds
        <= other.milliseconds
        <= savings.gross.milliseconds
    ):
        raise LedgerBrokenError(f"netting: a weaker way clears more: {savings}")
