"""A treasurer's commands that need the clerk: they ask the running node.

Names, balances and entries come back as the API words them; amounts are minor units.
"""

import argparse
import csv
import io
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from nodes.commands.node import STAFF
from nodes.imports.limits_csv import NO_LIMIT
from protocol.address import read_account
from protocol.errors import MalformedMessageError
from protocol.peer.command_line import DataError, FoundError, read_given
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings

_MEMBERS = "/api/v1/members"
_ENTRIES = "/api/v1/group/entries"
_MASS = "/api/v1/group/mass-entries"
_LIMITS = "/api/v1/group/limits"

_LIMIT_DIGITS_MAX = 13


def add_member(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Admit a member."""
    body = {
        "account": chosen.account,
        "name": chosen.name,
        "floor": _read_limit("--floor", chosen.floor),
        "ceiling": _read_limit("--ceiling", chosen.ceiling),
    }
    # A name is given once: whoever tries again need not name her wish.
    key = chosen.key or secrets.token_urlsafe()
    return _plain(ask(settings, STAFF, "POST", _MEMBERS, body, key=key))


def show_member(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show a member."""
    return _plain(ask(settings, STAFF, "GET", _path(chosen)))


def limit_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Give a member other limits; what is not said stays."""
    wished: dict[str, object] = {}
    if chosen.floor is not None:
        wished["floor"] = _read_limit("--floor", chosen.floor)
    if chosen.ceiling is not None:
        wished["ceiling"] = _read_limit("--ceiling", chosen.ceiling)
    if not wished:
        raise DataError("say --floor, --ceiling or both")
    return _change(settings, chosen, wished)


def rename_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Give a member another display name."""
    return _change(settings, chosen, {"name": chosen.name})


def freeze_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Let a member take part in nothing new."""
    return _change(settings, chosen, {"frozen": True})


def release_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Let a frozen member take part again."""
    return _change(settings, chosen, {"frozen": False})


def close_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Close an account that is empty, or leave what stands on it to the fund."""
    wished: dict[str, object] = {"closed": True}
    if chosen.balance_to_fund:
        wished["balance_to"] = "fund"
    return _change(settings, chosen, wished)


def open_member(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Open an account that was closed."""
    return _change(settings, chosen, {"closed": False})


def sign_in_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Make a new one-time link for a member."""
    return ask(settings, STAFF, "POST", f"{_path(chosen)}/sign-in")


def sign_out_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Let nothing that a member has let anybody in any more."""
    return ask(settings, STAFF, "DELETE", f"{_path(chosen)}/sign-ins")


def list_changes(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Tell what was decided about a member, newest first."""
    page = ask(settings, STAFF, "GET", f"{_path(chosen)}/changes?page_size=200")
    changes = msgspec.convert(page["changes"], list[dict[str, object]])
    return {str(change.pop("at")): change for change in changes}


def list_entries(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """List the newest entries of the ledger."""
    query = f"?page_size={chosen.most}"
    if chosen.text is not None:
        query += f"&text={quote(chosen.text, safe='')}"
    page = ask(settings, STAFF, "GET", _ENTRIES + query)
    entries = msgspec.convert(page["entries"], list[dict[str, object]])
    return {str(entry.pop("id")): _told(entry) for entry in entries}


def book_entry(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Book an entry by hand, all of it or nothing."""
    body = {
        "postings": read_postings(read_given(chosen.file), chosen.file),
        "reason": chosen.reason,
    }
    return _told(ask(settings, STAFF, "POST", _ENTRIES, body, key=chosen.key))


def correct_entry(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Take an entry back by its counter-entry."""
    path = f"{_ENTRIES}/{quote(chosen.entry, safe='')}/correct"
    # An entry is corrected once: whoever tries again need not name her wish.
    key = secrets.token_urlsafe()
    return _told(ask(settings, STAFF, "POST", path, {"reason": chosen.reason}, key=key))


def book_mass_entry(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Book one entry for many members, all of it or nothing; or look ahead at it."""
    body: dict[str, object] = {"reason": chosen.reason}
    if chosen.each is not None:
        body["each"] = _read_number(chosen.each, "--each")
    if chosen.only is not None:
        body["accounts"] = read_accounts(read_given(chosen.only), chosen.only)
    if chosen.file is not None:
        body["postings"] = read_postings(read_given(chosen.file), chosen.file)
    if chosen.preview:
        return _foreseen(ask(settings, STAFF, "POST", f"{_MASS}/preview", body))
    if chosen.key is None:
        raise DataError("say --key, a name of your own for this wish, or --preview")
    return ask(settings, STAFF, "POST", _MASS, body, key=chosen.key)


def _foreseen(answer: Mapping[str, Any]) -> Mapping[str, object]:
    """Say a line for each member; exit code 1 when somebody stands in the way."""
    told: dict[str, object] = {
        line["account"]: {
            name: line[key]
            for name, key in (
                ("name", "name"),
                ("amount", "amount"),
                ("balance_after", "balance_after"),
                ("refused", "code"),
            )
            if line[key] is not None
        }
        for line in answer["lines"]
    }
    told["fund"] = {
        "amount": answer["fund_amount"],
        "balance_after": answer["fund_after"],
    }
    told["may_be_booked"] = answer["may_be_booked"]
    if not answer["may_be_booked"]:
        raise FoundError(told)
    return told


def limit_members(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Set the limits that a CSV file says, all or none; or look ahead at it."""
    body = {"csv": read_given(chosen.file), "reason": chosen.reason}
    foreseen: Mapping[str, Any] = ask(
        settings, STAFF, "POST", f"{_LIMITS}/preview", body
    )
    if foreseen["wrong"]:
        raise FoundError(
            {f"line_{row['row']}": row["told"] for row in foreseen["wrong"]}
        )
    answer: Mapping[str, Any] = foreseen
    if not chosen.preview:
        answer = ask(settings, STAFF, "POST", _LIMITS, body)
    told: dict[str, object] = {one.pop("account"): one for one in answer["changed"]}
    return {**told, "changed": len(answer["changed"]), "unchanged": answer["unchanged"]}


def read_accounts(text: str, name: str) -> list[str]:
    """Read accounts from a small CSV file; first line: ``account``.

    Raises:
        DataError: the first line that is wrong.
    """
    lines = text.splitlines()
    if not lines or lines[0].strip() != "account":
        found = lines[0][:80] if lines else ""
        raise DataError(f"{name}, line 1: found {found!r}; expected account")
    accounts = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            accounts.append(str(read_account(line.strip())))
        except MalformedMessageError as error:
            raise DataError(f"{name}, line {number}: {error}") from None
    return accounts


def read_postings(text: str, name: str) -> list[dict[str, object]]:
    """Read postings from a small CSV file; first line: ``account,amount``.

    Raises:
        DataError: the first line that is wrong; what they come to is not looked at.
    """
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    postings: list[dict[str, object]] = []
    try:
        header = ",".join(next(rows, []))
        if header != "account,amount":
            found = f"found {header[:80]!r}"
            raise DataError(f"{name}, line 1: {found}; expected account,amount")
        for row in rows:
            if not any(row):
                continue
            where = f"{name}, line {rows.line_num}"
            if len(row) != 2:
                raise DataError(f"{where}: found {len(row)} columns; expected 2")
            postings.append({"account": row[0], "amount": _read_number(row[1], where)})
    except csv.Error as error:
        raise DataError(f"{name}, line {rows.line_num}: {error}") from None
    return postings


def _change(
    settings: Settings, chosen: argparse.Namespace, wished: Mapping[str, object]
) -> Mapping[str, object]:
    if chosen.reason is not None:
        wished = {**wished, "reason": chosen.reason}
    return _plain(ask(settings, STAFF, "PATCH", _path(chosen), wished))


def _path(chosen: argparse.Namespace) -> str:
    try:
        return f"{_MEMBERS}/{read_account(chosen.account)}"
    except MalformedMessageError as error:
        raise DataError(str(error)) from None


def _told(entry: Mapping[str, object]) -> dict[str, object]:
    """Say an entry on one line: what it moved by account, and what else is known."""
    postings = msgspec.convert(entry["postings"], list[dict[str, object]])
    moved = ", ".join(f"{one['account']} {one['amount']}" for one in postings)
    known = {name: value for name, value in entry.items() if value is not None}
    return {**known, "postings": moved}


def _plain(answer: Mapping[str, object]) -> Mapping[str, object]:
    """Leave out the unit, which whoever types here knows."""
    return {name: value for name, value in answer.items() if name != "unit"}


def _read_limit(option: str, text: str) -> int | None:
    return None if text == NO_LIMIT else _read_number(text, option)


def _read_number(text: str, where: str) -> int:
    digits = text.removeprefix("-")
    is_number = digits.isascii() and digits.isdecimal()
    if not is_number or len(digits) > _LIMIT_DIGITS_MAX:
        raise DataError(f"{where}: found {text!r}; expected whole minor units")
    return int(text)
