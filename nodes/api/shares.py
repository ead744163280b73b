"""The treasurer's desk: what our group bears together with others, or is to."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import share_store
from nodes.house import NodeHouse
from nodes.hub_reader import HubReader
from nodes.rules import OwnShared, told_in
from protocol.errors import MalformedMessageError, OutageError
from protocol.instant import write_nullable
from protocol.messages import CountField, Share
from protocol.peer.database import Database
from protocol.peer.web.paging import PAGE_SIZE, PageSizeField
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response, read_query
from protocol.peer.web.routes import Route

_AGREED_LENGTH_MAX = 4096
#: People wait for a page no longer than this.
_AGREED_S = 3.0


class AgreedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the groups agreed on beforehand, as the hub publishes it.

    ``rule`` is how what a group leaves behind is shared; ``null``: it is not.
    ``charge_rate`` and ``charge_threshold`` are millionths; a rate of 0: no charge.
    """

    rule: Literal["equal", "turnover", "size"] | None
    charge_rate: CountField
    charge_threshold: CountField


class SharesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many, the newest first."""

    page_size: PageSizeField = PAGE_SIZE


class SharedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that groups share; amounts are what it adds to positions, milliseconds.

    ``state`` is ``told`` while nothing has moved, then ``decided``. ``ours`` is our
    own part, ``shares`` are all that we were told of beforehand, measured by
    ``rule`` in cycle ``cycle``.
    """

    id: str
    why: str
    state: str
    group: str | None
    rule: str | None
    cycle: int | None
    ours: int
    shares: list[Share]
    told_at: str | None
    decided_at: str | None
    log: str | None
    number: int | None


class SharesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a decision first; ``agreed`` is ``null`` while the hub is away."""

    agreed: AgreedAnswer | None
    shared: Annotated[list[SharedAnswer], Meta(max_length=200)]


_agreed_decoder = msgspec.json.Decoder(AgreedAnswer)


class SharesApi:
    """The handlers, one method each.

    Args:
        house: knows who we are.
        database: read only here.
        hub_url: where the hub publishes what was agreed on.
    """

    def __init__(self, house: NodeHouse, database: Database, hub_url: str) -> None:
        self._house = house
        self._database = database
        self._hub_url = hub_url

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/group/shares",
                handler=self.get_shares,
                told="What our group bears together with others, or is to, and why.",
                scope="treasurer",
                query=SharesQuery,
                answer=SharesAnswer,
            ),
        ]

    async def get_shares(self, request: web.Request) -> web.Response:
        """Give what waits, and what has been decided."""
        query = read_query(request, SharesQuery)
        return json_response(await self.shares(query.page_size))

    async def shares(self, most: int) -> SharesAnswer:
        """Give what waits, and what has been decided, as answers show it."""
        async with self._database.readers.acquire() as connection:
            found = await share_store.read_shared(connection, most)
        return SharesAnswer(
            agreed=await self._agreed(), shared=[_shared(one) for one in found]
        )

    async def decided(self, most: int) -> list[SharedAnswer]:
        """Give at most ``most`` that were decided, the newest first; asks no hub."""
        async with self._database.readers.acquire() as connection:
            found = await share_store.read_shared(connection, most)
        answers = [_shared(one) for one in found]
        return [one for one in answers if one.state == "decided"]

    async def shared(self, shared_id: str) -> SharedAnswer:
        """Give one of them; 404 when there is none by this id."""
        async with self._database.readers.acquire() as connection:
            found = await share_store.read_shared_named(connection, [shared_id])
        if shared_id not in found:
            raise Problem(404, "not-found", "This group shares nothing by this id.")
        return _shared(found[shared_id])

    async def _agreed(self) -> AgreedAnswer | None:
        """Ask the hub; one that is away, or older than this, says nothing."""
        try:
            async with HubReader(self._hub_url, _AGREED_S) as hub:
                raw = await hub.fetch("sharing", _AGREED_LENGTH_MAX)
            return _agreed_decoder.decode(raw)
        except (OutageError, MalformedMessageError, msgspec.MsgspecError):
            return None


def _shared(own: OwnShared) -> SharedAnswer:
    told = None if own.line is None else told_in(own)
    return SharedAnswer(
        id=own.shared_id,
        why=own.why,
        state="told" if own.name is None else "decided",
        group=own.group,
        rule=None if told is None else told.rule,
        cycle=None if told is None else told.cycle,
        ours=own.amount,
        shares=[] if told is None else told.shares,
        told_at=None if told is None else told.at,
        decided_at=write_nullable(own.decided_at),
        log=None if own.name is None else own.name.log,
        number=None if own.name is None else own.name.number,
    )
