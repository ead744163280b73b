"""Makers of parties, items and bodies that are right until a test says otherwise."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from protocol import ask, directory, envelope, inquiry, messages, sealing
from protocol.address import HUB, FederationId, Group, TransferId, federation_id
from protocol.base64url import write_base64url
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.keyring import KeyPeriod, Keyring, SigningKey, key_hash
from protocol.unit import Quote

ROOT = pathlib.Path(__file__).parent.parent.parent
#: Vectors of others, beside the repository and never in it.
OTHERS_VECTORS = ROOT.parent / "shared" / "vectors"

OOSTENDE = Group("oostende")
MECHELEN = Group("mechelen")
AT = "2026-11-23T02:59:01.123Z"
ID = TransferId("0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b")


def others(name: str) -> pathlib.Path:
    """Give a file of public vectors, or skip the test with the reason."""
    path = OTHERS_VECTORS / name
    if not path.exists():
        pytest.skip(f"no public vectors here: ../shared/vectors/{name}")
    return path


def seed(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()


def signing_key(label: str) -> SigningKey:
    return SigningKey(seed(f"signing key of {label}"))


def sealing_key(label: str) -> sealing.SealingKey:
    return sealing.SealingKey(seed(f"sealing key of {label}"))


def hash_of(label: str) -> str:
    return write_base64url(seed(label))


def life_of(label: str) -> str:
    return write_base64url(seed(label)[:8])


FEDERATION: FederationId = federation_id(
    Group("lets-belgium"), key_hash(signing_key("the root").public)
)


def residue(quoted: Quote, payer_rate: int) -> int:
    """What the conversion account keeps of a payment, milliseconds: value(Y) - S."""
    return quoted.payer_amount * payer_rate - quoted.milliseconds


def keyring(first: int = 1, last: int | None = None) -> Keyring:
    """Everyone's signing key; Oostende's with the period that a test gives."""
    return Keyring(
        [
            KeyPeriod(HUB, signing_key("hub").public),
            KeyPeriod(MECHELEN, signing_key("mechelen").public),
            KeyPeriod(OOSTENDE, signing_key("oostende").public, first, last),
        ]
    )


def prepare(**changes: Any) -> messages.TransferPrepare:
    fields: dict[str, Any] = {
        "id": ID,
        "payer_group": OOSTENDE,
        "payee_group": MECHELEN,
        "milliseconds": 180_000,
        "payer_rate": 1,
        "payee_rate": 1,
        "decide_by": AT,
        "refund_of": None,
        "checkpoint": messages.Checkpoint(life_of("log"), 7, hash_of("log of 7")),
        "content": hash_of("content"),
    }
    return messages.TransferPrepare(**(fields | changes))


def every_item() -> dict[str, messages.AnyItem]:
    """One good item of every kind that version 1 knows."""
    signed = directory.sign_entry(group_entry(), signing_key("oostende"))
    proof = {
        "line": messages.write_line(prepare()).decode(),
        "index": 0,
        "path": [hash_of("sibling")],
        "envelope": "a.b.c",
    }
    log = life_of("log")
    return {
        "transfer.prepare": prepare(),
        "transfer.offer": messages.TransferOffer(**proof),
        "transfer.answer": messages.TransferAnswer(**proof),
        "transfer.accept": messages.TransferAccept(id=ID, prepare=hash_of("prepare")),
        "transfer.refuse": messages.TransferRefuse(
            id=ID,
            prepare=hash_of("prepare"),
            code=RefusalCode.PAYEE_CANNOT_RECEIVE,
        ),
        "transfer.cancel": messages.TransferCancel(id=ID),
        "decision transfer": messages.TransferDecision(
            log=log,
            number=0,
            at=AT,
            id=ID,
            prepare=hash_of("prepare"),
            answer=hash_of("answer"),
            outcome="cleared",
            code=None,
        ),
        "decision directory": messages.DirectoryDecision(
            log=log,
            number=1,
            at=AT,
            group=OOSTENDE,
            entry=signed,
            state="active",
            floor=-1_000,
            ceiling=1_000,
            keys=[messages.KeySpan(signing_key("oostende").kid, 1, None)],
        ),
        "decision keys": messages.KeysDecision(
            log=log,
            number=2,
            at=AT,
            group=OOSTENDE,
            entry=signed,
            state="active",
            floor=-1_000,
            ceiling=1_000,
            keys=[messages.KeySpan(signing_key("oostende").kid, 1, None)],
            former=[],
            statement=None,
        ),
        "decision log": messages.LogDecision(log=log, number=0, at=AT, former=None),
        **cycle_items(log),
        "directory.propose": messages.DirectoryPropose(entry=signed),
        "key.change": messages.KeyChangeItem(entry=signed, statement=signed),
        "mirror": messages.Mirror(log=log, number=3, balance=-5),
        "item.refused": messages.ItemRefused(
            number=9, hash=hash_of("line"), code=ItemRefusalCode.UNREADABLE
        ),
    }


def cycle_items(log: str) -> dict[str, messages.AnyItem]:
    """One good item of each type that cycles and settlements need."""
    figures: dict[str, Any] = {
        "opening": 0,
        "debits": 360_000,
        "credits": 180_000,
        "count": 2,
        "closing": -180_000,
        "digest": hash_of("moves"),
    }
    statement = hash_of("statement")
    leg: dict[str, Any] = {
        "id": ID,
        "cycle": 1,
        "at": AT,
        "debtor": OOSTENDE,
        "creditor": MECHELEN,
        "milliseconds": 180_000,
    }
    shares = [
        messages.Share(MECHELEN, 1, None, -90_000),
        messages.Share(OOSTENDE, 1, None, -90_000),
    ]
    return {
        "decision cycle": messages.CycleDecision(
            log=log,
            number=12,
            at=AT,
            cycle=1,
            former=None,
            groups=2,
            statements=hash_of("statements"),
            reserve=0,
        ),
        "decision settlement": messages.SettlementDecision(
            log=log,
            number=14,
            **leg,
            paid=hash_of("paid"),
            received=hash_of("received"),
            outcome="settled",
            code=None,
        ),
        "decision shared": messages.SharedDecision(
            log=log,
            number=15,
            at=AT,
            id=ID,
            why="debt",
            cycle=1,
            group="ieper",
            rule="equal",
            plan=hash_of("plan"),
            rate=None,
            threshold=None,
            reserve=0,
            shares=shares,
        ),
        "shared.plan": messages.SharedPlan(
            id=ID, at=AT, cycle=1, group="ieper", rule="equal", shares=shares
        ),
        "cycle.statement": messages.CycleStatement(
            group=OOSTENDE,
            cycle=1,
            former=None,
            to=messages.DecisionName(log, 12),
            **figures,
            held_out=0,
            held_in=0,
        ),
        "cycle.agree": messages.CycleAgree(cycle=1, statement=statement),
        "cycle.dispute": messages.CycleDispute(cycle=1, statement=statement, **figures),
        "cycle.list": messages.CycleList(
            cycle=1,
            statement=statement,
            first=1,
            last=2,
            marks=[messages.CycleMark(2, hash_of("moves"))],
            moves=[
                messages.CycleMove(log, 4, ID, -360_000),
                messages.CycleMove(log, 7, ID, 180_000),
            ],
        ),
        "settlement.leg": messages.SettlementLeg(**leg),
        "settlement.paid": messages.SettlementPaid(id=ID, leg=hash_of("leg")),
        "settlement.received": messages.SettlementReceived(id=ID, leg=hash_of("leg")),
    }


def group_entry(**changes: Any) -> messages.GroupEntry:
    fields: dict[str, Any] = {
        "v": 1,
        "federation": FEDERATION,
        "group": OOSTENDE,
        "version": 1,
        "name": "LETS Oostende",
        "unit": messages.EntryUnit("blusser", "blussers", "bl", 0),
        "rates": [messages.EntryRate(1, 180_000)],
        "keys": [
            messages.EntryKey(
                "signing", write_base64url(signing_key("oostende").public)
            ),
            messages.EntryKey(
                "sealing", write_base64url(sealing_key("oostende").public)
            ),
            messages.EntryKey(
                "recovery", write_base64url(signing_key("oostende recovery").public)
            ),
        ],
    }
    return messages.GroupEntry(**(fields | changes))


def asked(**changes: Any) -> ask.Ask:
    """Bob in Mechelen asks for 5 of his unit."""
    fields: dict[str, Any] = {
        "v": 1,
        "federation": FEDERATION,
        "id": ID,
        "group": MECHELEN,
        "account": "bob",
        "name": "Bob",
        "amount": 5,
        "rate": 1,
        "memo": "twee broden",
        "at": AT,
        "until": "2026-12-07T02:59:01.123Z",
    }
    return ask.Ask(**(fields | changes))


def cover_payload(**changes: Any) -> envelope.CoverPayload:
    fields: dict[str, Any] = {
        "federation": FEDERATION,
        "from_": OOSTENDE,
        "to": HUB,
        "life": life_of("oostende"),
        "first": 4,
        "root": envelope.NOTHING_ROOT,
        "prev": hash_of("head"),
        "at": AT,
        "ack": 2,
        "ack_head": hash_of("hub's head"),
        "peer_life": life_of("hub"),
        "peer_at": AT,
        "checkpoint": None,
    }
    return envelope.CoverPayload(**(fields | changes))


def envelope_payload(
    lines: Sequence[bytes], **changes: Any
) -> envelope.EnvelopePayload:
    fields: dict[str, Any] = {
        "federation": FEDERATION,
        "from_": OOSTENDE,
        "to": HUB,
        "life": life_of("oostende"),
        "first": 1,
        "count": len(lines),
        "root": envelope.root_of(lines),
        "prev": messages.NOTHING_HASH,
        "at": AT,
    }
    return envelope.EnvelopePayload(**(fields | changes))


def three_lines() -> list[bytes]:
    return [
        messages.write_line(prepare()),
        messages.write_line(messages.TransferCancel(id=ID)),
        messages.write_line(every_item()["mirror"]),
    ]


def sealed_inquiry(**changes: Any) -> inquiry.SealedInquiry:
    """Oostende asks Mechelen who bob is."""
    fields: dict[str, Any] = {
        "inquiry": ID,
        "from_": OOSTENDE,
        "to": MECHELEN,
        "box": _box(
            inquiry.Inquiry(account="bob", name=None), OOSTENDE, f"inquiry {ID}"
        ),
    }
    return inquiry.SealedInquiry(**(fields | changes))


def sealed_answer(**changes: Any) -> inquiry.SealedAnswer:
    """Mechelen answers that bob is Bob."""
    payees = [inquiry.Payee(account="bob", name="Bob")]
    fields: dict[str, Any] = {
        "answer": ID,
        "from_": MECHELEN,
        "to": OOSTENDE,
        "box": _box(inquiry.InquiryAnswer(payees=payees), MECHELEN, f"answer {ID}"),
    }
    return inquiry.SealedAnswer(**(fields | changes))


def _box(content: msgspec.Struct, sender: Group, about: str) -> str:
    to = MECHELEN if sender == OOSTENDE else OOSTENDE
    # As long as nodes make them: every answer is as long as the longest.
    padded = 4096 if about.startswith("answer") else 512
    return sealing.outgoing(
        sealing_key(sender), sealing_key(to).public, FEDERATION, sender, to
    ).seal(messages.write_line(content), seed("nonce")[:24], about, padded)


def wire(
    lines: Sequence[bytes],
    *,
    key: SigningKey | None = None,
    cover: dict[str, Any] | None = None,
    behind_cover: Sequence[bytes] = (),
    sealed_lines: Sequence[bytes] = (),
    **changes: Any,
) -> bytes:
    """Write a body of Oostende's: a cover, and one envelope if there are lines."""
    signer = key or signing_key("oostende")
    out = [envelope.seal(cover_payload(**(cover or {})), signer)[0], *behind_cover]
    if lines:
        payload = envelope_payload(lines, **changes)
        out += [envelope.seal(payload, signer)[0], *lines, *sealed_lines]
    return b"".join(line + b"\n" for line in out)
