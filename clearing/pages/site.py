"""The hub's pages put together: one menu, one table of routes."""

from pathlib import Path
from typing import NamedTuple

from clearing.api.consents import ConsentsApi
from clearing.api.cycles import CyclesApi
from clearing.api.groups import GroupsApi
from clearing.api.invitations import InvitationsApi
from clearing.api.limits import LimitsApi
from clearing.api.links import LinksApi
from clearing.api.open_cycle import OpenCycleApi
from clearing.api.settlement import SettlementApi
from clearing.api.shares import SharesApi
from clearing.api.transfers import TransfersApi
from clearing.consents import Consents
from clearing.house import HubHouse
from clearing.pages.caps import CapPages
from clearing.pages.consents import ConsentPages
from clearing.pages.cycles import CyclePages
from clearing.pages.disputes import DisputePages
from clearing.pages.groups import GroupPages
from clearing.pages.profile import ProfilePages
from clearing.pages.settlements import SettlementPages
from clearing.pages.sharing import SharingPages
from clearing.pages.tables import TablePages
from clearing.pages.traffic import TrafficPages
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.settings import Settings
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.pages import NavEntry, Pages, Site
from protocol.peer.web.routes import ADMIN, READER, Route

_SEES = (ADMIN, READER)
MENU = tuple(
    NavEntry(path, f"menu.{name}", scopes, of_account=False)
    for path, name, scopes in (
        ("/", "positions", _SEES),
        ("/flows", "flows", _SEES),
        ("/cycles", "cycles", _SEES),
        ("/limits", "limits", _SEES),
        ("/sharing", "sharing", _SEES),
        ("/transfers", "transfers", _SEES),
        ("/links", "links", _SEES),
        ("/alarms", "alarms", _SEES),
        ("/invite", "invite", (ADMIN,)),
        ("/consents", "consents", _SEES),
        ("/profile", "profile", _SEES),
    )
)


class Parts(NamedTuple):
    """What pages call: the same that programs do."""

    groups: GroupsApi
    limits: LimitsApi
    links: LinksApi
    transfers: TransfersApi
    invitations: InvitationsApi
    consents: Consents
    alarms: AlarmApi
    cycles: CyclesApi
    open_cycle: OpenCycleApi
    settlements: SettlementApi
    shares: SharesApi
    federation: str
    database: Database
    clock: Clock


def site_of(house: HubHouse, settings: Settings) -> Site:
    """Say what the hub's pages have in common."""
    name = house.federation.partition("#")[0]

    def title() -> str:
        return name

    return Site(
        # Not the federation's name: a group on the same machine may have that too.
        name=house.own,
        title=title,
        public_url=settings.server.public_url,
        zone=settings.server.zone(),
        templates=Path(__file__).parent / "templates",
        menu=MENU,
    )


def routes_of(pages: Pages, parts: Parts) -> list[Route]:
    """List the hub's pages."""
    return [
        *GroupPages(
            pages,
            parts.groups,
            parts.limits,
            parts.links,
            parts.alarms,
            parts.invitations,
            parts.cycles,
        ).routes(),
        *CapPages(pages, parts.limits, parts.groups).routes(),
        *SharingPages(pages, parts.shares, parts.groups, parts.consents).routes(),
        *TrafficPages(
            pages, parts.transfers, parts.links, parts.alarms, parts.clock
        ).routes(),
        *CyclePages(
            pages,
            parts.cycles,
            parts.open_cycle,
            parts.settlements,
            parts.shares,
            parts.clock,
            parts.federation,
        ).routes(),
        *DisputePages(pages, parts.cycles, parts.transfers).routes(),
        *SettlementPages(pages, parts.cycles, parts.settlements, parts.clock).routes(),
        *TablePages(
            parts.groups,
            parts.links,
            parts.transfers,
            parts.cycles,
            parts.open_cycle,
            parts.settlements,
            parts.limits,
            parts.shares,
        ).routes(),
        *ConsentPages(
            pages, ConsentsApi(parts.consents, parts.invitations), parts.consents
        ).routes(),
        *ProfilePages(pages, parts.database, parts.clock).routes(),
    ]
