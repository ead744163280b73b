"""What eLAS exports: members, and up to 5,000 transactions, each as one CSV file.

Its ``export_users.php`` and ``export_transactions.php`` put quotes around every field
and escape none inside, end lines as Windows does, and spell HTML in texts. Balances
are in neither file: they come to the sums of the transactions, when those are all
there, or from a list ``letscode,saldo`` that the treasurer writes. An older
``export_users.php`` has no ``maxlimit``, a newer one a space before it.
"""

import re
from collections.abc import Sequence

import msgspec

from nodes.imports.outcome import (
    Listener,
    Notes,
    OldAccount,
    OldBooks,
    OldTransaction,
    Place,
    plain,
    plain_memo,
    read_limit,
    read_moment,
    read_role,
    read_status,
    read_units,
    show,
)
from nodes.imports.reading import Table, read_quoted_table, read_table, told_rows

#: ``export_transactions.php`` writes no more than the newest of so many.
TRANSACTIONS_MAX = 5000
_USERS = [["letscode"], ["name"], ["accountrole"], ["status"], ["minlimit"]]
_TRANSACTIONS = [["Datum"], ["Van"], ["Aan"], ["Bedrag"], ["Dienst"]]
_EMPTY_END = re.compile(r"\n[\s,]*\Z")
_BALANCES = [["letscode", "code"], ["saldo", "balance"]]


class Given(msgspec.Struct, frozen=True):
    """A file that was given: its name, and its text."""

    file: str
    text: str


def is_users(text: str) -> bool:
    """Say whether a text begins as eLAS's file of members does."""
    first = text.partition("\n")[0].replace('"', "").split(",")
    return "letscode" in first and "id" not in first


def read_books(
    users: Given,
    transactions: Given | None,
    balances: Given | None,
    decimals: int,
    notes: Notes,
    progress: Listener,
) -> OldBooks:
    """Read what eLAS knows of a group.

    Args:
        users: its file of members.
        transactions: its file of transactions, if that was given.
        balances: a list of balances, if one was given.
        decimals: of the group's unit.
        notes: gets a finding for whatever cannot be used.
        progress: told how far it is.
    """
    accounts = _read_users(users, decimals, notes)
    if balances is not None:
        accounts = _with_balances(accounts, balances, decimals, notes)
    if transactions is None:
        return OldBooks(accounts, None)
    past = _read_transactions(transactions, accounts, decimals, notes, progress)
    return OldBooks(accounts, past, is_cut_off=len(past) >= TRANSACTIONS_MAX)


def _table(given: Given, notes: Notes, needed: Sequence[Sequence[str]]) -> Table | None:
    # As eLAS wrote it, or as a spreadsheet saved it again.
    read = read_quoted_table if given.text.startswith('"') else read_table
    return read(given.text, given.file, notes, needed)


def _read_users(given: Given, decimals: int, notes: Notes) -> list[OldAccount]:
    table = _table(given, notes, _USERS)
    if table is None:
        return []
    accounts = []
    for line, row in table.rows:
        place, step = Place(table.file, line), ""

        def field(name: str, row: Sequence[str] = row) -> str:
            return row[table.columns[name]] if name in table.columns else ""

        try:
            step = "accountrole"
            role = read_role(field(step))
            step = "status"
            status = read_status(field(step))
            step = "minlimit"
            floor = read_limit(field(step), decimals)
            step = "maxlimit"
            ceiling = read_limit(field(step), decimals)
        except ValueError as error:
            notes.note(place, f"{step} {show(field(step))}", str(error))
            continue
        code = plain(field("letscode"))
        accounts.append(
            OldAccount(
                place=place,
                key=code.lower(),
                code=code,
                name=plain(field("name")) or plain(field("fullname")) or code,
                role=role,
                status=status,
                floor=floor,
                ceiling=ceiling,
            )
        )
    return accounts


def _with_balances(
    accounts: Sequence[OldAccount], given: Given, decimals: int, notes: Notes
) -> list[OldAccount]:
    """Give each account the balance that the list says."""
    # Typed by a person: below the last row a spreadsheet may leave empty ones.
    text = _EMPTY_END.sub("\n", given.text)
    table = _table(Given(given.file, text), notes, _BALANCES)
    if table is None:
        return list(accounts)
    code_at = table.columns.get("letscode", table.columns.get("code", 0))
    saldo_at = table.columns.get("saldo", table.columns.get("balance", 0))
    known = {account.key for account in accounts}
    balances: dict[str, int] = {}
    for line, row in table.rows:
        place, key = Place(table.file, line), plain(row[code_at]).lower()
        if key not in known:
            notes.note(place, f"letscode {show(row[code_at])}", "one of the members'")
        elif key in balances:
            notes.note(place, f"{row[code_at]} twice", "each letscode once")
        else:
            try:
                balances[key] = read_units(row[saldo_at].strip(), decimals)
            except ValueError as error:
                notes.note(place, f"saldo {show(row[saldo_at])}", str(error))
    return [
        msgspec.structs.replace(account, balance=balances.get(account.key))
        for account in accounts
    ]


def _read_transactions(
    given: Given,
    accounts: Sequence[OldAccount],
    decimals: int,
    notes: Notes,
    progress: Listener,
) -> list[OldTransaction]:
    """Read transactions, oldest first."""
    table = _table(given, notes, _TRANSACTIONS)
    if table is None:
        return []
    date_at, from_at, to_at, amount_at, memo_at = (
        table.columns[names[0]] for names in _TRANSACTIONS
    )
    known = {account.key for account in accounts if account.key}
    parties: dict[str, str | None] = {}
    past = []
    for line, row in told_rows(table, progress):
        step, text = "", ""
        try:
            sides = []
            for at in (from_at, to_at):
                step, text = table_name(at, table), row[at]
                if text not in parties:
                    parties[text] = _party(text, known)
                key = parties[text]
                if key is None:
                    raise ValueError("the letscode of one of the members")
                sides.append(key)
            step, text = "Datum", row[date_at]
            moment = read_moment(text)
            step, text = "Bedrag", row[amount_at]
            amount = read_units(text, decimals)
            if amount < 0:
                raise ValueError("0 or more")
        except ValueError as error:
            notes.note(Place(table.file, line), f"{step} {show(text)}", str(error))
            continue
        memo = plain_memo(row[memo_at])
        payer, payee = sides
        place = Place(table.file, line)
        past.append(OldTransaction(place, moment, payer, payee, amount, memo))
    past.reverse()
    return past


def table_name(at: int, table: Table) -> str:
    """Give the name of a column by its place."""
    return next(name for name, place in table.columns.items() if place == at)


def _party(text: str, known: set[str]) -> str | None:
    """Find whom a side of a transaction names; ``None``: nobody, or two.

    eLAS has written the letscode alone, ``letscode (name)`` and ``name (letscode)``.
    """
    found = plain(text).lower()
    if found in known:
        return found
    named = {found.partition(" (")[0].strip()}
    if found.endswith(")"):
        named.add(found[:-1].rpartition("(")[2].strip())
    named &= known
    return named.pop() if len(named) == 1 else None
