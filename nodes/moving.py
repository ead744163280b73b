"""A group moves in: what the command and the API have in common, and the API's way.

The command (``nodes.commands.moving``) does it beside no server, with files as large
as a group can have. Over HTTP the node serves meanwhile and everybody else waits until
it is booked, so what may be sent is small: years of an ordinary group, no more.
"""

import asyncio
import hashlib
import secrets
import uuid

import msgspec

from nodes import import_store
from nodes.house import NodeHouse
from nodes.imports import eland, elas, reading
from nodes.imports.outcome import Notes, OldBooks
from nodes.imports.plan import Choices, Draw, Plan, make_plan
from nodes.rules import ImportRun, MoveIn, MoveInRefusal, NotMovedIn, refuse_move_in
from protocol.base64url import write_base64url
from protocol.instant import Instant, write_instant
from protocol.peer import ledger_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.command_line import DataError
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem

#: Of a zip that is sent, and of its tables together, unpacked: 100,000 payments fit.
SENT_LENGTH_MAX = 10 * 2**20
#: What a zip of eLAS's files is made of, by the names that they must have there.
_ELAS_TABLES = ("users", "transactions", "balances")
_SENT = "zip"


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What was brought in, or would be.

    Attributes:
        plan: row by row.
        run: what was booked; ``None``: nothing was.
        refusal: why nothing could be, if it could not.
    """

    plan: Plan
    run: ImportRun | None = None
    refusal: NotMovedIn | None = None


class Moving:
    """Bringing a group in while the node serves.

    Args:
        house: knows the own unit.
        clerk: books.
        database: read only here.
        clock: the wall clock.
    """

    def __init__(
        self, house: NodeHouse, clerk: Clerk, database: Database, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._is_busy = False

    async def move(
        self,
        data: bytes,
        choices: Choices,
        encoding: str,
        author: str,
        *,
        is_trial: bool,
    ) -> Moved:
        """Look at a zip, and bring the group in unless it is only a trial.

        Args:
            data: eLAND's zip, or one with eLAS's files.
            choices: the treasurer's.
            encoding: of eLAS's files.
            author: the person who does it.
            is_trial: change nothing.

        Raises:
            DataError: rows that cannot be used, or a file that is none; all of them.
            Problem: another one is looked at already (429).
        """
        if not is_trial:
            self._clerk.check_may_change()
        self._clerk.check_ready()
        if self._is_busy:
            told = "Another import is looked at already; please try again."
            raise Problem(429, "import-runs", told, headers={"Retry-After": "10"})
        decimals = self._house.own_record().entry.unit.decimals
        self._is_busy = True
        try:
            # Beside the event loop: members and the hub are answered meanwhile.
            plan = await asyncio.to_thread(
                plan_of_zip, data, choices, encoding, decimals, self._clock.now()
            )
            assert plan.order is not None, "findings have been told"
            order = msgspec.structs.replace(plan.order, author=author)
            refusal = await foresee(self._house, self._database, order)
            if is_trial or refusal is not None:
                return Moved(plan=plan, refusal=refusal)
            outcome = await self._clerk.take(order)
        finally:
            self._is_busy = False
        if isinstance(outcome, NotMovedIn):
            return Moved(plan=plan, refusal=outcome)
        assert isinstance(outcome, ImportRun)
        return Moved(plan=plan, run=outcome)


def plan_of_zip(
    data: bytes, choices: Choices, encoding: str, decimals: int, now: Instant
) -> Plan:
    """Say what becomes of every row of a zip that was sent.

    Raises:
        DataError: everything that is wrong, a line each.
    """
    notes = Notes()
    books = _read_zip(data, encoding, decimals, notes)
    if not books.accounts and not notes.many:
        raise DataError(f"{_SENT}: found no members; expected some")
    digest = hashlib.sha256(len(data).to_bytes(8) + data).hexdigest()
    plan = make_plan(books, choices, decimals, digest, draw(), now, notes, _quietly)
    if notes.many:
        raise DataError(notes.told())
    return plan


def _read_zip(data: bytes, encoding: str, decimals: int, notes: Notes) -> OldBooks:
    if not reading.is_zip(data):
        raise DataError(f"{_SENT}: found another file; expected a zip")
    wanted = dict.fromkeys((*eland.TABLES, *_ELAS_TABLES))
    files = reading.read_zip(data, _SENT, wanted, SENT_LENGTH_MAX)
    if "users" not in files or not _is_elas(files["users"]):
        return eland.read_books(files, _SENT, decimals, notes, _quietly)
    users, transactions, balances = (
        elas.Given(
            f"{name}.csv", reading.read_text(files[name], f"{name}.csv", encoding)
        )
        if name in files
        else None
        for name in _ELAS_TABLES
    )
    assert users is not None, "it was looked at just now"
    return elas.read_books(users, transactions, balances, decimals, notes, _quietly)


def _is_elas(users: bytes) -> bool:
    """Say whether members come from eLAS, as their first line says."""
    return elas.is_users(users[:2000].decode("latin-1").removeprefix("\xef\xbb\xbf"))


def _quietly(_done: float, _told: str) -> None:
    """Nobody watches."""


def draw() -> Draw:
    """Give where ids and salts come from."""
    return Draw(
        lambda: str(uuid.uuid4()), lambda: write_base64url(secrets.token_bytes(16))
    )


async def foresee(
    house: NodeHouse, database: Database, order: MoveIn
) -> NotMovedIn | None:
    """Say whether the group could move in now, by the rule that will decide it."""
    view = house.begin("")
    async with database.readers.acquire() as connection:
        view.moved_in = await import_store.read_run(connection)
        view.has_entries = await ledger_store.read_sequence(connection) > 0
        accounts = await ledger_store.read_accounts(
            connection, [member.account_id for member in order.members]
        )
    view.accounts = {account.account_id: account for account in accounts}
    return refuse_move_in(view, order)


def is_same(refusal: NotMovedIn, order: MoveIn) -> bool:
    """Say whether these very files were brought in before."""
    return refusal.before is not None and refusal.before.digest == order.digest


def worded(refusal: NotMovedIn) -> str:
    """Say why nothing was brought in."""
    match refusal.code:
        case MoveInRefusal.MOVED_IN_BEFORE:
            before = refusal.before
            assert before is not None, "it says what was brought in"
            return (
                f"nothing: a group was brought in here on {write_instant(before.at)}, "
                f"{before.members} members and {before.entries} entries; that is "
                "possible once"
            )
        case MoveInRefusal.LEDGER_HAS_ENTRIES:
            return (
                "nothing: this ledger has entries already; a group is brought in "
                "before anything is booked"
            )
        case MoveInRefusal.NAME_TAKEN:
            return f"nothing: the account {refusal.account_id} is there already"
