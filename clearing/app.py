"""The hub put together: the house's rules, the clerk, its end of the links."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from clearing import audit, log_store
from clearing.api.consents import ConsentsApi
from clearing.api.cycle_requests import CycleRequests
from clearing.api.cycles import CyclesApi
from clearing.api.federation import FederationApi
from clearing.api.groups import GroupsApi
from clearing.api.invitations import InvitationsApi
from clearing.api.limits import LimitsApi
from clearing.api.links import LinksApi
from clearing.api.log import LogApi
from clearing.api.open_cycle import OpenCycleApi
from clearing.api.settlement import SettlementApi
from clearing.api.shares import SharesApi
from clearing.api.standing import StandingApi
from clearing.api.transfers import TransfersApi
from clearing.calendar import Calendar, Fullness
from clearing.consents import Consents
from clearing.cycle_files import CycleFiles
from clearing.cycle_watch import CycleWatch
from clearing.evidence import Evidence
from clearing.house import Due, HubHouse
from clearing.inquiries import Inquiries
from clearing.leg_watch import LegWatch
from clearing.limit_watch import LimitWatch
from clearing.log_store import Identity
from clearing.pages.site import Parts, routes_of, site_of
from clearing.rules import Agreed
from clearing.trail import Trail
from protocol.address import Group
from protocol.envelope import Body
from protocol.errors import InterletsError
from protocol.link import Link, Trouble
from protocol.peer import runner, transfer_store
from protocol.peer.database import AWAY, Database
from protocol.peer.endpoint import LinkEndpoint
from protocol.peer.key_files import load_keys
from protocol.peer.runner import Server
from protocol.peer.settings import Settings, SharingSettings
from protocol.peer.web.alarms import AlarmApi
from protocol.sharing import ChargeRule, SharingRule

MIGRATIONS = ("clearing", Path(__file__).parent / "migrations")

#: How often the hub looks for transfers whose time is up.
_SWEEP_S = 0.5
_SWEEP_MOST = 1000
#: How often it looks for disputes that wait for a list, and legs for a decision.
_CYCLE_S = 1.0
#: How often it looks who has newly passed the threshold of a limit.
_LIMITS_S = 30.0
#: How often it looks whether a leg has newly become late.
_LEGS_S = 60.0
#: How often it looks whether a cycle is to end by itself.
_CALENDAR_S = 60.0
#: How often it keeps who was shown its log, for receipts that nobody has asked for.
_WITNESS_S = 3600.0


class NotInitialisedError(InterletsError):
    """This hub has no federation yet."""


def keys_folder(settings: Settings) -> Path:
    """Say where the hub's private keys are."""
    return settings.server.data / "keys"


async def serve(settings: Settings) -> None:
    """Serve the hub until told to stop."""
    database = await Database.open(settings.database)
    try:
        async with database.readers.acquire() as connection:
            identity = await log_store.read_identity(connection)
        if identity is None:
            raise NotInitialisedError(
                "this hub has no federation yet; run: interlets-hub init"
            )
        house = HubHouse(
            load_keys(keys_folder(settings)), identity, agreed_in(settings.sharing)
        )
        runner.configure_log(settings, identity.federation.partition("#")[0])
        server = runner.build(settings, database, house, MIGRATIONS)
        inquiries = Inquiries(house, server.clerk, server.clock, server.metrics)
        evidence = Evidence(identity)

        def hear(group: Group, body: Body) -> None:
            inquiries.pass_on(group, body)
            evidence.note_cover(body.cover)

        links = LinkEndpoint(server.clerk, server.clock, house.must_wait, hear)
        shares = add_people(server, house, identity, evidence)
        server.routes += [
            *FederationApi(house, server.clerk, identity).routes(),
            *shares.for_all(),
            *LogApi(house, server.clerk, database, evidence).routes(),
            web.post("/federation/v1/link", links.post_link),
        ]
        runner.add_audit(server, audit.plan_of(identity), "admin")
        server.on_shutdown.append(links.close)

        async def keep_witnesses() -> None:
            await evidence.keep_newest(database)

        async def part(_application: web.Application) -> None:
            with contextlib.suppress(TimeoutError, *AWAY):
                await keep_witnesses()

        server.on_shutdown.append(part)
        cycles = CycleWatch(house, server.clerk, database)
        limits = LimitWatch(house, server.clerk, database, server.clock)
        legs = LegWatch(house, server.clerk, database, server.clock)
        server.tasks += [
            lambda: runner.every(server, _LIMITS_S, limits.look),
            lambda: runner.every(server, _LEGS_S, legs.look),
            lambda: runner.every(server, _SWEEP_S, lambda: sweep(server)),
            lambda: runner.every(server, _CYCLE_S, cycles.look),
            lambda: runner.every(server, _WITNESS_S, keep_witnesses),
        ]
        add_calendar(server, house)
        await runner.serve(server)
    finally:
        await database.close()


def agreed_in(settings: SharingSettings) -> Agreed:
    """Read what the groups have agreed on, as the regional admin has set it."""
    rule = settings.rule
    return Agreed(
        rule=None if rule == "none" else SharingRule(rule),
        charge=ChargeRule(
            rate=settings.charge_rate, threshold=settings.charge_threshold
        ),
    )


def add_calendar(server: Server, house: HubHouse) -> None:
    """Let cycles end by themselves: when they are full, and where it was set so."""
    fullness = Fullness(house, server.clerk)
    server.tasks.append(lambda: runner.every(server, _CALENDAR_S, fullness.look))
    settings = server.settings.cycle
    if settings.calendar == "off":
        return
    calendar = Calendar(
        house,
        server.clerk,
        server.database,
        server.clock,
        settings.calendar,
        settings.hour,
    )
    server.tasks.append(lambda: runner.every(server, _CALENDAR_S, calendar.look))


def add_people(
    server: Server, house: HubHouse, identity: Identity, evidence: Evidence
) -> SharesApi:
    """Let the regional admin in, by her programs and by pages.

    What all may know of shares, the caller lets everyone ask.
    """
    clerk, database, clock = server.clerk, server.database, server.clock
    public_url = server.settings.server.public_url
    trail = Trail(house, identity)
    files = CycleFiles(identity, evidence)
    consents = Consents(house, clerk, database, clock)
    shares = SharesApi(house, clerk, database, consents)
    parts = Parts(
        groups=GroupsApi(house, clerk, database, consents),
        limits=LimitsApi(house, clerk, database, clock),
        links=LinksApi(house, clerk, database, clock),
        transfers=TransfersApi(clerk, database, clock, trail),
        invitations=InvitationsApi(house, clerk, database, clock, public_url, consents),
        consents=consents,
        alarms=AlarmApi(database, "/api/v1/alarms", "admin"),
        cycles=CyclesApi(house, clerk, database, clock, files),
        open_cycle=OpenCycleApi(house, clerk, database),
        settlements=SettlementApi(house, database),
        shares=shares,
        federation=identity.federation,
        database=database,
        clock=clock,
    )
    server.api += [
        *parts.groups.routes(),
        *parts.limits.routes(),
        *parts.links.routes(),
        *parts.transfers.routes(),
        *parts.invitations.routes(),
        *parts.alarms.routes(),
        *ConsentsApi(consents, parts.invitations).routes(),
        *parts.open_cycle.routes(),
        *parts.cycles.routes(),
        *parts.settlements.routes(),
        *parts.shares.routes(),
        *StandingApi(database, clock).routes(),
    ]
    server.routes += CycleRequests(house, clerk, clock, parts.cycles).routes()
    pages = runner.add_pages(server, site_of(house, server.settings))
    server.api += routes_of(pages, parts)
    return shares


def silent_groups(links: Iterable[Link]) -> list[str]:
    """Name the groups that have not compared: what is theirs cannot be decided."""
    return [
        link.peer for link in links if not link.has_compared and link.trouble is None
    ]


def groups_ahead(links: Iterable[Link]) -> list[str]:
    """Name the groups that have more of the hub's than it knows.

    The hub may have forgotten what it decided on an offer of theirs, and waits.
    """
    return [link.peer for link in links if link.trouble is Trouble.WE_ARE_BEHIND]


async def sweep(server: Server) -> None:
    """Ask the clerk to decide what is due."""
    async with server.database.readers.acquire() as connection:
        due = await transfer_store.read_due(
            connection,
            server.clock.now(),
            _SWEEP_MOST,
            silent_groups(server.clerk.links.values()),
            groups_ahead(server.clerk.links.values()),
        )
    if due:
        await server.clerk.take(Due(due))
