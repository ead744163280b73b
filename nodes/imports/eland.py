r"""What eLAND exports: a zip with one CSV file for each table of its database.

The files are PostgreSQL's own (``\copy ... delimiter ',' csv header``), so they are
proper CSV. eLAND renamed columns over the years; both spellings are read. A balance is
the newest of the table ``balance``, or the column ``saldo``; limits are the newest of
``min_limit`` and ``max_limit``, or columns, or the group's own for everybody.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from nodes.imports.outcome import (
    Listener,
    Notes,
    OldAccount,
    OldBooks,
    OldTransaction,
    Place,
    Role,
    plain,
    plain_memo,
    read_limit,
    read_moment,
    read_role,
    read_status,
    read_units,
    show,
)
from nodes.imports.reading import Table, read_table, read_text, told_rows
from protocol.peer.command_line import DataError

#: All that is read of it; above all no passwords, addresses and messages.
TABLES = ("users", "balance", "min_limit", "max_limit", "transactions", "config")
_CODE = ("code", "letscode")
_FULL_NAME = ("full_name", "fullname")
_ROLE = ("role", "accountrole")
_USERS: list[Collection[str]] = [["id"], _CODE, ["name"], _ROLE, ["status"]]
_AT = ("created_at", "cdate", "date")
_TRANSACTIONS: list[Collection[str]] = [
    *(["id"], ["amount"], ["description"], ["id_from"], ["id_to"]),
    _AT,
]
_ENABLED = "accounts.limits.enabled"
_FLOORS = ("accounts.limits.global.min", "minlimit")
_CEILINGS = ("accounts.limits.global.max", "maxlimit")


class _Row:
    """One row, its fields by any of the names that a column has had."""

    def __init__(self, table: Table, line: int, row: Sequence[str]) -> None:
        self.place = Place(table.file, line)
        self._columns = table.columns
        self._row = row

    def get(self, names: Collection[str]) -> str:
        for name in names:
            if name in self._columns:
                return self._row[self._columns[name]]
        return ""


def read_books(
    files: Mapping[str, bytes],
    file: str,
    decimals: int,
    notes: Notes,
    progress: Listener,
) -> OldBooks:
    """Read what eLAND knows of a group.

    Args:
        files: the bytes of its tables, by name.
        file: the name of the zip, or of the one table.
        decimals: of the group's unit.
        notes: gets a finding for whatever cannot be used.
        progress: told how far it is.

    Raises:
        DataError: no members in it, or not text.
    """
    if "users" not in files:
        raise DataError(f"{file}: found no users.csv in it; expected eLAND's zip")
    users = _table(files, "users", notes, _USERS)
    if users is None:
        return OldBooks([], None)
    ids = {row[users.columns["id"]] for _, row in users.rows} - {""}
    balances = _newest(files, "balance", "balance", ids, notes)
    floors = _newest(files, "min_limit", "min_limit", ids, notes)
    ceilings = _newest(files, "max_limit", "max_limit", ids, notes)
    everyones = _read_config(files, decimals, notes)
    if everyones is None:
        floors = ceilings = None
    accounts = []
    for line, fields in users.rows:
        row = _Row(users, line, fields)
        account = _read_account(row, decimals, notes, everyones)
        if account is None:
            continue
        accounts.append(
            _with_newest(account, balances, floors, ceilings, decimals, notes)
        )
    past = _read_transactions(files, ids, decimals, notes, progress)
    return OldBooks(accounts, past)


def _table(
    files: Mapping[str, bytes],
    name: str,
    notes: Notes,
    needed: Sequence[Collection[str]],
) -> Table | None:
    if name not in files:
        return None
    file = f"{name}.csv"
    return read_table(read_text(files[name], file), file, notes, needed)


class _Said(msgspec.Struct, frozen=True):
    """What a table said last about an account."""

    place: Place
    text: str


def _newest(
    files: Mapping[str, bytes],
    name: str,
    column: str,
    ids: Collection[str],
    notes: Notes,
) -> dict[str, _Said] | None:
    """Give the newest row of each account; ``None`` when there is no such table."""
    needed = [["id"], ["account_id"], [column]]
    table = _table(files, name, notes, needed)
    if table is None:
        return None
    newest: dict[str, tuple[int, _Said]] = {}
    lines: dict[int, int] = {}
    for line, fields in table.rows:
        row = _Row(table, line, fields)
        number, account = row.get(["id"]), row.get(["account_id"])
        if not (number.isascii() and number.isdecimal() and len(number) < 19):
            notes.note(row.place, f"id {show(number)}", "a whole number")
        elif lines.setdefault(int(number), line) != line:
            found = f"id {show(number)} as on line {lines[int(number)]}"
            notes.note(row.place, found, "each id once")
        elif account not in ids:
            notes.note(row.place, f"account_id {show(account)}", "the id of a user")
        elif account not in newest or newest[account][0] < int(number):
            newest[account] = (int(number), _Said(row.place, row.get([column])))
    return {account: said for account, (_, said) in newest.items()}


_Limits = tuple[int | None, int | None]


def _read_config(
    files: Mapping[str, bytes], decimals: int, notes: Notes
) -> _Limits | None:
    """Give the limits for everybody without own ones; ``None``: limits are off."""
    table = _table(files, "config", notes, [["id"], ["data", "value"]])
    said: dict[str, tuple[Place, object]] = {}
    for line, fields in table.rows if table else ():
        assert table is not None, "it has rows"
        row = _Row(table, line, fields)
        name = row.get(["id"])
        if name in (_ENABLED, *_FLOORS, *_CEILINGS):
            said[name] = (row.place, _setting(row.get(["data", "value"])))
    if said.get(_ENABLED, (None, True))[1] in (False, "0", 0):
        return None
    limits: list[int | None] = []
    for names in (_FLOORS, _CEILINGS):
        limit = None
        for name in names:
            if name in said:
                place, value = said[name]
                text = "" if value is None else str(value)
                try:
                    limit = read_limit(text, decimals)
                except ValueError as error:
                    notes.note(place, f"{name} {show(text)}", str(error))
                break
        limits.append(limit)
    return limits[0], limits[1]


def _setting(text: str) -> object:
    """Read a setting: JSON, alone or under ``value``; else the text itself."""
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        # Also what is nested without end; as a limit it is then refused.
        return text
    return value.get("value") if isinstance(value, dict) else value


def _read_account(
    row: _Row, decimals: int, notes: Notes, everyones: _Limits | None
) -> OldAccount | None:
    """Read one row of users; its password is not looked at."""
    step: Collection[str] = ()
    balance: int | None = None
    if not row.get(["id"]):
        notes.note(row.place, "no id", "one, of its own")
        return None
    try:
        step = _ROLE
        role = read_role(row.get(step))
        step = ["status"]
        status = read_status(row.get(step))
        step = ["minlimit"]
        floor = read_limit(row.get(step), decimals)
        step = ["maxlimit"]
        ceiling = read_limit(row.get(step), decimals)
        step = ["saldo"]
        if row.get(step):
            balance = read_units(row.get(step), decimals)
    except ValueError as error:
        told = " or ".join(step)
        notes.note(row.place, f"{told} {show(row.get(step))}", str(error))
        return None
    if row.get(["is_intersystem"]) == "t" or row.get(["remote_schema"]):
        role = Role.INTERLETS
    if everyones is None:
        floor = ceiling = None
    else:
        floor = everyones[0] if floor is None else floor
        ceiling = everyones[1] if ceiling is None else ceiling
    code = plain(row.get(_CODE))
    return OldAccount(
        place=row.place,
        key=row.get(["id"]),
        code=code,
        name=plain(row.get(["name"])) or plain(row.get(_FULL_NAME)) or code,
        role=role,
        status=status,
        floor=floor,
        ceiling=ceiling,
        balance=balance,
    )


def _with_newest(
    account: OldAccount,
    balances: Mapping[str, _Said] | None,
    floors: Mapping[str, _Said] | None,
    ceilings: Mapping[str, _Said] | None,
    decimals: int,
    notes: Notes,
) -> OldAccount:
    """Let tables of their own say balance and limits, where they do."""
    changes: dict[str, int | None] = {}
    if balances is not None:
        # Who never traded has no row there.
        changes["balance"] = 0
    tables = (("balance", balances), ("floor", floors), ("ceiling", ceilings))
    for field, said in tables:
        one = None if said is None else said.get(account.key)
        if one is None or (one.text == "" and field != "balance"):
            continue
        read = read_units if field == "balance" else read_limit
        try:
            changes[field] = read(one.text, decimals)
        except ValueError as error:
            notes.note(one.place, f"{field} {show(one.text)}", str(error))
    return msgspec.structs.replace(account, **changes)


def _read_transactions(
    files: Mapping[str, bytes],
    ids: Collection[str],
    decimals: int,
    notes: Notes,
    progress: Listener,
) -> list[OldTransaction] | None:
    """Read transactions in the order in which eLAND numbered them."""
    table = _table(files, "transactions", notes, _TRANSACTIONS)
    if table is None:
        return None
    columns = table.columns
    at_column = next(name for name in _AT if name in columns)
    past: list[tuple[int, OldTransaction]] = []
    lines: dict[int, int] = {}
    for line, row in told_rows(table, progress):
        place, step = Place(table.file, line), ""
        try:
            for step in ("id_from", "id_to"):
                if row[columns[step]] not in ids:
                    raise ValueError("the id of a user")
            payer, payee = row[columns["id_from"]], row[columns["id_to"]]
            step = at_column
            at = read_moment(row[columns[step]])
            step = "amount"
            amount = read_units(row[columns[step]], decimals)
            if amount < 0:
                raise ValueError("0 or more")
            step = "id"
            number = read_units(row[columns[step]], 0)
            if lines.setdefault(number, line) != line:
                raise ValueError(f"each id once, and line {lines[number]} has it")
        except ValueError as error:
            notes.note(place, f"{step} {show(row[columns[step]])}", str(error))
            continue
        memo = plain_memo(row[columns["description"]])
        past.append((number, OldTransaction(place, at, payer, payee, amount, memo)))
    past.sort(key=lambda numbered: numbered[0])
    return [transaction for _, transaction in past]
