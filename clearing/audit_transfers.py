"""The transfers' part in the hub's audit: each row against the signed lines it is from.

What a transfer says was asked must stand in the very prepare that it names by hash, as
the hub offered it on; and the answer that it names must carry the accept which cleared
it. That these lines are what was signed is looked at in ``audit_streams``, so here they
are read without ceremony.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TypeVar

import msgspec

from clearing import audit_store
from clearing.audit_store import AnsweredTransfer, AskedTransfer
from protocol.messages import line_hash
from protocol.peer.audit_pages import look_in_pages
from protocol.peer.audit_store import Finding, finding
from protocol.peer.database import AnyConnection

NAME = "transfers_are_as_they_were_asked"
TOLD = "Every transfer says what its prepare says, and names its offer and answer."
_ROWS_AT_ONCE = 500
_ASKED = (
    "id",
    "payer_group",
    "payee_group",
    "milliseconds",
    "payer_rate",
    "payee_rate",
    "decide_by",
    "refund_of",
    "content",
)


class _Carrying(msgspec.Struct):
    """An item that carries another one."""

    type: str
    line: str


class _Prepare(msgspec.Struct):
    """What a transfer keeps of its prepare."""

    id: str
    payer_group: str
    payee_group: str
    milliseconds: int
    payer_rate: int
    payee_rate: int
    decide_by: str
    refund_of: str | None
    content: str


class _Accept(msgspec.Struct):
    """What clears a transfer."""

    id: str
    prepare: str


_carrying_decoder = msgspec.json.Decoder(_Carrying)
_prepare_decoder = msgspec.json.Decoder(_Prepare)
_accept_decoder = msgspec.json.Decoder(_Accept)
_Read = TypeVar("_Read")
_Row = TypeVar("_Row")


async def walk(
    connection: AnyConnection,
) -> AsyncGenerator[tuple[float, list[Finding]]]:
    """Walk all transfers; gives how much is done, of 1, and what was found there."""
    # Asked and answered: each is looked at up to twice.
    of, before, done = 2 * await audit_store.count_transfers(connection), 0, 0
    for steps in (
        _look_along(
            connection, audit_store.READ_OFFERED, AskedTransfer, _look_at_offered
        ),
        _look_along(
            connection, audit_store.READ_UNOFFERED, AskedTransfer, _look_at_unoffered
        ),
        _look_along(
            connection, audit_store.READ_ANSWERED, AnsweredTransfer, _look_at_answered
        ),
    ):
        before, done = before + done, 0
        async for done, found in steps:
            yield (before + done) / of, found


def _look_along(
    connection: AnyConnection,
    sql: str,
    make: Callable[..., _Row],
    look_at: Callable[[_Row], Iterator[Finding]],
) -> AsyncGenerator[tuple[int, list[Finding]]]:
    def look_at_page(page: list[_Row]) -> list[Finding]:
        return [one for row in page for one in look_at(row)]

    async def look(page: list[_Row]) -> list[Finding]:
        # In a thread, all of it is computing: groups are answered meanwhile.
        return await asyncio.to_thread(look_at_page, page)

    return look_in_pages(connection, sql, (), _ROWS_AT_ONCE, make, look)


def _look_at_offered(row: AskedTransfer) -> Iterator[Finding]:
    carried = _carried(row.line, "transfer.offer")
    if carried is None or line_hash(carried) != row.prepare:
        found = f"item_number {row.item_number}, {_told(row.line, carried)}"
        expected = f"item_number of the offer of prepare {row.prepare}"
        yield finding(NAME, "transfer", row.id, found, expected)
        return
    yield from _compare(row, carried)


def _look_at_unoffered(row: AskedTransfer) -> Iterator[Finding]:
    if row.line is not None:
        yield from _compare(row, row.line)
    elif row.prepare:
        found, expected = f"prepare {row.prepare}", "prepare of a line that came"
        yield finding(NAME, "transfer", row.id, found, expected)
    else:
        # Nobody asked for it; the id alone is remembered.
        for name in ("milliseconds", "payer_rate", "payee_rate"):
            if kept := getattr(row, name):
                yield finding(NAME, "transfer", row.id, f"{name} {kept}", f"{name} 0")


def _look_at_answered(row: AnsweredTransfer) -> Iterator[Finding]:
    carried = _carried(row.line, "transfer.answer")
    if carried is None or line_hash(carried) != row.answer:
        found = f"answer_number {row.answer_number}, {_told(row.line, carried)}"
        expected = f"answer_number of the answer with accept {row.answer}"
        yield finding(NAME, "transfer", row.id, found, expected)
        return
    accept = _read(carried, _accept_decoder)
    if accept is None or (accept.id, accept.prepare) != (row.id, row.prepare):
        found, expected = f"answer {row.answer}", "answer to this transfer's prepare"
        yield finding(NAME, "transfer", row.id, found, expected)


def _compare(row: AskedTransfer, line: bytes) -> Iterator[Finding]:
    """Compare what a transfer says with what its prepare says."""
    prepare = _read(line, _prepare_decoder)
    if prepare is None:
        found = f"prepare {row.prepare}, which is none"
        yield finding(NAME, "transfer", row.id, found, "the name of a prepare")
        return
    for name in _ASKED:
        kept, asked = getattr(row, name), getattr(prepare, name)
        if kept != asked:
            told = f"{name} {_or_none(kept)}", f"{name} {_or_none(asked)}"
            yield finding(NAME, "transfer", row.id, *told)


def _or_none(value: object) -> object:
    return "none" if value is None else value


def _read(line: bytes, decoder: msgspec.json.Decoder[_Read]) -> _Read | None:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _carried(line: bytes | None, type_: str) -> bytes | None:
    item = None if line is None else _read(line, _carrying_decoder)
    if item is None or item.type != type_:
        return None
    return item.line.encode("utf-8", "replace")


def _told(line: bytes | None, carried: bytes | None) -> str:
    if line is None:
        return "which was never sent"
    return "another item" if carried is None else f"which carries {line_hash(carried)}"
