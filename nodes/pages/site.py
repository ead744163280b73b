"""A node's pages put together: one menu, one table of routes."""

from pathlib import Path
from typing import NamedTuple

from nodes.api.account import AccountApi
from nodes.api.entries import EntriesApi
from nodes.api.events import EventsApi
from nodes.api.group import GroupApi
from nodes.api.members import MembersApi
from nodes.api.news import News
from nodes.api.payees import PayeeApi
from nodes.api.receipts import ReceiptApi
from nodes.asks import Asks
from nodes.house import NodeHouse
from nodes.pages.account import AccountPages
from nodes.pages.asks import AskPages
from nodes.pages.drafts import Drafts
from nodes.pages.pay import PayPages
from nodes.pages.payment import PaymentPages
from nodes.pages.profile import ProfilePages
from nodes.pages.treasurer import TreasurerPages
from nodes.payees import Payees
from nodes.payments import Payments
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.settings import Settings
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.pages import NavEntry, Pages, Site
from protocol.peer.web.routes import READER, TREASURER, Route

MENU = (
    NavEntry("/", "menu.account", ("read",)),
    NavEntry("/pay", "menu.pay", ("pay",)),
    NavEntry("/pay-me", "menu.pay-me", ("pay",)),
    NavEntry("/history", "menu.history", ("read",)),
    NavEntry("/treasurer", "menu.treasurer", (TREASURER, READER), of_account=False),
    NavEntry("/profile", "menu.profile", ("read",), of_account=False),
)


class Parts(NamedTuple):
    """What pages call: the same that the API calls."""

    house: NodeHouse
    clerk: Clerk
    database: Database
    clock: Clock
    payments: Payments
    payees: Payees
    asks: Asks
    accounts: AccountApi
    payee_api: PayeeApi
    receipts: ReceiptApi
    group: GroupApi
    members: MembersApi
    entries: EntriesApi
    alarms: AlarmApi
    news: News


def site_of(house: NodeHouse, settings: Settings) -> Site:
    """Say what a node's pages have in common."""

    def title() -> str:
        record = house.directory.get(house.own)
        return house.own if record is None else record.entry.name

    return Site(
        name=house.own,
        title=title,
        public_url=settings.server.public_url,
        zone=settings.server.zone(),
        templates=Path(__file__).parent / "templates",
        menu=MENU,
    )


def routes_of(pages: Pages, parts: Parts) -> list[Route]:
    """List a node's pages."""
    drafts = Drafts(parts.payees, parts.payments, parts.asks, parts.accounts)
    events = EventsApi(
        parts.payments, parts.news, parts.house.listeners, parts.clerk, pages
    )
    return [
        *AccountPages(pages, parts.accounts, parts.payments).routes(),
        *PayPages(pages, drafts, parts.asks, parts.payments).routes(),
        *PaymentPages(pages, parts.payments, drafts, parts.receipts).routes(),
        *AskPages(pages, parts.asks, drafts).routes(),
        *ProfilePages(pages, parts.payee_api, parts.database, parts.clock).routes(),
        *TreasurerPages(
            pages,
            parts.group,
            parts.members,
            parts.entries,
            parts.alarms,
            parts.payments,
        ).routes(),
        Route.page("GET", "/events", events.get_events, "read"),
    ]
