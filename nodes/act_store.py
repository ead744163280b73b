"""Who of the staff did what, when, about whom and why; only ever added to.

What the clerk decides is noted in its own database transaction; what happens at the
desk (links, people, sign-ins) in the one that does it.
"""

from collections.abc import Sequence

import msgspec

from nodes.rules import Deed, Detail, NoteAct
from protocol.effects import Effect
from protocol.instant import Instant, from_datetime, to_datetime
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
_details = msgspec.json.Decoder(dict[str, Detail])


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did.

    Attributes:
        number: rises; also the cursor of a page.
        at: when.
        author: the name she signs in with; ``None``: a command beside no server.
        deed: what she did.
        about: an account, an entry, a person, a group, or nothing.
        details: figures and names.
        reason: in her words, where she gave any.
    """

    number: int
    at: Instant
    author: str | None
    deed: Deed
    about: str
    details: dict[str, Detail]
    reason: str | None


async def write(
    connection: AnyConnection, effects: Sequence[Effect], now: Instant
) -> None:
    """Note what was done; call it in the database transaction that does it."""
    acts = [effect for effect in effects if isinstance(effect, NoteAct)]
    if acts:
        await connection.execute(
            _SQL["insert_acts"],
            [act.author for act in acts],
            [act.deed.value for act in acts],
            [act.about for act in acts],
            [msgspec.json.encode(act.details).decode() for act in acts],
            [act.reason for act in acts],
            to_datetime(now),
        )


async def read_page(
    connection: AnyConnection,
    before: int,
    size: int,
    about: str | None = None,
    author: str | None = None,
) -> list[Act]:
    """Give a page of what was done, newest first.

    Args:
        connection: any.
        before: the number to stay below.
        size: most acts to give.
        about: only what was about this account, entry, person or group.
        author: only what the person of this sign-in name did.
    """
    rows = await connection.fetch(_SQL["read_acts"], before, size, about, author)
    return [
        Act(
            number=row["number"],
            at=from_datetime(row["at"]),
            author=row["author"],
            deed=Deed(row["deed"]),
            about=row["about"],
            details=_details.decode(row["details"]),
            reason=row["reason"],
        )
        for row in rows
    ]
