"""The hub's pages put together: one menu, one table of routes."""

from pathlib import Path
from typing import NamedTuple

from clearing.api.groups import GroupsApi
from clearing.api.invitations import InvitationsApi
from clearing.api.limits import LimitsApi
from clearing.api.links import LinksApi
from clearing.api.transfers import TransfersApi
from clearing.house import HubHouse
from clearing.pages.groups import GroupPages
from clearing.pages.profile import ProfilePages
from clearing.pages.traffic import TrafficPages
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.settings import Settings
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.pages import NavEntry, Pages, Site
from protocol.peer.web.routes import Route

MENU = tuple(
    NavEntry(path, f"menu.{name}", ("admin",), of_account=False)
    for path, name in (
        ("/", "positions"),
        ("/flows", "flows"),
        ("/transfers", "transfers"),
        ("/links", "links"),
        ("/alarms", "alarms"),
        ("/invite", "invite"),
        ("/profile", "profile"),
    )
)


class Parts(NamedTuple):
    """What pages call: the same that programs do."""

    groups: GroupsApi
    limits: LimitsApi
    links: LinksApi
    transfers: TransfersApi
    invitations: InvitationsApi
    alarms: AlarmApi
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
        ).routes(),
        *TrafficPages(
            pages, parts.transfers, parts.links, parts.alarms, parts.clock
        ).routes(),
        *ProfilePages(pages, parts.database, parts.clock).routes(),
    ]
