"""The trail of one transfer: every item that names it, and whether it is signed.

For the regional admin who follows one payment. What a whole ledger's signatures say is
the audit's matter (``protocol.peer.audit_streams``); here one transfer's are looked at
again, each time somebody asks.
"""

import msgspec

from clearing import desk_store
from clearing.desk_store import Direction, EnvelopeRow, ItemRow
from clearing.house import HubHouse
from clearing.log_store import Identity
from protocol import jws
from protocol.address import HUB, FederationId, Group
from protocol.directory import entry_key, keyring, read_hub_statement
from protocol.envelope import TYP, open_stored, root_of
from protocol.errors import MalformedMessageError, NotSignedError, WeakKeyError
from protocol.instant import Instant
from protocol.keyring import KeyPeriod
from protocol.peer.database import AnyConnection
from protocol.transfer import Transfer

#: Envelopes are looked through from so long before a prepare was taken, and up to so
#: long after the decision, for an answer or a cancel that came too late.
_AROUND_MS = 60_000
#: Of one node about one transfer: prepare, cancels, an answer; more is its own mistake.
_TAKEN_MAX = 10
#: Who has taken part sees what was said in this order, at the same time.
_ORDER = (
    "transfer.prepare",
    "transfer.offer",
    "transfer.accept",
    "transfer.refuse",
    "transfer.cancel",
    "transfer.answer",
    "decision",
)


class TrailItem(msgspec.Struct, frozen=True, kw_only=True):
    """One signed item.

    Attributes:
        sender: who has signed it.
        receiver: for whom.
        number: in the sender's stream.
        kind: the item's type.
        at: when the hub took or sealed its envelope; ``None``: it waits for that.
        key: id of the key that has signed.
        signature: ``good``, ``wrong``; ``none`` while it waits.
        line: as it was signed.
    """

    sender: str
    receiver: str
    number: int
    kind: str
    at: Instant | None
    key: str
    signature: str
    line: str


class _Named(msgspec.Struct):
    """What an item is and which transfer it names, or the item that it carries."""

    type: str = ""
    id: str = ""
    line: str = ""


_decoder = msgspec.json.Decoder(_Named)


class Trail:
    """Follows transfers.

    Args:
        house: knows the groups' keys.
        identity: has the hub's own.
    """

    def __init__(self, house: HubHouse, identity: Identity) -> None:
        self._house = house
        self._federation = FederationId(identity.federation)
        statement = read_hub_statement(identity.statement, self._federation)
        self._own = KeyPeriod(HUB, entry_key(statement.keys, "signing"))

    async def follow(
        self, connection: AnyConnection, transfer: Transfer
    ) -> list[TrailItem]:
        """Give all items that name a transfer, in the order they were said."""
        since = Instant(max(transfer.taken_at - _AROUND_MS, 0))
        until = transfer.decided_at
        late = None if until is None else Instant(until + _AROUND_MS)
        found: list[TrailItem] = []
        for peer, sent in self._expected(transfer).items():
            for direction, span, most in (
                ("in", (since, late), _TAKEN_MAX),
                ("out", (since, None), sent),
            ):
                way: Direction = "in" if direction == "in" else "out"
                rows = await desk_store.read_naming(
                    connection, peer, way, transfer.transfer_id, span, most
                )
                found += [
                    await self._item(connection, peer, way, row)
                    for row in rows
                    if _names(row.line, transfer.transfer_id)
                ]
        return sorted(found, key=_place)

    def _expected(self, transfer: Transfer) -> dict[str, int]:
        """Say how many items the hub has for each group: none is looked for in vain."""
        is_decided = transfer.decided_at is not None
        is_offered = transfer.item_number is not None
        is_answered = transfer.answer_number is not None
        return {
            transfer.payer_group: is_answered + is_decided,
            transfer.payee_group: is_offered + (is_offered and is_decided),
        }

    async def _item(
        self, connection: AnyConnection, peer: str, direction: Direction, row: ItemRow
    ) -> TrailItem:
        envelope = await desk_store.read_envelope(
            connection, peer, direction, row.number
        )
        is_theirs = direction == "in"
        key, signature = "", "none"
        if envelope is not None:
            lines = await desk_store.read_lines(
                connection, peer, direction, envelope.first, envelope.count
            )
            receiver = HUB if is_theirs else Group(peer)
            key, signature = self._judge(envelope, lines, receiver)
        return TrailItem(
            sender=peer if is_theirs else HUB,
            receiver=HUB if is_theirs else peer,
            number=row.number,
            kind=_decoder.decode(row.line).type,
            at=None if envelope is None else envelope.at,
            key=key,
            signature=signature,
            line=row.line.decode("utf-8", "replace"),
        )

    def _judge(
        self, envelope: EnvelopeRow, lines: list[bytes], receiver: Group
    ) -> tuple[str, str]:
        """Name the key of an envelope, and say whether it has signed all of it."""
        keys, line_1 = keyring(self._house.directory, [self._own]), envelope.line_1
        key = ""
        try:
            key = jws.split(line_1, TYP).kid
            payload, _ = open_stored(
                line_1.encode("ascii", "replace"), keys, self._federation, receiver
            )
        except (MalformedMessageError, NotSignedError, WeakKeyError):
            return key, "wrong"
        is_whole = len(lines) == payload.count and root_of(lines) == payload.root
        return key, "good" if is_whole else "wrong"


def _names(line: bytes, transfer_id: str) -> bool:
    """Say whether an item is about a transfer, and not about a refund of it."""
    named = _decoder.decode(line)
    if named.line:
        named = _decoder.decode(named.line)
    return named.id == transfer_id


def _place(item: TrailItem) -> tuple[bool, int, int, bool]:
    """What waits comes last; of one moment, what was asked before what was answered."""
    order = _ORDER.index(item.kind) if item.kind in _ORDER else len(_ORDER)
    return item.at is None, item.at or 0, order, item.receiver != HUB
