"""A federation with a past, kept as databases to copy, so that each test may spoil one.

In its ledgers there is some of everything: payments cleared in both directions and
inside a group, refused, called off, and still on their way at every step.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from clearing import audit as hub_audit
from clearing import log_store
from clearing.evidence import Evidence
from clearing.house import HubHouse
from clearing.rules import (
    Agreed,
    CloseCycle,
    Freeze,
    Leg,
    Limit,
    Release,
    SetCap,
    Settle,
    Shared,
    ShareDebt,
    TellShares,
)
from nodes import audit as node_audit
from nodes import proof_store, trust_store
from nodes.member_store import Membership
from nodes.proof_store import Proof
from nodes.rules import (
    Belief,
    Believe,
    CancelWish,
    Correction,
    Distrust,
    HandEntry,
    MemberChange,
    NewMember,
    Order,
    Ordered,
    SignLeg,
    TrustAgain,
)
from nodes.watch.cycle_watch import CycleWatch
from protocol import address, envelope
from protocol.address import HUB, AccountName, Group
from protocol.envelope import VerifiedCover
from protocol.keyring import KeyPeriod
from protocol.ledger import Posting
from protocol.merkle import Tree
from protocol.messages import TransferDecision, content_decoder, read_item
from protocol.peer import ledger_store
from protocol.peer.audit import AuditAnswer, MakePlan, audit
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.settings import DatabaseSettings
from protocol.sharing import SharingRule
from protocol.unit import Amount
from tests.peer.federation import Federation, federation, identity, order, until
from tests.peer.makers import entry_of, signed
from tests.peer.tables import entry_id
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    cover_payload,
    signing_key,
)

NewDatabase = Callable[[], Awaitable[str]]

#: Who pays in each group.
PAYERS = {OOSTENDE: "marie", MECHELEN: "bob"}
#: Another member of Oostende, for payments inside it.
LIES = NewMember(account_id="lies", name="Lies", floor=None, ceiling=None)


def membership(group: Group) -> Membership:
    statement, entry = identity().statement, signed(entry_of(group))
    return Membership(FEDERATION, group, "http://hub.example", statement, entry)


def plan_of(name: str) -> MakePlan:
    """The plan of the hub or of a group's node."""
    if name == HUB:
        return hub_audit.plan_of(identity())
    return node_audit.plan_of(membership(Group(name)))


async def audited(name: str, url: str) -> AuditAnswer:
    """Audit a server's database as its own command does, beside no server."""
    database = await Database.open(DatabaseSettings(url=url))
    try:
        return await audit(database, plan_of(name), Clock())
    finally:
        await database.close()


def payment(payer_group: Group, key: str, **changes: Any) -> Order:
    """One group's payer pays the other's, 1 minor unit of the payee's."""
    payer = PAYERS[payer_group]
    other = MECHELEN if payer_group == OOSTENDE else OOSTENDE
    named = address.write_address(AccountName(payer), payer_group)
    fields: dict[str, Any] = {
        "transfer_id": address.transfer_id(FEDERATION, named, key),
        "payer": payer,
        "payee": PAYERS[other],
        "payee_group": other,
        "payee_amount": Amount(1),
        "payer_amount_max": 10_000,
        "caller": payer,
    }
    return order(key, **(fields | changes))


async def take(federated: Federation, payer_group: Group, wanted: object) -> None:
    await federated.nodes[payer_group].clerk.take(wanted)


def drawn(draw: random.Random, key: str) -> tuple[Group, Order]:
    """A payment of any kind, mostly between the groups."""
    group = draw.choice([OOSTENDE, MECHELEN])
    changes: dict[str, Any] = {"payee_amount": Amount(draw.randint(1, 20))}
    kind = draw.random()
    if kind < 0.1:
        changes["payee"] = "nobody"
    elif kind < 0.3:
        # Inside the group: no other server hears of it.
        group = OOSTENDE
        changes |= {"payee": "lies", "payee_group": OOSTENDE}
    return group, payment(group, key, **changes)


async def live(federated: Federation, seed: int, payments: int) -> None:
    """Let members pay at random, some at once and some after the others."""
    draw = random.Random(seed)
    for number in range(payments):
        group, wanted = drawn(draw, f"{seed} {number}")
        await take(federated, group, wanted)
        if draw.random() < 0.1:
            await take(federated, group, CancelWish(transfer_id=wanted.transfer_id))
        if draw.random() < 0.2:
            await federated.exchange(draw.choice([OOSTENDE, MECHELEN]))
    await federated.quiet()


async def settle_up(federated: Federation) -> None:
    """A cycle ends, both groups agree, and what is owed is settled by both words."""
    await federated.hub.clerk.take(CloseCycle(1))
    await federated.quiet()
    for node in federated.nodes.values():
        await CycleWatch(node.clerk, node.database).look()
    [leg] = cast("list[Leg]", await federated.hub.clerk.take(Settle(1)))
    await federated.quiet()
    said: dict[str, Any] = {"author": "@treasurer", "reason": "by bank"}
    for group, word in ((leg.debtor, "paid"), (leg.creditor, "received")):
        told: Any = {"leg_id": leg.leg_id, "word": word, **said}
        await take(federated, Group(group), SignLeg(**told))
        await federated.quiet()


async def share(federated: Federation) -> None:
    """Mechelen is gone for a while, and Oostende takes over what it leaves behind."""
    hub = federated.hub
    assert isinstance(hub.house, HubHouse)
    hub.house.agreed = Agreed(SharingRule.EQUAL)
    await take(federated, OOSTENDE, payment(OOSTENDE, "to be shared"))
    await federated.quiet()
    await hub.clerk.take(Freeze(MECHELEN))
    told = await hub.clerk.take(TellShares(MECHELEN, SharingRule.EQUAL))
    assert isinstance(told, Shared), told
    decided = await hub.clerk.take(ShareDebt(MECHELEN, told.shared_id))
    assert isinstance(decided, Shared), decided
    await federated.quiet()
    await hub.clerk.take(Release(MECHELEN))
    await federated.quiet()


async def leave_some_under_way(federated: Federation) -> None:
    """Accepted but undecided, offered, and ordered: one payment each."""
    await take(federated, OOSTENDE, payment(OOSTENDE, "accepted"))
    for group in (OOSTENDE, MECHELEN):
        await federated.exchange(group)
    await take(federated, OOSTENDE, payment(OOSTENDE, "offered"))
    await federated.exchange(OOSTENDE)
    await take(federated, OOSTENDE, payment(OOSTENDE, "ordered"))


async def refund(federated: Federation) -> None:
    """Bob gives Marie one blusser of two back, and is about to give the other."""
    order = payment(OOSTENDE, "to give back", payee_amount=Amount(6))
    outcome = await federated.nodes[OOSTENDE].clerk.take(order)
    assert isinstance(outcome, Ordered) and outcome.content is not None
    await federated.quiet()
    said = content_decoder.decode(outcome.content)
    given = {"refund_of": order.transfer_id, "original": said}
    await take(federated, MECHELEN, payment(MECHELEN, "given back", **given))
    await federated.quiet()
    await take(federated, MECHELEN, payment(MECHELEN, "to be given", **given))


async def be_shown(federated: Federation, group: Group) -> None:
    """A group's cover names the hub's newest checkpoint, and is kept."""
    house: Any = federated.hub.house
    payload = cover_payload(from_=group, checkpoint=house.checkpoint)
    line_1, _ = envelope.seal(payload, signing_key(group))
    period = KeyPeriod(group, signing_key(group).public, 1, None)
    evidence = Evidence(identity())
    evidence.note_cover(VerifiedCover(payload=payload, period=period, line_1=line_1))
    await evidence.keep_newest(federated.hub.database)


async def keep_books(federated: Federation) -> None:
    """The treasurer books by hand, and undoes that and a payment inside the group."""
    paid = payment(OOSTENDE, "by mistake", payee="lies", payee_group=OOSTENDE)
    await take(federated, OOSTENDE, paid)
    named: dict[str, Any] = {"caller": "@treasurer", "body_hash": "", "reason": "test"}
    by_hand = HandEntry(
        entry_id=entry_id(1),
        postings=(Posting("marie", -2), Posting("lies", 2)),
        key="by hand",
        **named,
    )
    await take(federated, OOSTENDE, by_hand)
    for number, wrong in enumerate((by_hand.entry_id, paid.transfer_id), 2):
        async with federated.nodes[OOSTENDE].database.readers.acquire() as connection:
            found = await ledger_store.read_entry(connection, wrong)
        assert found is not None
        undo = Correction(
            entry_id=entry_id(number), entry=found.entry, key=wrong, **named
        )
        await take(federated, OOSTENDE, undo)


async def set_limits(federated: Federation) -> None:
    """The regional admin and a treasurer change limits, and a member's name.

    A payment past the new limit is refused by the hub, before any offer.
    """
    limit = Limit(group=MECHELEN, floor=-36_000_000, ceiling=72_000_000)
    await federated.hub.clerk.take(limit)
    for milliseconds in (10**12, 2 * 10**12):
        # Wider than anything that this past holds.
        cap = SetCap(
            payer=OOSTENDE,
            payee=MECHELEN,
            milliseconds=milliseconds,
            author="@admin",
            reason="agreed",
        )
        await federated.hub.clerk.take(cap)
    change = MemberChange(
        account_id="lies", author="@treasurer", name="Lies D.", floor=-500, ceiling=900
    )
    await take(federated, OOSTENDE, change)
    too_much = payment(OOSTENDE, "too much", payee_amount=Amount(1800))
    outcome = await federated.nodes[OOSTENDE].clerk.take(too_much)
    assert isinstance(outcome, Ordered) and outcome.content is not None
    await federated.quiet()


async def believe(federated: Federation) -> None:
    """Oostende doubts the hub, trusts it again, and believes what it signed."""
    async with federated.hub.database.readers.acquire() as connection:
        newest = await log_store.read_last_checkpoint(connection)
        assert newest is not None
        note = await log_store.read_note(connection, newest.log, newest.size)
        assert note is not None
    wanted = Believe(beliefs=[Belief(0, newest, note)], compared=1)
    doubt = Distrust(about=HUB, told="test", ours=note, theirs="another")
    again = TrustAgain(about=HUB, author="@treasurer", reason="test")
    for one in (wanted, doubt, again, wanted):
        await take(federated, OOSTENDE, one)
    await take(federated, MECHELEN, wanted)


async def prove(federated: Federation) -> None:
    """Oostende keeps where its decisions stand in the hub's log, as its watch does."""
    async with federated.hub.database.readers.acquire() as connection:
        newest = await log_store.read_last_checkpoint(connection)
        assert newest is not None
        log, size = newest.log, newest.size
        note = await log_store.read_note(connection, log, size)
        assert note is not None
        tree = Tree(await log_store.read_leaves(connection, log, 0, size - 1))
    async with federated.nodes[OOSTENDE].database.desk.acquire() as connection:
        taken = await trust_store.read_items(connection, 0, 10_000)
        proofs = []
        for item in taken:
            said = read_item(item.line)
            if isinstance(said, TransferDecision) and said.log == log:
                path = tree.path(said.number)
                proofs.append(Proof(said.id, item.number, log, size, path, note))
        assert proofs
        await proof_store.write(connection, proofs)


class Past:
    """The databases of a federation that has stopped.

    Args:
        server: a superuser's address.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._made = 0
        self.urls: dict[str, str] = {}

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._server)._replace(path=f"/{name}"))

    async def _create(self, template: str) -> str:
        self._made += 1
        name = f"audited_{id(self)}_{self._made}"
        administrator = await asyncpg.connect(self._server)
        try:
            # Whoever just left may still be on the way out, and would be in the way.
            await administrator.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                f" WHERE datname = '{template}'"
            )
            await administrator.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        finally:
            await administrator.close()
        return self._url(name)

    async def make(self) -> None:
        """Let it all happen."""
        async with federation(lambda: self._create("template0")) as federated:
            await take(federated, OOSTENDE, LIES)
            await live(federated, 7, 40)
            await settle_up(federated)
            await share(federated)
            await refund(federated)
            await keep_books(federated)
            await set_limits(federated)
            await believe(federated)
            await prove(federated)
            await leave_some_under_way(federated)
            await be_shown(federated, MECHELEN)
            async with federated.hub.database.desk.acquire() as connection:
                await log_store.write_identity(connection, identity())
            self.urls[HUB] = federated.hub.url
            for group, node in federated.nodes.items():
                self.urls[group] = node.url
            clerks = [federated.hub.clerk, *(n.clerk for n in federated.nodes.values())]
            connections = [clerk._writer() for clerk in clerks]
        # PostgreSQL ends them, and this event loop ends too: not before it has heard.
        await until(lambda: all(one.is_closed() for one in connections))

    @asynccontextmanager
    async def copy(self, name: str) -> Any:
        """Give the address of a copy of one server's database, and drop it after."""
        url = await self._create(urlsplit(self.urls[name]).path[1:])
        try:
            yield url
        finally:
            await self._drop(url)

    async def _drop(self, url: str) -> None:
        administrator = await asyncpg.connect(self._server)
        try:
            name = urlsplit(url).path[1:]
            await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await administrator.close()

    async def drop(self) -> None:
        for url in self.urls.values():
            await self._drop(url)


def past(server: str) -> Past:
    """Make a past, in an event loop of its own."""
    made = Past(server)
    asyncio.run(made.make())
    return made
