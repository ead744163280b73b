"""A cycle as a bank statement that bookkeeping programs read: ISO 20022 camt.053; pure.

Version ``camt.053.001.08`` (2019), the one that banks in Europe have changed over to.
The account is the group's own at the hub: its balance is the group's position, and a
member who pays another group is a debit. Its currency is ``XXX``, which ISO 4217 keeps
for what has none, and an amount is in hours.

The standard allows five digits behind the point, and some rates need more. So each
*balance* is rounded (halves up), and an amount is what lies between two of them: what
is written always adds up, and no amount is further off than 36 ms. The exact
milliseconds stand in each entry's references (decision 0057).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import msgspec

from nodes.cycle_sheet import CycleSheet, ToldMove
from protocol.errors import LedgerBrokenError
from protocol.instant import Instant, to_datetime, write_instant
from protocol.unit import HOUR

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
#: ISO 4217: transactions where no currency is involved.
CURRENCY = "XXX"
ISSUER = "Interlets"
_DIGITS = 5
_SHARES = 100_000
_SHARE = HOUR // _SHARES
#: What XML 1.0 has no way to write (section 2.2).
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_USTRD_MAX = 140
_NAME_MAX = 140


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose statement it is.

    Attributes:
        group: its name in addresses; also the account's number.
        name: as people read it.
        federation: whose hub keeps the account.
        zone: by whose clocks entries have their day.
    """

    group: str
    name: str
    federation: str
    zone: tzinfo


def write_camt053(
    account: Account, sheet: CycleSheet, moves: Iterable[ToldMove], now: Instant
) -> Iterator[bytes]:
    """Write the statement of a cycle, piece by piece.

    Args:
        account: whose.
        sheet: the cycle by our own ledger.
        moves: all of its moves in their order, told.
        now: when it is written.

    Raises:
        LedgerBrokenError: the moves are not those that the sheet adds up.
    """
    position = sheet.opening
    balances = [position]
    for move in sheet.moves:
        position += move.amount
        balances.append(position)
    if position != sheet.figures.closing:
        raise LedgerBrokenError(f"cycle {sheet.own.cycle}: the moves do not add up")
    shares = [_shares(one) for one in balances]
    yield _opening_tags().encode()
    yield _piece(_group_header(sheet, now))
    yield b"<Stmt>"
    for element in _statement(account, sheet, shares, now):
        yield _piece(element)
    expected = zip(sheet.moves, balances[1:], pairwise(shares), strict=True)
    for told, (move, position_after, (before, after)) in zip(
        moves, expected, strict=True
    ):
        if (told.move, told.position_after) != (move, position_after):
            raise LedgerBrokenError(f"move {told.place} is not what was added up")
        yield _piece(_entry(account, told, after - before))
    yield b"</Stmt></BkToCstmrStmt></Document>\n"


def _opening_tags() -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="{NAMESPACE}"><BkToCstmrStmt>'
    )


def _piece(element: Element) -> bytes:
    """Write an element; it is in the namespace that ``Document`` names."""
    return ElementTree.tostring(element, encoding="unicode").encode()


def _put(parent: Element, path: str, text: str) -> Element:
    """Put a text at the end of a chain of new elements, as ``Tp/CdOrPrtry/Cd``."""
    for tag in path.split("/"):
        parent = SubElement(parent, tag)
    parent.text = _UNWRITABLE.sub("\ufffd", text)
    return parent


def _group_header(sheet: CycleSheet, now: Instant) -> Element:
    header = Element("GrpHdr")
    _put(header, "MsgId", f"{_name(sheet)}-{sheet.figures.digest[:16]}")
    _put(header, "CreDtTm", write_instant(now))
    return header


def _name(sheet: CycleSheet) -> str:
    return f"cycle-{sheet.own.cycle}"


def _statement(
    account: Account, sheet: CycleSheet, shares: Sequence[int], now: Instant
) -> Iterator[Element]:
    """Give what stands before the entries, in the standard's order."""
    since = sheet.own.at if sheet.since is None else sheet.since
    yield _text("Id", _name(sheet))
    yield _text("ElctrncSeqNb", str(sheet.own.cycle))
    yield _text("CreDtTm", write_instant(now))
    if sheet.since is not None:
        period = Element("FrToDt")
        _put(period, "FrDtTm", write_instant(sheet.since))
        _put(period, "ToDtTm", write_instant(sheet.own.at))
        yield period
    yield _account(account)
    yield _balance("OPBD", shares[0], since, account.zone)
    yield _balance("CLBD", shares[-1], sheet.own.at, account.zone)
    yield _summary(shares, sheet)


def _text(tag: str, text: str) -> Element:
    element = Element(tag)
    element.text = text
    return element


def _account(account: Account) -> Element:
    shown = Element("Acct")
    _put(shown, "Id/Othr/Id", account.group)
    _put(shown, "Ccy", CURRENCY)
    _put(shown, "Nm", "clearing")
    _put(shown, "Ownr/Nm", account.name[:_NAME_MAX])
    _put(shown, "Svcr/FinInstnId/Nm", account.federation[:_NAME_MAX])
    return shown


def _balance(code: str, shares: int, at: Instant, zone: tzinfo) -> Element:
    balance = Element("Bal")
    _put(balance, "Tp/CdOrPrtry/Cd", code)
    _amount(balance, shares)
    _put(balance, "CdtDbtInd", _direction(shares))
    _put(balance, "Dt/Dt", _day(at, zone))
    return balance


def _summary(shares: Sequence[int], sheet: CycleSheet) -> Element:
    """Count and add up what is written, by direction."""
    pairs = [
        (move.amount, abs(after - before))
        for move, (before, after) in zip(sheet.moves, pairwise(shares), strict=True)
    ]
    gained = [share for amount, share in pairs if amount >= 0]
    lost = [share for amount, share in pairs if amount < 0]
    summary = Element("TxsSummry")
    for tag, found in (
        ("TtlNtries", [*gained, *lost]),
        ("TtlCdtNtries", gained),
        ("TtlDbtNtries", lost),
    ):
        total = SubElement(summary, tag)
        _put(total, "NbOfNtries", str(len(found)))
        _put(total, "Sum", _hours(sum(found)))
    return summary


def _entry(account: Account, told: ToldMove, shares: int) -> Element:
    move, known = told.move, told.entry
    reference, direction = move.id.replace("-", ""), _direction(move.amount)
    kind = "unknown" if known is None else known.kind
    entry = Element("Ntry")
    _put(entry, "NtryRef", str(told.place))
    _amount(entry, shares)
    _put(entry, "CdtDbtInd", direction)
    _put(entry, "Sts/Cd", "BOOK")
    if known is not None:
        _put(entry, "BookgDt/Dt", _day(known.at, account.zone))
        _put(entry, "ValDt/Dt", _day(known.at, account.zone))
    # A UUID with its dashes is one letter longer than a reference may be.
    _put(entry, "AcctSvcrRef", reference)
    code = SubElement(SubElement(entry, "BkTxCd"), "Prtry")
    _put(code, "Cd", kind)
    _put(code, "Issr", ISSUER)
    details = SubElement(SubElement(entry, "NtryDtls"), "TxDtls")
    _references(details, told, reference)
    _amount(details, shares)
    _put(details, "CdtDbtInd", direction)
    _parties(details, told)
    return entry


def _references(details: Element, told: ToldMove, reference: str) -> None:
    move, references = told.move, SubElement(details, "Refs")
    _put(references, "EndToEndId", reference)
    for kind, found in (
        ("milliseconds", move.amount),
        ("log", move.log),
        ("decision", move.number),
    ):
        if found is not None:
            own = SubElement(references, "Prtry")
            _put(own, "Tp", kind)
            _put(own, "Ref", str(found))


def _parties(details: Element, told: ToldMove) -> None:
    """Say who paid whom, and for what, as far as our ledger tells."""
    known = told.entry
    if known is None:
        return
    if known.payer or known.payee:
        parties = SubElement(details, "RltdPties")
        for tag, name in (("Dbtr", known.payer), ("Cdtr", known.payee)):
            if name:
                _put(parties, f"{tag}/Pty/Nm", name[:_NAME_MAX])
    if known.text:
        about = SubElement(details, "RmtInf")
        for begin in range(0, len(known.text), _USTRD_MAX):
            _put(about, "Ustrd", known.text[begin : begin + _USTRD_MAX])


def _amount(parent: Element, shares: int) -> None:
    amount = SubElement(parent, "Amt", Ccy=CURRENCY)
    amount.text = _hours(abs(shares))


def _direction(signed: int) -> str:
    return "DBIT" if signed < 0 else "CRDT"


def _shares(milliseconds: int) -> int:
    """Round to the smallest share of an hour that can be written, halves up."""
    return (milliseconds + _SHARE // 2) // _SHARE


def _hours(shares: int) -> str:
    """Write shares of an hour: at least two digits behind the point, as programs do."""
    whole, part = divmod(shares, _SHARES)
    text = f"{part:0{_DIGITS}d}"
    return f"{whole}.{text[:2]}{text[2:].rstrip('0')}"


def _day(at: Instant, zone: tzinfo) -> str:
    return f"{to_datetime(at).astimezone(zone):%Y-%m-%d}"
