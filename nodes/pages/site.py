"""A node's pages put together: one menu, one table of routes."""

from pathlib import Path
from typing import NamedTuple

from nodes.api.account import AccountApi
from nodes.api.entries import EntriesApi
from nodes.api.events import EventsApi
from nodes.api.group import GroupApi
from nodes.api.leaving import LeavingApi
from nodes.api.members import MembersApi
from nodes.api.news import News
from nodes.api.own_keys import OwnKeysApi
from nodes.api.payees import PayeeApi
from nodes.api.receipts import ReceiptApi
from nodes.api.shares import SharesApi
from nodes.api.staff import StaffApi
from nodes.api.unit import UnitApi
from nodes.api.warning import WarningApi
from nodes.asks import Asks
from nodes.bulk import Bulk
from nodes.cycle_desk import CycleDesk
from nodes.cycle_proofs import CycleProofs
from nodes.house import NodeHouse
from nodes.pages.account import AccountPages
from nodes.pages.admitting import AdmittingPages
from nodes.pages.asks import AskPages
from nodes.pages.cycles import CyclePages
from nodes.pages.drafts import Drafts
from nodes.pages.entries import EntryPages
from nodes.pages.handover import Handover
from nodes.pages.leaving import LeavingPages
from nodes.pages.legs import LegPages
from nodes.pages.members import MemberPages
from nodes.pages.our_group import OurGroupPages
from nodes.pages.own_keys import OwnKeysPages
from nodes.pages.pay import PayPages
from nodes.pages.payment import PaymentPages
from nodes.pages.people import PeoplePages
from nodes.pages.profile import ProfilePages
from nodes.pages.proofs import ProofPages
from nodes.pages.shares import SharesPages
from nodes.pages.treasurer import TreasurerPages
from nodes.pages.unit import UnitPages
from nodes.pages.warning import WarningPages
from nodes.payees import Payees
from nodes.payments import Payments
from nodes.proposals import Proposals
from nodes.staff import Staff
from nodes.treasurer import Treasurer
from nodes.watch.cycle_watch import CycleWatch
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
    NavEntry("/profile", "menu.profile", ("read", READER), of_account=False),
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
    treasurer: Treasurer
    staff: Staff
    cycles: CycleDesk
    proofs: CycleProofs
    shares: SharesApi
    leaving: LeavingApi
    warning: WarningApi
    own_keys: OwnKeysApi


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
        *OurGroupPages(pages, parts.payments, parts.shares, parts.cycles).routes(),
        *ProfilePages(pages, parts.payee_api, parts.database, parts.clock).routes(),
        *_desk_routes(pages, parts),
        Route.page("GET", "/events", events.get_events, "read"),
    ]


def _desk_routes(pages: Pages, parts: Parts) -> list[Route]:
    """List the pages of those who run the group."""
    treasurer, payments, handover = parts.treasurer, parts.payments, Handover(pages)
    group, alarms, members = parts.group, parts.alarms, parts.members
    bulk = Bulk(treasurer, parts.clerk, parts.database)
    proposals = Proposals(parts.house, parts.clerk)
    staff_api = StaffApi(parts.staff, parts.database)
    watch = CycleWatch(parts.clerk, parts.database)
    return [
        *TreasurerPages(pages, group, alarms, payments, parts.cycles).routes(),
        *MemberPages(pages, members, treasurer, handover).routes(),
        *AdmittingPages(pages, members, treasurer, payments, handover).routes(),
        *EntryPages(pages, parts.entries, treasurer, bulk, payments).routes(),
        *UnitPages(pages, UnitApi(proposals, parts.database), proposals).routes(),
        *PeoplePages(pages, parts.staff, staff_api, handover).routes(),
        *CyclePages(pages, parts.cycles, watch).routes(),
        *LegPages(pages, parts.cycles, parts.clerk, parts.clock).routes(),
        *ProofPages(pages, parts.proofs, parts.cycles).routes(),
        *SharesPages(pages, parts.shares, parts.cycles).routes(),
        *LeavingPages(pages, parts.leaving, parts.cycles).routes(),
        *WarningPages(pages, parts.warning).routes(),
        *OwnKeysPages(pages, parts.own_keys).routes(),
    ]
