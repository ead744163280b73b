"""What has happened to a member since a place in her story, read page by page.

The story is kept nowhere of its own: it is what the ledger and the transfers say
anyway, so nothing can be missed, and an absence however long costs no memory. A
transfer is told as it now stands, once for each time it was seen in another state.
How a story is sent is told by ``nodes.api.events``.
"""

import asyncio
import re
from collections.abc import Sequence

import msgspec

from nodes import member_store
from nodes.api.account import AccountAnswer, account_answer, entry_answer
from nodes.payments import Payments
from protocol.errors import MalformedMessageError
from protocol.peer import ledger_store, transfer_store
from protocol.peer.access_store import Caller
from protocol.peer.database import AnyConnection, Database
from protocol.peer.web.words import Language

#: Most transfers, and most entries, that are read at once.
PAGE_SIZE = 50
#: However many listen, some readers are left for those who ask.
_READERS_MAX = 2
_PLACE = re.compile(r"(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})")


class Place(msgspec.Struct, frozen=True):
    """How far a member's story has been told; opaque to her programs.

    Attributes:
        changed: number of the newest change of her transfers.
        sequence: number of the newest entry on her account.
    """

    changed: int
    sequence: int


def write_place(place: Place) -> str:
    """Write a place as the id of an event."""
    return f"{place.changed}.{place.sequence}"


def read_place(text: str) -> Place:
    """Read the id of an event; raises ``MalformedMessageError``."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise MalformedMessageError("Last-Event-ID", text, "the id of an event")
    return Place(int(found[1]), int(found[2]))


class Told(msgspec.Struct, frozen=True):
    """One thing to tell: its name, its JSON, and the place behind it."""

    name: str
    data: bytes
    place: Place


class Page(msgspec.Struct, frozen=True):
    """What comes next in a story, oldest first.

    Attributes:
        told: what happened; at most two pages full.
        place: behind it.
        account: as it stands at this place; ``None`` while there is more to read.
    """

    told: Sequence[Told]
    place: Place
    account: AccountAnswer | None


class News:
    """Reads members' stories.

    Args:
        payments: words them.
        database: read only here.
    """

    def __init__(self, payments: Payments, database: Database) -> None:
        self._payments = payments
        self._database = database
        self._reading = asyncio.Semaphore(_READERS_MAX)

    async def begin(self, account_id: str, known: Place | None) -> Place:
        """Say where to read on.

        Args:
            account_id: whose story.
            known: up to where she knows it.

        Returns:
            ``known``; or where the story now ends when she knows nothing, or more
            than there is: then this database was restored from a backup.
        """
        async with self._reading, self._database.readers.acquire() as connection:
            newest = await _read_newest(connection, account_id)
        if known is None:
            return newest
        is_ahead = known.changed > newest.changed or known.sequence > newest.sequence
        return newest if is_ahead else known

    async def read(self, caller: Caller, place: Place, language: Language) -> Page:
        """Read what comes next.

        Args:
            caller: the member.
            place: up to where it was told.
            language: hers.
        """
        account_id = caller.account_id or ""
        # One snapshot: the figures are those behind the last thing told.
        async with (
            self._reading,
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            changes = await transfer_store.read_changes(
                connection, account_id, place.changed, PAGE_SIZE
            )
            lines = await ledger_store.read_after(
                connection, account_id, place.sequence, PAGE_SIZE
            )
            member = await member_store.read_member(connection, account_id)
        told = []
        for change in changes:
            answer = await self._payments.answer(
                caller, change.transfer, language, change.line
            )
            place = msgspec.structs.replace(place, changed=change.number)
            told.append(Told("payment", msgspec.json.encode(answer), place))
        for line in lines:
            place = msgspec.structs.replace(place, sequence=line.sequence)
            # An entry of a transfer was told as that transfer.
            if line.transfer_id is None:
                told.append(
                    Told("entry", msgspec.json.encode(entry_answer(line)), place)
                )
        is_last = len(changes) < PAGE_SIZE and len(lines) < PAGE_SIZE
        account = None
        if is_last:
            assert member is not None, "who listens has an account, for ever"
            account = account_answer(self._payments.own_record(), member)
        return Page(told, place, account)


async def _read_newest(connection: AnyConnection, account_id: str) -> Place:
    lines = await ledger_store.read_page(
        connection, account_id, ledger_store.NEWEST, size=1
    )
    return Place(
        changed=await transfer_store.read_newest_change(connection, account_id),
        sequence=lines[0].sequence if lines else 0,
    )
