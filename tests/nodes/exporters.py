"""eLAS and eLAND as their published source writes files, quirks and all.

After eLAS's ``export_users.php`` and ``export_transactions.php`` (three generations of
the latter) and eLAND's ``ExportController``, which lets ``psql`` write each table.
"""

import html
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PASSWORD_HASH = "0123456789abcdef0123456789abcdef" * 4
ELAS_COLUMNS = (
    *("letscode", "cdate", "comments", "hobbies", "name", "postcode", "login"),
    *("mailinglist", "password", "accountrole", "status", "lastlogin", "minlimit"),
    *("maxlimit", "fullname", "admincomment", "activeringsdatum"),
)


def elas_user(code: str, name: str, **changes: Any) -> dict[str, str]:
    """A row of eLAS's users: an active member from -400 to 400."""
    user = dict.fromkeys(ELAS_COLUMNS, "") | {
        "letscode": code,
        "cdate": "2011-03-04 10:20:30",
        "name": name,
        "login": code.lower(),
        "password": PASSWORD_HASH,
        "accountrole": "user",
        "status": "1",
        "minlimit": "-400",
        "maxlimit": "400",
        "fullname": name,
    }
    return user | {key: str(value) for key, value in changes.items()}


def elas_users(users: Iterable[Mapping[str, str]], *, has_maxlimit: bool = True) -> str:
    columns = [one for one in ELAS_COLUMNS if has_maxlimit or one != "maxlimit"]
    lines = [",".join(f'"{column}"' for column in columns)]
    for user in users:
        line = '"' + '","'.join(user[column] for column in columns) + '"'
        if has_maxlimit:
            limits = f'{user["minlimit"]}","{user["maxlimit"]}'
            head, _, tail = line.partition(f'"{user["lastlogin"]}","{limits}"')
            line = head + f'"{user["lastlogin"]}","' + limits.replace('","', '", "')
            line += f'"{tail}'
        lines.append(line)
    return "".join(f"{line}\r\n" for line in lines)


#: How the generations of eLAS name a side of a transaction.
SIDES = {
    "code": lambda code, name: html.escape(code),
    "code (name)": lambda code, name: f"{code} ({name.strip()})",
    "name (code)": lambda code, name: f"{html.escape(name)} ({code.strip()})",
}


def elas_transactions(
    past: Sequence[tuple[str, str, str, int, str]],
    names: Mapping[str, str] | None = None,
    form: str = "code",
) -> str:
    """Write transactions (at, payer, payee, amount, memo), given oldest first."""
    side = SIDES[form]
    lines = ['"Datum","Van","Aan","Bedrag","Dienst"']
    for at, payer, payee, amount, memo in reversed(past):
        sides = [side(one, (names or {}).get(one, one)) for one in (payer, payee)]
        shown = memo if form == "code (name)" else html.escape(memo, quote=True)
        lines.append(f'"{at}","{sides[0]}","{sides[1]}","{amount}","{shown}"')
    return "".join(f"{line}\r\n" for line in lines)


def _copied(value: object) -> str:
    """One field as PostgreSQL's COPY writes it in CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    text = str(value)
    if text == "" or any(one in text for one in ',"\r\n') or text == "\\.":
        return '"' + text.replace('"', '""') + '"'
    return text


def copied(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> bytes:
    """A table as ``\\copy ... delimiter ',' csv header`` writes it."""
    names = list(columns or rows[0])
    lines = [",".join(names)]
    lines += [",".join(_copied(row.get(name)) for name in names) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def eland_user(number: int, code: str, name: str, **changes: Any) -> dict[str, Any]:
    """A row of eLAND's users as in 2020: ``letscode``, ``fullname``, ``saldo``."""
    return {
        "id": number,
        "cdate": "2012-01-02 03:04:05",
        "comments": None,
        "hobbies": 'tuinieren, "koken"\nen lezen',
        "name": name,
        "letscode": code,
        "password": PASSWORD_HASH,
        "accountrole": "user",
        "status": 1,
        "saldo": 0,
        "minlimit": -400,
        "maxlimit": 400,
        "fullname": name,
    } | changes


_RENAMED = {"letscode": "code", "fullname": "full_name", "accountrole": "role"}
_MOVED = ("saldo", "minlimit", "maxlimit", "password")


def eland_tables(
    users: Sequence[Mapping[str, Any]],
    past: Sequence[tuple[str, int, int, int, str]] | None = None,
    *,
    is_new: bool = False,
) -> dict[str, bytes]:
    """All tables of a zip; newer ones have balances and limits in their own."""
    tables: dict[str, bytes] = {"news": copied([{"id": 1, "headline": "x"}])}
    if past is not None:
        columns = ("id", "amount", "description", "id_from", "id_to", "created_at")
        rows = [
            dict(zip(columns, (n, amount, memo, payer, payee, at), strict=True))
            for n, (at, payer, payee, amount, memo) in enumerate(past, 1)
        ]
        # As a table is stored, not as it was numbered.
        tables["transactions"] = copied(rows[::-1], columns)
    if not is_new:
        return tables | {"users": copied(users)}
    renamed = [
        {
            _RENAMED.get(name, name): value
            for name, value in user.items()
            if name not in _MOVED
        }
        for user in users
    ]
    tables["users"] = copied(renamed)
    for table, column, old in (
        ("balance", "balance", "saldo"),
        ("min_limit", "min_limit", "minlimit"),
        ("max_limit", "max_limit", "maxlimit"),
    ):
        rows = []
        for user in users:
            # An earlier value first, and the rows not in the order of their numbers.
            for part, value in ((0, 7), (1, user[old])):
                number = user["id"] + 1_000_000 * part
                rows.append({"id": number, "account_id": user["id"], column: value})
        tables[table] = copied(rows[::-1])
    return tables


def zipped(tables: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in tables.items():
            archive.writestr(f"{name}.csv", data)
    return made.getvalue()
