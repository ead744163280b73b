"""An admitted peer that lies: it harms nobody but itself, and stops no server."""

from typing import Any

import msgspec
import pytest

from clearing import log_store
from clearing.rules import Admission, AdmissionRefused
from nodes.rules import NewMember, about_prepare
from protocol import envelope, joining, messages, sealing
from protocol.address import HUB, Group
from protocol.errors import ItemRefusalCode
from protocol.instant import write_instant
from protocol.link import Link, Taking
from protocol.messages import (
    NOTHING_HASH,
    AnyItem,
    Content,
    KeyChangeItem,
    TransferOffer,
    line_hash,
    write_line,
)
from protocol.peer import directory_store
from protocol.peer.batch import Arrival
from protocol.peer.clock import Clock
from protocol.transfer import NOW_MS
from tests.clearing.makers import invitation
from tests.peer.federation import (
    Federation,
    NewDatabase,
    Server,
    federation,
    start_node,
)
from tests.peer.makers import (
    directory_decision,
    entry_of,
    key_change,
    proof_of,
    signed,
)
from tests.protocol.makers import (
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    life_of,
    prepare,
    sealing_key,
    signing_key,
)
from tests.protocol.test_key_change import ANEW, renewed


def wire(
    sender: Group, to: Group, link: Link, lines: list[bytes], tail: bytes
) -> bytes:
    """An envelope of the sender's own making, rightly signed."""
    line_1, _ = sealed(sender, to, link, lines)
    return b"\n".join([line_1, *lines, tail])


def sealed(sender: Group, to: Group, link: Link, lines: list[bytes]) -> Any:
    """Its line 1, and the head that it makes."""
    payload = envelope.EnvelopePayload(
        federation=FEDERATION,
        from_=sender,
        to=to,
        life=link.life,
        first=link.sent + 1,
        count=len(lines),
        root=envelope.root_of(lines),
        prev=link.sent_head,
        at=write_instant(Clock().now()),
    )
    return envelope.seal(payload, signing_key(sender))


async def send_to_hub(federated: Federation, lines: list[bytes], tail: bytes) -> object:
    """Let Oostende say this to the hub."""
    node, hub = federated.nodes[OOSTENDE], federated.hub
    await node.clerk.may_speak(HUB)
    raw = node.clerk.speak(HUB) + wire(
        OOSTENDE, HUB, node.clerk.links[HUB], lines, tail
    )
    body = envelope.open_body(raw, hub.clerk.house.keyring, FEDERATION, HUB)
    return await hub.clerk.take(Arrival(OOSTENDE, body))


def asked() -> bytes:
    """A prepare that the hub will offer on."""
    decide_by = write_instant(Clock().now() + NOW_MS)  # type: ignore[arg-type]
    return write_line(prepare(decide_by=decide_by, checkpoint=None))


@pytest.mark.parametrize("box", ["\\u0000", "x\\ny", "a b", "", "\\u20ac", "A" * 6200])
async def test_a_box_that_is_none_is_left_out_and_stops_nobody(
    new_database: NewDatabase, box: str
) -> None:
    async with federation(new_database) as federated:
        number = federated.nodes[OOSTENDE].clerk.links[HUB].sent + 1
        tail = b'{"for":%d,"box":"%s"}\n' % (number, box.encode())
        assert await send_to_hub(federated, [asked()], tail) == [Taking.TAKEN]
        # The payee's node can read what the hub offers on, and says no.
        while await federated.exchange(MECHELEN):
            if await federated.nodes[MECHELEN].transfer(ID) is not None:
                break
        assert not federated.hub.task.done()


async def test_nothing_of_an_old_key_counts_behind_its_end(
    new_database: NewDatabase,
) -> None:
    """A thief lets it end in an envelope, and signs another with it at once."""
    async with federation(new_database) as federated:
        link = federated.nodes[OOSTENDE].clerk.links[HUB]
        entry = renewed()
        change = KeyChangeItem(
            entry=signed(entry, ANEW), statement=key_change(entry, link.sent + 1)
        )
        line_1, head = sealed(OOSTENDE, HUB, link, [write_line(change)])
        behind = msgspec.structs.replace(link, sent=link.sent + 1, sent_head=head)
        forged = wire(OOSTENDE, HUB, behind, [asked()], b"")
        node, hub = federated.nodes[OOSTENDE], federated.hub
        await node.clerk.may_speak(HUB)
        raw = node.clerk.speak(HUB) + b"\n".join([line_1, write_line(change), forged])
        body = envelope.open_body(raw, hub.clerk.house.keyring, FEDERATION, HUB)
        taken = await hub.clerk.take(Arrival(OOSTENDE, body))
        assert taken == [Taking.TAKEN, Taking.DROPPED]
        assert hub.clerk.links[OOSTENDE].taken == link.sent + 1
        assert await hub.transfer(ID) is None
        keys = hub.clerk.house.directory[OOSTENDE].keys  # type: ignore[attr-defined]
        assert [span.last for span in keys] == [link.sent + 1, None]


RUBBISH = [
    b"",
    b"1",
    b"[]",
    b"\xff",
    b'{"type":"\\u0000"}',
    b'{"type":"mirror","log":"AAAAAAAAAAA","number":9007199254740991,"balance":0}',
    b'{"type":"transfer.offer","line":"\\u0000","index":0,"path":[],"envelope":"x"}',
    b'{"type":"transfer.answer","line":"{}","index":0,"path":[],"envelope":"\\u0000"}',
    write_line(messages.DirectoryPropose(entry="\x00")),
    write_line(messages.TransferCancel(id=ID)),
    write_line(
        messages.ItemRefused(
            number=2**53 - 1,
            hash=NOTHING_HASH,
            code=ItemRefusalCode.UNREADABLE,
        )
    ),
]


async def test_rubbish_in_a_good_envelope_stops_nobody(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        assert await send_to_hub(federated, RUBBISH, b"") == [Taking.TAKEN]
        assert not federated.hub.task.done()


async def test_an_entry_too_long_for_an_item_is_not_admitted(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        hub = federated.hub
        entry = entry_of(Group("gent"), *([1] * 420), version=1)
        raw = joining.write_request(
            entry, "x" * 22, signing_key("gent"), signing_key("gent recovery")
        )
        stated = joining.read_request(raw.encode(), FEDERATION)
        async with hub.database.desk.acquire() as connection:
            await log_store.write_invitation(
                connection,
                invitation(
                    code_hash=stated.code_hash,
                    until=Clock().now() + 60_000,
                ),
            )
        outcome = await hub.clerk.take(
            Admission(
                entry=stated.entry,
                signed=stated.signed,
                code_hash=stated.code_hash,
                request_hash=stated.request_hash,
            )
        )
        assert isinstance(outcome, AdmissionRefused)
        async with hub.database.readers.acquire() as connection:
            assert await directory_store.read(connection, FEDERATION)


async def say_as_hub(node: Server, lines: list[bytes], tail: bytes = b"") -> object:
    """Let a hub of our own making say this to a node as its first words."""
    life = life_of("a hub that lies")

    def cover(ahead_ms: int) -> bytes:
        at = Clock().now() + ahead_ms
        payload = envelope.CoverPayload(
            federation=FEDERATION,
            from_=HUB,
            to=MECHELEN,
            life=life,
            first=1,
            root=NOTHING_HASH,
            prev=NOTHING_HASH,
            at=write_instant(at),  # type: ignore[arg-type]
            ack=0,
            ack_head=NOTHING_HASH,
            peer_life=node.clerk.life,
            peer_at=None,
            checkpoint=None,
        )
        return envelope.seal(payload, signing_key("hub"))[0] + b"\n"

    async def take(raw: bytes) -> object:
        keys = node.clerk.house.keyring
        body = envelope.open_body(raw, keys, FEDERATION, MECHELEN)
        return await node.clerk.take(Arrival(HUB, body))

    await take(cover(0))
    said = wire(HUB, MECHELEN, Link(peer=MECHELEN, life=life), lines, tail)
    return await take(cover(5) + said)


def directory_lines(*entries: messages.GroupEntry) -> list[bytes]:
    """Directory decisions, numbered in their order."""
    return [
        write_line(directory_decision(entry, number=number))
        for number, entry in enumerate(entries)
    ]


async def test_an_offer_before_the_nodes_own_entry_is_refused(
    new_database: NewDatabase,
) -> None:
    bob = NewMember(account_id="bob", name="Bob", floor=-10, ceiling=3000)
    node = await start_node(new_database, MECHELEN, [bob])
    try:
        content = write_line(
            Content(
                payer="marie",
                payee="bob",
                name="Marie",
                memo="",
                payee_amount=3,
                payer_amount=1,
                salt="A" * 22,
            )
        )
        decide_by = write_instant(Clock().now() + NOW_MS)  # type: ignore[arg-type]
        line = write_line(
            prepare(
                milliseconds=180_000,
                decide_by=decide_by,
                checkpoint=None,
                content=line_hash(content),
            )
        )
        proof = proof_of(line, OOSTENDE)
        offer: AnyItem = TransferOffer(
            line=proof.line,
            index=proof.index,
            path=proof.path,
            envelope=proof.envelope,
        )
        box = sealing.outgoing(
            sealing_key(OOSTENDE),
            sealing_key(MECHELEN).public,
            FEDERATION,
            OOSTENDE,
            MECHELEN,
        ).seal(content, bytes(24), about_prepare(ID))
        theirs, ours = directory_lines(entry_of(OOSTENDE), entry_of(MECHELEN))
        lines = [theirs, write_line(offer), ours]
        tail = envelope.write_sealed_line(2, box) + b"\n"
        assert await say_as_hub(node, lines, tail) == [Taking.TAKEN]
        transfer = await node.transfer(ID)
        assert transfer is not None
        assert transfer.code == "amount-mismatch"
        assert not node.task.done()
    finally:
        await node.stop()


async def test_two_versions_of_an_entry_in_one_envelope_are_both_taken(
    new_database: NewDatabase,
) -> None:
    node = await start_node(new_database, MECHELEN, [])
    try:
        lines = directory_lines(
            entry_of(MECHELEN),
            entry_of(OOSTENDE),
            entry_of(OOSTENDE, 180_000, 90_000),
        )
        assert await say_as_hub(node, lines) == [Taking.TAKEN]
        assert await node.ask("SELECT told FROM alarm") == []
        changes = await node.ask("SELECT count(*) AS many FROM directory_change")
        assert changes[0]["many"] == 3
    finally:
        await node.stop()
