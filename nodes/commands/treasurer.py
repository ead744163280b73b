"""A treasurer's commands that need the clerk: they ask the running node.

Names, balances and entries come back as the API words them; amounts are minor units.
"""

import argparse
import csv
import io
import secrets
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from nodes.commands.node import STAFF
from protocol.address import read_account
from protocol.errors import MalformedMessageError
from protocol.peer.command_line import DataError, read_given
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings

_MEMBERS = "/api/v1/members"
_ENTRIES = "/api/v1/group/entries"
#: What a limit is called on the command line when there is none.
NO_LIMIT = "none"
_LIMIT_DIGITS_MAX = 13


def add_member(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Admit a member."""
    body = {
        "account": chosen.account,
        "name": chosen.name,
        "floor": _read_limit("--floor", chosen.floor),
        "ceiling": _read_limit("--ceiling", chosen.ceiling),
    }
    return _plain(ask(settings, STAFF, "POST", _MEMBERS, body))


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
    """Close an empty account."""
    return _change(settings, chosen, {"closed": True})


def open_member(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Open an account that was closed."""
    return _change(settings, chosen, {"closed": False})


def sign_in_member(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Make a new one-time link for a member."""
    return ask(settings, STAFF, "POST", f"{_path(chosen)}/sign-in")


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


def read_postings(text: str, name: str) -> list[dict[str, object]]:
    """Read postings from a small CSV file; first line: ``account,amount``.

    Raises:
        DataError: the first line that is wrong; what they come to is not looked at.
    """
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    postings: list[dict[str, object]] = []
    try:
        if next(rows, []) != ["account", "amount"]:
            raise DataError(f"{name}, line 1: expected account,amount")
        for row in rows:
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
