"""What a treasurer sees of the whole ledger."""

import msgspec
from aiohttp import web

from nodes import member_store
from nodes.house import NodeHouse
from protocol.address import HUB
from protocol.ledger import GROUP_UNIT, TIME_UNIT
from protocol.limit_warning import LimitWarning
from protocol.messages import Checkpoint
from protocol.peer import ledger_store, transfer_store
from protocol.peer.clerk import Clerk, link_state
from protocol.peer.database import Database
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import Route


class GroupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a treasurer sees of the whole ledger; sums are zero.

    ``clearing`` is the clearing account's balance in milliseconds: minus the
    group's position at the hub. ``mirrored_decision`` is the newest whose balance the
    hub was told since the start; it calls its admin when that is not its own.
    ``checkpoint`` is how far the hub's log is proved, and ``doubted`` whose offers
    are refused until people trust them again; with ``hub`` all are. With those in
    ``keys_waiting`` nothing is traded until people have compared their digits.
    ``warning`` is what is worth a word about the group's lowest and highest position.
    """

    group: str
    federation: str
    unit_sum: int
    time_sum: int
    clearing: int
    undecided: int
    link: str
    newest_decision: tuple[str, int] | None
    mirrored_decision: tuple[str, int] | None
    checkpoint: Checkpoint | None
    doubted: list[str]
    keys_waiting: list[str]
    warning: LimitWarning | None


class GroupApi:
    """The group as its treasurer sees it.

    Args:
        house: what this node believes.
        clerk: for the state of the link.
        database: read only here.
    """

    def __init__(self, house: NodeHouse, clerk: Clerk, database: Database) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/group",
                handler=self.get_group,
                told="The whole ledger's figures; its sums are zero.",
                scope="treasurer",
                answer=GroupAnswer,
            ),
        ]

    async def get_group(self, _request: web.Request) -> web.Response:
        """Give the whole ledger's figures, for a treasurer."""
        return json_response(await self.group())

    async def group(self) -> GroupAnswer:
        """Give the whole ledger's figures, as answers show them."""
        house, link = self._house, self._clerk.link(HUB)
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            sums = await ledger_store.read_sums(connection)
            clearing = await member_store.read_clearing(connection)
            newest = await member_store.read_newest(connection)
            undecided = await transfer_store.count_undecided(connection)
        return GroupAnswer(
            group=house.own,
            federation=house.federation,
            unit_sum=sums.get(GROUP_UNIT, 0),
            time_sum=sums.get(TIME_UNIT, 0),
            clearing=clearing,
            undecided=undecided,
            link=link_state(link),
            newest_decision=newest,
            mirrored_decision=house.mirrored,
            checkpoint=house.checkpoint,
            doubted=sorted(house.trust.doubted),
            keys_waiting=sorted(house.keys_waiting),
            warning=self._warning(-clearing),
        )

    def _warning(self, position: int) -> LimitWarning | None:
        house = self._house
        # Until the hub has answered its joining, a group has no limits.
        return house.limit_warning(position) if house.own in house.directory else None
