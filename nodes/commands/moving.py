"""``import``: a group moves in from eLAS or eLAND, first on paper, then all at once."""

import argparse
import asyncio
import gc
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from nodes import app, member_store
from nodes.house import NodeHouse
from nodes.imports import eland, elas, reading
from nodes.imports.outcome import Listener, Notes, OldBooks
from nodes.imports.plan import Choices, Plan, make_plan
from nodes.member_store import Membership
from nodes.moving import draw, foresee, is_same, worded
from nodes.rules import ImportRun, MoveIn, NotMovedIn
from protocol.address import FederationId
from protocol.directory import read_entry
from protocol.errors import InterletsError
from protocol.instant import write_instant
from protocol.peer import access_store, csv_text, runner
from protocol.peer.clock import Clock
from protocol.peer.command_line import DataError, Progress
from protocol.peer.database import Database
from protocol.peer.key_files import load_keys
from protocol.peer.runner import prepare_database
from protocol.peer.settings import Settings
from protocol.peer.web.sign_in import MEMBER_SCOPES
from protocol.unit import write_amount

#: What of the whole work each part is, for the bar.
_READ, _COMPARED, _DECIDED = 0.35, 0.45, 0.75


class NotMovedInError(InterletsError):
    """The group cannot move in here; nothing was changed."""


def import_group(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Bring a group in, or say what that would do."""
    progress = Progress(sys.stderr)
    # Nothing here refers back to itself: looking for it among millions of rows would
    # take a third of the time, and the process ends soon.
    gc.disable()
    try:
        return asyncio.run(_Move(settings, chosen, progress).run())
    finally:
        progress.close()
        gc.enable()


def write_sign_ins(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Give everybody who has never signed in a one-time link, in a file."""

    async def write() -> Mapping[str, object]:
        database = await Database.open(settings.database)
        try:
            async with database.readers.acquire() as connection:
                await app.read_membership(connection)
            return await _write_sign_ins(settings, database, Path(chosen.file))
        finally:
            await database.close()

    return asyncio.run(write())


async def _write_sign_ins(
    settings: Settings, database: Database, path: Path
) -> Mapping[str, object]:
    # The file first: codes that nobody can read would only end the earlier ones.
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise DataError(f"{path}: cannot be made anew: {error.strerror}") from None
    with os.fdopen(number, "wb") as file:
        now = Clock(settings.test.clock_offset_ms).now()
        async with database.desk.acquire() as connection, connection.transaction():
            accounts = await access_store.read_outside(connection)
            codes, until, ended = await access_store.invite_members(
                connection, accounts, MEMBER_SCOPES, now
            )
            names = await member_store.read_names(connection, accounts)
        file.write(csv_text.write_header(["account", "name", "sign_in", "until"]))
        welcome = f"{settings.server.public_url}/welcome"
        file.write(
            csv_text.write_rows(
                (account, names[account], f"{welcome}#{code}", write_instant(until))
                for account, code in codes.items()
            )
        )
    written = {"sign_ins": len(codes), "file": str(path), "until": write_instant(until)}
    if ended:
        # Whoever was given one of those must hear of it.
        told = f"{ended}, made before and never used, count no more"
        written["earlier_links"] = told
    return written


class _Move:
    """One run of the command."""

    def __init__(
        self, settings: Settings, chosen: argparse.Namespace, progress: Progress
    ) -> None:
        self._settings = settings
        self._chosen = chosen
        self._progress = progress
        self._digest = hashlib.sha256()

    async def run(self) -> Mapping[str, object]:
        """Look at the files, and bring the group in if that is confirmed."""
        database = await Database.open(self._settings.database)
        try:
            async with database.readers.acquire() as connection:
                joined = await app.read_membership(connection)
            plan = self._plan(_decimals(joined))
            order = plan.order
            assert order is not None, "findings have been told"
            house = NodeHouse(load_keys(app.keys_folder(self._settings)), joined)
            refusal = await foresee(house, database, order)
        finally:
            await database.close()
        report = self._report(plan, _decimals(joined))
        if not self._chosen.confirm:
            if refusal is not None and not is_same(refusal, order):
                raise NotMovedInError(worded(refusal))
            done = worded(refusal) if refusal else "nothing yet; for all of it add"
            return {**report, "imported": done if refusal else f"{done} --confirm"}
        return await self._bring_in(house, order, plan)

    def _plan(self, decimals: int) -> Plan:
        chosen, notes = self._chosen, Notes()
        if chosen.sign_ins and Path(chosen.sign_ins).exists():
            raise DataError(f"{chosen.sign_ins}: is there already; name a new file")
        books = self._read(decimals, notes)
        if not books.accounts and not notes.many:
            raise DataError(f"{chosen.file}: found no members; expected some")
        choices = Choices(
            with_history=not chosen.without_history,
            without_balances=chosen.without_balances,
            to_fund=chosen.difference_to_fund,
            beyond_limits=chosen.keep_beyond_limits,
        )
        digest = self._digest.hexdigest()
        watch = self._part(_READ, _COMPARED)
        now = Clock(self._settings.test.clock_offset_ms).now()
        plan = make_plan(books, choices, decimals, digest, draw(), now, notes, watch)
        if notes.many:
            raise DataError(notes.told() + "\nnothing was imported")
        return plan

    def _read(self, decimals: int, notes: Notes) -> OldBooks:
        """Read all files, whichever program wrote them."""
        chosen, watch = self._chosen, self._part(0.0, _READ)
        path = Path(chosen.file)
        data = self._bytes(path)
        lists = (chosen.transactions, chosen.balances)
        if reading.is_zip(data):
            if any(lists):
                told = "--transactions and --balances are for eLAS; eLAND's zip has all"
                raise DataError(told)
            files = reading.read_zip(data, path.name, eland.TABLES)
            return eland.read_books(files, path.name, decimals, notes, watch)
        text = reading.read_text(data, path.name, chosen.encoding)
        if not elas.is_users(text):
            raise DataError(
                f"{path.name}, line 1: found other columns; expected eLAND's zip, or "
                "eLAS's file of members with a column letscode"
            )
        transactions = self._given(chosen.transactions)
        balances = self._given(chosen.balances, is_typed=True)
        users = elas.Given(path.name, text)
        return elas.read_books(users, transactions, balances, decimals, notes, watch)

    def _given(self, file: str | None, *, is_typed: bool = False) -> elas.Given | None:
        if file is None:
            return None
        path = Path(file)
        data = self._bytes(path)
        if is_typed and data and not data.endswith(b"\n"):
            # An editor may leave the last line open; a program's file is cut off.
            data += b"\n"
        text = reading.read_text(data, path.name, self._chosen.encoding)
        return elas.Given(path.name, text)

    def _bytes(self, path: Path) -> bytes:
        data = reading.read_bytes(path)
        self._digest.update(len(data).to_bytes(8) + data)
        return data

    def _part(self, begins: float, ends: float) -> Listener:
        def show(done: float, told: str) -> None:
            self._progress.show(begins + done * (ends - begins), told)

        return show

    def _report(self, plan: Plan, decimals: int) -> dict[str, object]:
        assert plan.order is not None
        members, past = len(plan.order.members), len(plan.order.past)
        report: dict[str, object] = {
            "members": members,
            "skipped": len(plan.lines) - members,
            "transactions": past,
            "transactions_that_move_nothing": plan.skipped,
            "opening_balances": len(plan.order.opening),
            "fund": write_amount(plan.fund, decimals),
        }
        if plan.remarks:
            report["remark"] = "; ".join(plan.remarks)
        if self._chosen.json:
            report["rows"] = msgspec.to_builtins(plan.lines)
        else:
            report |= {
                f"{line.place.told()}, {line.code}": line.told for line in plan.lines
            }
        return report

    async def _bring_in(
        self, house: NodeHouse, order: MoveIn, plan: Plan
    ) -> Mapping[str, object]:
        database = await prepare_database(self._settings, app.MIGRATIONS)
        show = self._part(_COMPARED, _DECIDED)

        def watch(done: float) -> None:
            show(done, "booking" if done < 1 else "writing")

        house.progress = watch
        sign_ins = self._chosen.sign_ins
        try:
            server = runner.build(self._settings, database, house, app.MIGRATIONS)
            (outcome,) = await server.clerk.carry_out_alone([order])
            answer = self._answer(outcome, order, plan)
            if sign_ins:
                answer |= await _write_sign_ins(
                    self._settings, database, Path(sign_ins)
                )
        finally:
            await database.close()
        return answer

    def _answer(self, outcome: object, order: MoveIn, plan: Plan) -> dict[str, object]:
        match outcome:
            case ImportRun(members=members, entries=entries):
                return {
                    "imported": "everything",
                    "members": members,
                    "skipped": len(plan.lines) - members,
                    "entries": entries,
                }
            case NotMovedIn() if is_same(outcome, order):
                return {"imported": worded(outcome)}
            case NotMovedIn():
                raise NotMovedInError(worded(outcome))
            case _:
                raise AssertionError(f"a move cannot end in {outcome!r}")


def _decimals(joined: Membership) -> int:
    entry = read_entry(joined.entry, FederationId(joined.federation))
    return entry.unit.decimals
