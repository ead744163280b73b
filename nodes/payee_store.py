"""Who may be found, and by what: the part of a member that she herself decides.

Whoever is asked about reads as if she were not there when she does not want to be
found, in one query for both, so that neither words nor time tell the difference.
"""

from typing import Literal, get_args

from protocol.errors import LedgerBrokenError
from protocol.inquiry import PAYEES_MAX, Inquiry, Payee
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)

#: ``address``: by those who know it. ``name``: by anyone of the federation.
FoundBy = Literal["nothing", "address", "name"]


async def read_payees(connection: AnyConnection, asked: Inquiry) -> list[Payee]:
    """Give those who may be found by what is asked, the best matches first."""
    if asked.account is not None:
        rows = await connection.fetch(_SQL["read_by_account"], asked.account)
    else:
        rows = await connection.fetch(_SQL["read_by_name"], asked.name, PAYEES_MAX)
    return [Payee(account=row["account_id"], name=row["name"]) for row in rows]


async def read_found_by(connection: AnyConnection, account_id: str) -> FoundBy | None:
    """Say by what a member may be found; ``None`` when nobody has this account."""
    told = await connection.fetchval(_SQL["read_found_by"], account_id)
    if told is None:
        return None
    for known in get_args(FoundBy):
        if told == known:
            found: FoundBy = known
            return found
    raise LedgerBrokenError(f"member {account_id} is found by {told!r}")


async def write_found_by(
    connection: AnyConnection, account_id: str, found_by: FoundBy
) -> bool:
    """Keep a member's choice; ``False`` when nobody has this account."""
    done = await connection.execute(_SQL["write_found_by"], account_id, found_by)
    return done == "UPDATE 1"
