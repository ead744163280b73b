"""Members from a small CSV file of our own form, read whole or not at all.

First line: ``account,name,password,floor,ceiling``. Limits are whole minor
units; an empty one means no limit.
"""

import csv
import io

import msgspec

from nodes.rules import NewMember, is_reserved
from protocol.address import read_account, read_display_name
from protocol.errors import MalformedMessageError
from protocol.peer.access_store import PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN
from protocol.peer.command_line import DataError
from protocol.unit import AMOUNT_MAX

COLUMNS = ["account", "name", "password", "floor", "ceiling"]


class MemberLine(msgspec.Struct, frozen=True):
    """One member of the file."""

    member: NewMember
    password: str


def read_members(text: str, name: str) -> list[MemberLine]:
    """Read the whole file.

    Args:
        text: the file's text.
        name: the file's name, for errors.

    Raises:
        DataError: the first line that is wrong, what was found, what was
            expected; a password is never repeated.
    """
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    members: dict[str, MemberLine] = {}
    try:
        header = next(rows, [])
        if header != COLUMNS:
            # Not repeated: without a header the first line holds a password.
            raise DataError(
                f"{name}, line 1: found {len(header)} columns with other names; "
                f"expected {','.join(COLUMNS)}"
            )
        for row in rows:
            if not any(row):
                continue
            where = f"{name}, line {rows.line_num}"
            line = _read_line(row, where)
            if line.member.account_id in members:
                raise DataError(f"{where}: {line.member.account_id} is there twice")
            members[line.member.account_id] = line
    except csv.Error as error:
        raise DataError(f"{name}, line {rows.line_num}: {error}") from None
    return list(members.values())


def _read_line(row: list[str], where: str) -> MemberLine:
    if len(row) != len(COLUMNS):
        raise DataError(
            f"{where}: found {len(row)} columns; expected {len(COLUMNS)}: "
            f"{','.join(COLUMNS)}"
        )
    account, display_name, password, floor_text, ceiling_text = row
    try:
        read_account(account)
        read_display_name(display_name)
        floor, ceiling = (
            _read_limit("floor", floor_text),
            _read_limit("ceiling", ceiling_text),
        )
    except MalformedMessageError as error:
        raise DataError(f"{where}: {error}") from None
    if is_reserved(account):
        raise DataError(f"{where}: the name {account!r} is one of the node's own")
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise DataError(
            f"{where}: found a password of {len(password)} characters; "
            f"expected {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX}"
        )
    _check_limits(floor, ceiling, where)
    member = NewMember(
        account_id=account, name=display_name, floor=floor, ceiling=ceiling
    )
    return MemberLine(member, password)


def _read_limit(field: str, text: str) -> int | None:
    if text == "":
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 13):
        raise MalformedMessageError(field, text, "a whole number, or nothing")
    if int(digits) > AMOUNT_MAX:
        raise MalformedMessageError(field, text, "at most 10^12")
    return int(text)


def _check_limits(floor: int | None, ceiling: int | None, where: str) -> None:
    if (floor or 0) > 0 or (ceiling or 0) < 0:
        raise DataError(
            f"{where}: found limits {floor} and {ceiling}; a new account stands at "
            "0, so the floor is 0 or lower and the ceiling 0 or higher"
        )
