"""A node put together: the house's rules, the clerk, the courier, the API."""

import asyncio
from pathlib import Path

from nodes import audit, member_store
from nodes.api.account import AccountApi
from nodes.api.asks import AskApi
from nodes.api.bulk import BulkApi
from nodes.api.cycle_files import CycleFilesApi
from nodes.api.cycle_proofs import CycleProofsApi
from nodes.api.cycles import CyclesApi
from nodes.api.entries import EntriesApi
from nodes.api.events import EventsApi
from nodes.api.exports import ExportsApi
from nodes.api.group import GroupApi
from nodes.api.groups import DirectoryApi
from nodes.api.leaving import LeavingApi
from nodes.api.members import MembersApi
from nodes.api.moving import MovingApi
from nodes.api.news import News
from nodes.api.own_keys import OwnKeysApi
from nodes.api.payees import PayeeApi
from nodes.api.payments import PaymentApi
from nodes.api.position import PositionApi
from nodes.api.receipts import ReceiptApi
from nodes.api.shares import SharesApi
from nodes.api.staff import StaffApi
from nodes.api.trust import TrustApi
from nodes.api.unit import UnitApi
from nodes.api.warning import WarningApi
from nodes.asks import Asks
from nodes.bulk import Bulk
from nodes.cycle_desk import CycleDesk
from nodes.cycle_proofs import CycleProofs
from nodes.evidence import NodeEvidence
from nodes.exports import Exports
from nodes.house import NodeHouse
from nodes.inquiries import Inquiries
from nodes.key_changes import KeyChanges
from nodes.moving import Moving
from nodes.pages.site import Parts, routes_of, site_of
from nodes.payees import Payees
from nodes.payments import Payments
from nodes.proposals import Proposals
from nodes.recovery import RecoveryPost
from nodes.rules import CancelWish
from nodes.staff import Staff
from nodes.treasurer import Treasurer
from nodes.watch.cycle_watch import CycleWatch
from nodes.watch.leg_watch import LegWatch
from nodes.watch.limit_watch import LimitWatch
from nodes.watch.log_watch import LogWatch
from protocol.address import HUB
from protocol.envelope import Body
from protocol.errors import InterletsError
from protocol.peer import runner, transfer_store
from protocol.peer.courier import Courier
from protocol.peer.database import AnyConnection, Database
from protocol.peer.key_files import add_keys, load_keys
from protocol.peer.runner import Server
from protocol.peer.settings import Settings
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.routes import TREASURER, Route

MIGRATIONS = ("nodes", Path(__file__).parent / "migrations")


#: How often a node looks for payments *now* that did not reach the hub in time.
_SWEEP_S = 1.0
_SWEEP_MOST = 100
#: How often it looks at the hub's log; it must be sure within a minute.
_WATCH_S = 3.0
#: How often it looks for statements that wait for our word.
_CYCLE_S = 1.0
#: How often it tells the hub what the recovery key has signed, while that waits.
_POST_S = 5.0
#: How often it looks whether the group has newly passed the threshold of a limit.
_LIMITS_S = 10.0
#: How often it looks whether a leg has newly become late.
_LEGS_S = 60.0
ALARMS = "/api/v1/group/alarms"


class NotJoinedError(InterletsError):
    """This node belongs to no federation yet."""


def keys_folder(settings: Settings) -> Path:
    """Say where this node's private keys are."""
    return settings.server.data / "keys"


async def read_membership(connection: AnyConnection) -> member_store.Membership:
    """Give what this node has joined; raises ``NotJoinedError``."""
    joined = await member_store.read_membership(connection)
    if joined is None:
        raise NotJoinedError(
            "this node has joined no federation yet; run: interlets-node join"
        )
    return joined


async def serve(settings: Settings) -> None:
    """Serve a node until told to stop."""
    database = await Database.open(settings.database)
    try:
        async with database.readers.acquire() as connection:
            joined = await read_membership(connection)
        folder = keys_folder(settings)
        house = NodeHouse(load_keys(folder), joined, lambda: load_keys(folder))
        runner.configure_log(settings, joined.group)
        server = runner.build(settings, database, house, MIGRATIONS)
        clerk, clock = server.clerk, server.clock
        inquiries = Inquiries(house, clerk, database, clock, server.metrics)
        evidence = NodeEvidence(house)
        cycles = CycleWatch(clerk, database)
        limits = LimitWatch(house, clerk, database, clock)
        legs = LegWatch(clerk, database, clock)
        watch = LogWatch(house, clerk, database, clock, joined.hub_url, evidence)

        def hear(body: Body) -> None:
            inquiries.hear(body)
            watch.note_cover(body.cover)

        courier = Courier(
            clerk,
            joined.hub_url,
            clock,
            server.metrics,
            server.kill_switch,
            hear,
        )
        post = RecoveryPost(house, clerk, joined.hub_url, clock)
        add_people(server, house, joined, courier, inquiries, evidence)
        runner.add_audit(server, audit.plan_of(joined), TREASURER)
        server.tasks += [
            courier.run,
            inquiries.run,
            lambda: runner.every(server, _SWEEP_S, lambda: sweep(server)),
            lambda: runner.every(server, _WATCH_S, watch.look),
            lambda: runner.every(server, _CYCLE_S, cycles.look),
            lambda: runner.every(server, _POST_S, post.look),
            lambda: runner.every(server, _LIMITS_S, limits.look),
            lambda: runner.every(server, _LEGS_S, legs.look),
        ]
        await runner.serve(server)
    finally:
        await database.close()


def add_people(
    server: Server,
    house: NodeHouse,
    joined: member_store.Membership,
    courier: Courier,
    inquiries: Inquiries,
    evidence: NodeEvidence,
) -> None:
    """Let members and the treasurer in, by their programs and by pages."""
    clerk, database, clock = server.clerk, server.database, server.clock
    public_url = server.settings.server.public_url
    payments = Payments(house, clerk, courier, database)
    payees = Payees(house, clerk, courier, inquiries, database, clock)
    treasurer = Treasurer(clerk, database, clock, public_url)
    news = News(payments, database)
    events = EventsApi(payments, news, house.listeners, clerk, server.door)
    server.on_shutdown.append(events.close)
    asks = Asks(house, payments, clock, public_url)
    accounts = AccountApi(payments, database)
    payee_api = PayeeApi(payees, database)
    receipts = ReceiptApi(payments, clerk, database, evidence, joined)
    proofs = CycleProofs(house, clerk, database, joined.hub_url)
    shares = SharesApi(house, database, joined.hub_url)
    server.api += [
        *accounts.routes(),
        *PaymentApi(payments).routes(),
        *payee_api.routes(),
        *AskApi(asks).routes(),
        *DirectoryApi(house, clerk).routes(),
        *receipts.routes(),
        *events.routes(),
        *treasury(server, house, payments),
        *shares.routes(),
        *CycleProofsApi(proofs).routes(),
    ]
    parts = Parts(
        house=house,
        clerk=clerk,
        database=database,
        clock=clock,
        payments=payments,
        payees=payees,
        asks=asks,
        accounts=accounts,
        payee_api=payee_api,
        receipts=receipts,
        group=GroupApi(house, clerk, database),
        members=MembersApi(treasurer, payments, database),
        entries=EntriesApi(treasurer, payments, database),
        alarms=AlarmApi(database, ALARMS, TREASURER),
        news=news,
        treasurer=treasurer,
        staff=Staff(clerk, database, clock, public_url),
        cycles=CycleDesk(house, database, clock, server.settings),
        proofs=proofs,
        shares=shares,
        leaving=LeavingApi(house, clerk, database),
        warning=WarningApi(house, clerk),
        own_keys=OwnKeysApi(house, key_changes(server, house)),
    )
    pages = runner.add_pages(server, site_of(house, server.settings))
    server.api += routes_of(pages, parts)


def key_changes(server: Server, house: NodeHouse) -> KeyChanges:
    """Let the group's keys be changed, by programs and by pages."""
    folder = keys_folder(server.settings)
    return KeyChanges(
        house,
        server.clerk,
        lambda: asyncio.to_thread(add_keys, folder),
        server.kill_switch,
    )


def treasury(server: Server, house: NodeHouse, payments: Payments) -> list[Route]:
    """List the API's routes for those who run the group."""
    clerk, database, clock = server.clerk, server.database, server.clock
    public_url = server.settings.server.public_url
    treasurer = Treasurer(clerk, database, clock, public_url)
    desk = CycleDesk(house, database, clock, server.settings)
    return [
        *GroupApi(house, clerk, database).routes(),
        *MembersApi(treasurer, payments, database).routes(),
        *EntriesApi(treasurer, payments, database).routes(),
        *BulkApi(Bulk(treasurer, clerk, database), payments).routes(),
        *PositionApi(house, clerk, payments, database, clock).routes(),
        *UnitApi(Proposals(house, clerk), database).routes(),
        *LeavingApi(house, clerk, database).routes(),
        *AlarmApi(database, ALARMS, TREASURER).routes(),
        *TrustApi(house, clerk, database).routes(),
        *WarningApi(house, clerk).routes(),
        *OwnKeysApi(house, key_changes(server, house)).routes(),
        *StaffApi(Staff(clerk, database, clock, public_url), database).routes(),
        *ExportsApi(Exports(database)).routes(),
        *MovingApi(Moving(house, clerk, database, clock), house).routes(),
        *CyclesApi(house, clerk, database, CycleWatch(clerk, database)).routes(),
        *CycleFilesApi(desk).routes(),
    ]


async def sweep(server: Server) -> None:
    """Follow a payment *now* that could not be delivered in time by its cancel.

    The hub's time decides what is late, as its covers tell it.
    """
    async with server.database.readers.acquire() as connection:
        late = await transfer_store.read_late(
            connection,
            server.clerk.peer_now(HUB),
            server.clerk.link(HUB).acknowledged,
            _SWEEP_MOST,
        )
    for transfer_id in late:
        await server.clerk.take(CancelWish(transfer_id=transfer_id))
