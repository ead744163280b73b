"""A cycle as a bank statement: as the standard has it, and adding up to the last digit.

The order, what must be there and how long it may be are written down here by hand from
ISO's own schema of 14 February 2019; files of this writer were also tried against that
schema itself (decision 0057).
"""

import itertools
import random
import re
from collections.abc import Iterator
from datetime import UTC
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

import msgspec
import pytest

from nodes.camt053 import Account, write_camt053
from nodes.cycle_sheet import CycleSheet, ToldEntry, ToldMove, told_moves
from nodes.rules import OwnCycle
from protocol.errors import LedgerBrokenError
from protocol.instant import read_instant
from protocol.messages import CycleMove, DecisionName
from tests.peer.makers import LOG
from tests.protocol.makers import FEDERATION, ID, OOSTENDE

HOUR = 3_600_000
SPACE = "{urn:iso:std:iso:20022:tech:xsd:camt.053.001.08}"
NOW = read_instant("2026-12-01T08:00:00.000Z")
#: Just before midnight in Greenwich, and the next day in Brussels.
LATE = read_instant("2026-11-23T23:30:00.000Z")
#: The children of each element in their order: "!" must be there, "*" may be many.
ORDER = {
    "Document": "BkToCstmrStmt!",
    "BkToCstmrStmt": "GrpHdr! Stmt!*",
    "GrpHdr": "MsgId! CreDtTm!",
    "Stmt": "Id! ElctrncSeqNb CreDtTm FrToDt Acct! Bal!* TxsSummry Ntry*",
    "FrToDt": "FrDtTm! ToDtTm!",
    "Acct": "Id! Ccy Nm Ownr Svcr",
    "Acct/Id": "Othr!",
    "Othr": "Id!",
    "Ownr": "Nm",
    "Svcr": "FinInstnId!",
    "FinInstnId": "Nm",
    "Bal": "Tp! Amt! CdtDbtInd! Dt!",
    "Bal/Tp": "CdOrPrtry!",
    "CdOrPrtry": "Cd!",
    "Dt": "Dt!",
    "TxsSummry": "TtlNtries TtlCdtNtries TtlDbtNtries",
    "TtlNtries": "NbOfNtries Sum",
    "TtlCdtNtries": "NbOfNtries Sum",
    "TtlDbtNtries": "NbOfNtries Sum",
    "Ntry": "NtryRef Amt! CdtDbtInd! Sts! BookgDt ValDt AcctSvcrRef BkTxCd! NtryDtls*",
    "Sts": "Cd!",
    "BookgDt": "Dt!",
    "ValDt": "Dt!",
    "BkTxCd": "Prtry",
    "BkTxCd/Prtry": "Cd! Issr",
    "NtryDtls": "TxDtls*",
    "TxDtls": "Refs Amt CdtDbtInd RltdPties RmtInf",
    "Refs": "EndToEndId Prtry*",
    "Refs/Prtry": "Tp! Ref!",
    "RltdPties": "Dbtr Cdtr",
    "Dbtr": "Pty!",
    "Cdtr": "Pty!",
    "Pty": "Nm",
    "RmtInf": "Ustrd*",
}
AMOUNT = r"(?=.{1,19}$)[0-9]+\.[0-9]{1,5}"
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
MOMENT = DAY + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
#: What stands in an element without children, by its parent where names are shared.
TEXTS = {
    **dict.fromkeys(("MsgId", "Stmt/Id", "NtryRef", "AcctSvcrRef"), ".{1,35}"),
    **dict.fromkeys(("EndToEndId", "Refs/Prtry/Tp", "Ref", "Issr"), ".{1,35}"),
    "BkTxCd/Prtry/Cd": ".{1,35}",
    "Othr/Id": ".{1,34}",
    "Acct/Nm": ".{1,70}",
    **dict.fromkeys(("Ownr/Nm", "FinInstnId/Nm", "Pty/Nm"), ".{1,140}"),
    "Ustrd": "(?s:.{1,140})",
    "Ccy": "[A-Z]{3}",
    "Amt": AMOUNT,
    "Sum": AMOUNT,
    "NbOfNtries": "[0-9]{1,15}",
    "ElctrncSeqNb": "[0-9]{1,18}",
    "CdtDbtInd": "CRDT|DBIT",
    "CdOrPrtry/Cd": "OPBD|CLBD",
    "Sts/Cd": "BOOK",
    "Dt/Dt": DAY,
    "BookgDt/Dt": DAY,
    "ValDt/Dt": DAY,
    **dict.fromkeys(("CreDtTm", "FrDtTm", "ToDtTm"), MOMENT),
}


def check(element: Element, way: tuple[str, ...] = ()) -> None:
    """See that an element is as the standard has it, with all that is in it."""
    assert element.tag.startswith(SPACE)
    way = (*way, element.tag.removeprefix(SPACE))
    names = ["/".join(way[-length:]) for length in (3, 2, 1)]
    order = next((ORDER[name] for name in names if name in ORDER), None)
    pattern = next((TEXTS[name] for name in names if name in TEXTS), None)
    if pattern is not None and not len(element):
        assert re.fullmatch(pattern, element.text or ""), (way, element.text)
    else:
        assert order is not None and not (element.text or "").strip(), way
        check_order([one.tag.removeprefix(SPACE) for one in element], order, way)
    expected = {"Ccy": "XXX"} if way[-1] == "Amt" else {}
    assert element.attrib == expected, way
    for child in element:
        check(child, way)


def check_order(found: list[str], order: str, way: tuple[str, ...]) -> None:
    pattern = "".join(
        f"(?:{name.rstrip('!*')} )"
        + {"!": "", "*": "*", "!*": "+", "": "?"}[name[len(name.rstrip("!*")) :]]
        for name in order.split()
    )
    assert re.fullmatch(pattern, "".join(f"{one} " for one in found)), (way, found)


ACCOUNT = Account(
    group=OOSTENDE,
    name="LETS Oostende & omstreken",
    federation=FEDERATION,
    zone=ZoneInfo("Europe/Brussels"),
)


def move(number: int, milliseconds: int) -> CycleMove:
    return CycleMove(LOG, number, f"{ID[:-4]}{number:04x}", milliseconds)


def sheet(*amounts: int, opening: int = 0, **changes: Any) -> CycleSheet:
    moves = [move(number, amount) for number, amount in enumerate(amounts, start=1)]
    fields: dict[str, Any] = {"cycle": 3, "name": DecisionName(LOG, 99), "at": LATE}
    own = OwnCycle(**(fields | {"former": None}))
    since = read_instant("2026-11-01T00:00:00.000Z")
    made = CycleSheet.of(own, since, opening, moves)
    return msgspec.structs.replace(made, **changes)


def told(shown: CycleSheet, **changes: Any) -> list[ToldMove]:
    fields: dict[str, Any] = {
        "at": LATE,
        "kind": "transfer",
        "payer": "marie@oostende",
        "payee": "bob@mechelen",
        "text": "eggs",
    }
    entry = ToldEntry(**(fields | changes))
    known = {one.id: entry for one in shown.moves}
    return told_moves(shown, known, 1, len(shown.moves))


def written(shown: CycleSheet, moves: list[ToldMove] | None = None) -> Element:
    raw = b"".join(
        write_camt053(ACCOUNT, shown, told(shown) if moves is None else moves, NOW)
    )
    root = ElementTree.fromstring(raw)
    check(root)
    return root


def texts(root: Element, way: str) -> list[str]:
    path = "/".join(SPACE + tag for tag in way.split("/"))
    return [one.text or "" for one in root.iterfind(f".//{path}")]


def shares(element: Element) -> int:
    """Read an amount with its direction, in hundred-thousandths of an hour."""
    whole, _, part = texts(element, "Amt")[0].partition(".")
    found = int(whole + part.ljust(5, "0"))
    return -found if texts(element, "CdtDbtInd")[0] == "DBIT" else found


def each(root: Element, tag: str) -> Iterator[Element]:
    return root.iter(SPACE + tag)


def test_a_statement_is_read_as_people_would_read_it() -> None:
    root = written(sheet(-2 * HOUR, HOUR // 2, opening=HOUR))
    opening, closing = each(root, "Bal")
    assert texts(opening, "Cd") == ["OPBD"] and texts(closing, "Cd") == ["CLBD"]
    assert (texts(opening, "Amt"), texts(opening, "CdtDbtInd")) == (["1.00"], ["CRDT"])
    assert (texts(closing, "Amt"), texts(closing, "CdtDbtInd")) == (["0.50"], ["DBIT"])
    first, second = each(root, "Ntry")
    # Who pays another group takes from the group's account, as at a bank.
    assert texts(first, "CdtDbtInd")[0] == "DBIT"
    assert (texts(first, "Amt")[0], texts(second, "Amt")[0]) == ("2.00", "0.50")
    assert texts(first, "EndToEndId") == [f"{ID[:-4]}0001".replace("-", "")]
    assert texts(first, "Refs/Prtry/Ref") == [str(-2 * HOUR), LOG, "1"]
    assert texts(first, "Pty/Nm") == ["marie@oostende", "bob@mechelen"]
    # By the clocks of those who read it.
    assert texts(first, "BookgDt/Dt") == ["2026-11-24"]
    assert texts(root, "TtlDbtNtries/Sum") == ["2.00"]
    assert texts(root, "TtlNtries/Sum") == ["2.50"]
    assert texts(root, "TtlNtries/NbOfNtries") == ["2"]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_moved_what_is_written_adds_up(seed: int) -> None:
    draw = random.Random(seed)
    # Three blussers of seven an hour come to nothing that five digits can write.
    amounts = [
        draw.choice([1, 17, 18, 19, HOUR // 7 * 3, 60_000, draw.randrange(10**12)])
        * draw.choice([1, -1])
        for _ in range(draw.randrange(40))
    ]
    shown = sheet(*amounts, opening=draw.randrange(-(10**12), 10**12))
    root = written(shown)
    opening, closing = map(shares, each(root, "Bal"))
    entries = [shares(one) for one in each(root, "Ntry")]
    assert opening + sum(entries) == closing
    for entry, amount in zip(entries, amounts, strict=True):
        assert abs(entry * 36 - amount) <= 36
    for balance, exact in ((opening, shown.opening), (closing, shown.figures.closing)):
        assert abs(balance * 36 - exact) <= 18
    exact = [int(one) for one in texts(root, "Refs/Prtry/Ref")[::3]]
    assert exact == amounts


def test_a_cycle_in_which_nothing_moved_has_two_balances_and_no_entry() -> None:
    root = written(sheet(opening=-HOUR))
    assert [shares(one) for one in each(root, "Bal")] == [-100_000, -100_000]
    assert list(each(root, "Ntry")) == []
    assert texts(root, "TtlNtries/Sum") == ["0.00"]


def test_where_nobody_knows_when_it_began_no_period_is_told() -> None:
    root = written(sheet(HOUR, since=None))
    assert list(each(root, "FrToDt")) == []


@pytest.mark.parametrize(
    "text",
    [
        "<Amt>&amp;]]></Amt>",
        "é" * 500,
        "a\nb \U0001f955",
        "\x00\x1b\ufffe\ufffe",
        " ",
        "",
    ],
)
def test_whatever_members_write_stays_text(text: str) -> None:
    shown = sheet(HOUR)
    root = written(shown, told(shown, text=text))
    expected = re.sub("[\x00\x1b\ufffe]", "\ufffd", text)
    assert "".join(texts(root, "Ustrd")) == expected


def test_an_entry_that_our_ledger_does_not_tell_of_stands_all_the_same() -> None:
    shown = sheet(HOUR)
    [entry] = each(written(shown, told_moves(shown, {}, 1, 1)), "Ntry")
    assert texts(entry, "BkTxCd/Prtry/Cd") == ["unknown"]
    assert shares(entry) == 100_000 and texts(entry, "Nm") == []


def test_the_longest_names_fit() -> None:
    shown = sheet(HOUR)
    name = f"{'v' * 32}@{'w' * 32}"
    long = msgspec.structs.replace(ACCOUNT, group="g" * 32, name="N" * 80)
    moves = told(shown, payer=name, payee=name, kind="settlement")
    raw = b"".join(write_camt053(long, shown, moves, NOW))
    check(ElementTree.fromstring(raw))


@pytest.mark.parametrize(
    "moves",
    [
        lambda all_: all_[::-1],
        lambda all_: [msgspec.structs.replace(all_[0], position_after=0), *all_[1:]],
        lambda all_: [msgspec.structs.replace(all_[0], move=move(1, 5)), *all_[1:]],
    ],
)
def test_moves_that_are_not_those_of_the_sheet_are_not_written(moves: Any) -> None:
    shown = sheet(HOUR, 2 * HOUR)
    with pytest.raises(LedgerBrokenError):
        written(shown, moves(told(shown)))


def test_a_sheet_that_does_not_add_up_is_not_written() -> None:
    good = sheet(HOUR)
    wrong = msgspec.structs.replace(good.figures, closing=5)
    with pytest.raises(LedgerBrokenError):
        written(msgspec.structs.replace(good, figures=wrong))


def test_the_same_is_written_by_every_clock_but_for_days() -> None:
    shown = sheet(HOUR, -1, 5)
    utc = msgspec.structs.replace(ACCOUNT, zone=UTC)
    ours, theirs = (
        b"".join(write_camt053(account, shown, told(shown), NOW))
        for account in (ACCOUNT, utc)
    )
    pairs = itertools.zip_longest(ours.split(b">"), theirs.split(b">"))
    differing = {pair for pair in pairs if pair[0] != pair[1]}
    assert differing == {(b"2026-11-24</Dt", b"2026-11-23</Dt")}
