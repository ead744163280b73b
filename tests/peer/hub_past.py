"""A hub's database after many transfers, in the shape that a test asks for.

Everything is as real as a hub's: items are signed, chained and proved, decisions are
leaves under signed checkpoints. Nothing ran to make it: half a million transfers
would take an hour, and here they take some minutes.
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol import envelope
from protocol.address import HUB, Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree, write_checkpoint
from protocol.directory import Directory, fold
from protocol.instant import read_instant, to_datetime
from protocol.merkle import Frontier, leaf_hash
from protocol.messages import (
    NOTHING_HASH,
    Item,
    LogDecision,
    TransferAccept,
    TransferAnswer,
    TransferDecision,
    TransferOffer,
    line_hash,
    write_line,
)
from protocol.peer.database import Connection
from protocol.tiles import HEIGHT, completed
from tests.peer.makers import LOG, directory_decision, entry_of
from tests.protocol.makers import (
    AT,
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    life_of,
    prepare,
    signing_key,
)

MILLISECONDS = 180_000
_THEN = to_datetime(read_instant(AT))
#: Rows in memory before they are copied.
_ROWS_MAX = 50_000

_TABLES = {
    "account": "account_id kind unit balance held_out held_in floor ceiling frozen"
    " closed",
    "checkpoint": "log size root note",
    "decision": "log number sequence line",
    "directory_change": "sequence group_name line",
    "entry": "sequence entry_id at kind transfer_id author reason content_id corrects",
    "envelope": "peer direction first count line_1 payload_hash life at",
    "hold": "transfer_id debit_account credit_account amount state",
    "item": "peer direction number line",
    "link": "peer sent sent_head acknowledged acknowledged_head taken taken_head lives",
    "posting": "account_id sequence amount balance_after",
    "tile_hash": "log level index hash",
    "transfer": "transfer_id role state payer_group payee_group milliseconds payer_rate"
    " payee_rate decide_by prepare content taken_at item_number account amount deliver"
    " decided_at log number code answer answer_number waiting waiting_code"
    " is_cancel_sent refund_of refunded author other",
}


@dataclass(frozen=True)
class Shape:
    """How many transfers, and how many of them come at once.

    Attributes:
        transfers: all cleared, from Oostende to Mechelen.
        together: transfers an envelope.
        signed_each: decisions a checkpoint.
    """

    transfers: int
    together: int
    signed_each: int

    def __str__(self) -> str:
        return (
            f"{2 * self.transfers:,} postings, {self.together} transfers an envelope,"
            f" {self.signed_each} decisions a checkpoint"
        )


@dataclass
class _Stream:
    """One direction of a link."""

    peer: Group
    direction: str
    next: int = 1
    head: str = NOTHING_HASH

    @property
    def ends(self) -> tuple[Group, Group]:
        return (self.peer, HUB) if self.direction == "in" else (HUB, self.peer)


@dataclass
class HubPast:
    """Writes it, a few thousand rows at a time."""

    connection: Connection
    shape: Shape
    rows: dict[str, list[tuple[Any, ...]]] = field(
        default_factory=lambda: {table: [] for table in _TABLES}
    )
    directory: Directory = field(default_factory=dict)
    frontier: Frontier = field(default_factory=Frontier)

    async def fill(self) -> None:
        """Write all of it."""
        for table in ("decision", "checkpoint", "tile_hash", "entry", "posting"):
            await self._trust(table)
        for table in ("item", "envelope", "directory_change"):
            await self._trust(table)
        self._begin()
        streams = [
            _Stream(group, direction)
            for group in (OOSTENDE, MECHELEN)
            for direction in ("in", "out")
        ]
        for first in range(0, self.shape.transfers, self.shape.together):
            last = min(first + self.shape.together, self.shape.transfers)
            self._play(range(first, last), *streams)
            if len(self.rows["item"]) > _ROWS_MAX:
                await self._flush()
        if not self.rows["checkpoint"] or self.rows["checkpoint"][-1][1] != (
            self.frontier.size
        ):
            self._sign()
        self._end(streams)
        await self._flush()
        await self.connection.execute("VACUUM ANALYZE")

    async def _trust(self, table: str) -> None:
        await self.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")

    async def _flush(self) -> None:
        for table, columns in _TABLES.items():
            if rows := self.rows[table]:
                await self.connection.copy_records_to_table(
                    table, records=rows, columns=columns.split()
                )
                rows.clear()

    def _add(self, table: str, *values: object) -> None:
        self.rows[table].append(values)

    def _begin(self) -> None:
        self._decide(write_line(LogDecision(log=LOG, number=0, at=AT, former=None)))
        for place, group in enumerate((OOSTENDE, MECHELEN), 1):
            decision = directory_decision(entry_of(group), number=place)
            line = write_line(decision)
            self.directory = fold(self.directory, decision, line, FEDERATION)
            self._add("directory_change", place, group, line)
            self._decide(line)

    def _decide(self, line: bytes) -> None:
        number = self.frontier.size
        ended = self.frontier.append(leaf_hash(line))
        self._add("decision", LOG, number, number + 1, line)
        for level, index in completed(self.frontier.size):
            self._add("tile_hash", LOG, level, index, ended[level * HEIGHT])
        if number > 2 and self.frontier.size % self.shape.signed_each == 0:
            self._sign()

    def _sign(self) -> None:
        root = write_base64url(self.frontier.root)
        stated = SignedCheckpoint(
            federation=FEDERATION,
            log=LOG,
            size=self.frontier.size,
            root=root,
            version=2,
            groups=2,
            directory=write_base64url(directory_tree(self.directory).root),
        )
        note = write_checkpoint(stated, signing_key("hub"))
        self._add("checkpoint", LOG, self.frontier.size, root, note)

    def _send(self, stream: _Stream, lines: Sequence[bytes]) -> tuple[bytes, int]:
        """Put lines in an envelope; gives its line 1 and its first number."""
        sender, receiver = stream.ends
        payload = envelope.EnvelopePayload(
            federation=FEDERATION,
            from_=sender,
            to=receiver,
            life=life_of(sender),
            first=stream.next,
            count=len(lines),
            root=envelope.root_of(lines),
            prev=stream.head,
            at=AT,
        )
        line_1, stream.head = envelope.seal(payload, signing_key(sender))
        place = stream.peer, stream.direction, stream.next
        written = line_1.decode(), stream.head, payload.life, _THEN
        self._add("envelope", *place, len(lines), *written)
        for number, line in enumerate(lines, stream.next):
            self._add("item", stream.peer, stream.direction, number, line)
        stream.next += len(lines)
        return line_1, payload.first

    def _play(self, numbers: range, *streams: _Stream) -> None:
        """Let transfers be prepared, offered, accepted, decided and told."""
        from_payer, to_payer, from_payee, to_payee = streams
        ids = [
            str(uuid.UUID(hashlib.md5(b"%d" % number).hexdigest()))
            for number in numbers
        ]
        prepares = [write_line(prepare(id=one, checkpoint=None)) for one in ids]
        line_1, _ = self._send(from_payer, prepares)
        offers = self._carry(TransferOffer, line_1, prepares)
        _, offered = self._send(to_payee, offers)
        hashes = [line_hash(line) for line in prepares]
        accepts = [
            write_line(TransferAccept(id=one, prepare=hash_))
            for one, hash_ in zip(ids, hashes, strict=True)
        ]
        line_1, _ = self._send(from_payee, accepts)
        answers = self._carry(TransferAnswer, line_1, accepts)
        decisions = []
        for place, (one, hash_, accept) in enumerate(
            zip(ids, hashes, accepts, strict=True)
        ):
            number = self.frontier.size
            decision = TransferDecision(
                log=LOG,
                number=number,
                at=AT,
                id=one,
                prepare=hash_,
                answer=line_hash(accept),
                outcome="cleared",
                code=None,
            )
            decisions.append(write_line(decision))
            self._decide(decisions[-1])
            # At the payer's node the answer comes before its decision.
            numbers_told = offered + place, to_payer.next + 2 * place
            self._book(number - 2, decision, numbers_told)
        told = [line for pair in zip(answers, decisions, strict=True) for line in pair]
        self._send(to_payer, told)
        self._send(to_payee, decisions)

    def _carry(
        self, kind: Any, line_1: bytes, lines: Sequence[bytes]
    ) -> Sequence[bytes]:
        proofs = envelope.prove(line_1, lines, range(len(lines)))
        items: list[Item] = [kind.of(proof) for proof in proofs]
        return [write_line(item) for item in items]

    def _book(
        self, sequence: int, decision: TransferDecision, numbers: tuple[int, int]
    ) -> None:
        one, groups = uuid.UUID(decision.id), (OOSTENDE, MECHELEN)
        content = prepare().content
        self._add(
            "transfer",
            *(one, "hub", "cleared", *groups, MILLISECONDS, 1, 1, _THEN),
            *(decision.prepare, content, _THEN, numbers[0], "", 0, "", _THEN),
            *(LOG, decision.number, None, decision.answer, numbers[1], None, None),
            *(False, None, 0, None, ""),
        )
        self._add("hold", one, *groups, MILLISECONDS, "posted")
        self._add(
            "entry", sequence, one, _THEN, "transfer", one, None, None, content, None
        )
        for group, amount in zip(groups, (-MILLISECONDS, MILLISECONDS), strict=True):
            self._add("posting", group, sequence, amount, sequence * amount)

    def _end(self, streams: Sequence[_Stream]) -> None:
        """Write what stands at the end: accounts and links."""
        for group, sign in ((OOSTENDE, -1), (MECHELEN, 1)):
            record = self.directory[group]
            balance = sign * MILLISECONDS * self.shape.transfers
            limits = record.floor, record.ceiling
            self._add(
                "account", group, "group", "time", balance, 0, 0, *limits, False, False
            )
            taken, sent = (one for one in streams if one.peer == group)
            at_end = sent.next - 1, sent.head
            self._add(
                "link", group, *at_end, *at_end, taken.next - 1, taken.head, ["x"]
            )
