"""Doubts, and keys that nobody vouched for: what a treasurer sees, and says of them."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import trust_store
from nodes.house import NodeHouse
from nodes.rules import AcceptKeys, KeysOutcome, TrustAgain
from protocol.address import Group, read_reason
from protocol.instant import write_instant, write_nullable
from protocol.messages import GroupField
from protocol.peer import directory_store
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, json_response, read_json, read_query
from protocol.peer.web.routes import Route

#: Twelve digits, with or without the spaces in which they are shown.
DigitsField = Annotated[str, Meta(pattern=r"^[0-9]{4} ?[0-9]{4} ?[0-9]{4}\Z")]


class DoubtAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Statements that contradict each other, word for word as they were signed.

    ``about`` is ``hub`` or a group. ``trusted_at``, ``author`` (a person) and
    ``reason`` are there once somebody has said that people looked.
    """

    id: str
    at: str
    about: str
    told: str
    ours: str
    theirs: str
    trusted_at: str | None
    author: str | None
    reason: str | None


class DoubtsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of doubts, newest first; ``cursor`` gives the next one.

    ``doubted`` are those whose offers are refused now; with ``hub`` all are.
    """

    doubted: list[str]
    doubts: list[DoubtAnswer]
    cursor: str | None


class TrustRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is trusted again, ``hub`` or a group, and why."""

    about: GroupField
    reason: str


class TrustAnswer(msgspec.Struct, frozen=True):
    """Those who are still doubted."""

    doubted: list[str]


class KeysRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose keys were compared, the digits as they were read out, and how."""

    group: GroupField
    digits: DigitsField
    reason: str


class KeysAnswer(msgspec.Struct, frozen=True):
    """Groups whose keys are still to be compared."""

    keys_waiting: list[str]


_decoder = msgspec.json.Decoder(TrustRequest)
_keys_decoder = msgspec.json.Decoder(KeysRequest)


class TrustApi:
    """Doubts, and trust after them.

    Args:
        house: knows whose keys are to be compared.
        clerk: makes durable that people trust again.
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
                path="/api/v1/group/doubts",
                handler=self.get_doubts,
                told="Signed statements that contradict each other, kept as proof.",
                scope="treasurer",
                query=PageQuery,
                answer=DoubtsAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/group/trust",
                handler=self.post_trust,
                told="Say that people have looked, and take offers again.",
                scope="treasurer",
                body=TrustRequest,
                answer=TrustAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/group/keys",
                handler=self.post_keys,
                told="Say that people have compared a group's new keys by telephone.",
                scope="treasurer",
                body=KeysRequest,
                answer=KeysAnswer,
            ),
        ]

    async def get_doubts(self, request: web.Request) -> web.Response:
        """Give a page of doubts, newest first."""
        query = read_query(request, PageQuery)
        before = directory_store.NEWEST if query.cursor is None else int(query.cursor)
        async with self._database.readers.acquire() as connection:
            doubts = await trust_store.read_doubts(connection, before, query.page_size)
            trust = await trust_store.read(connection)
        full = len(doubts) == query.page_size
        answer = DoubtsAnswer(
            doubted=sorted(trust.doubted),
            doubts=[_answer(doubt) for doubt in doubts],
            cursor=str(doubts[-1].doubt_id) if full else None,
        )
        return json_response(answer)

    async def post_trust(self, request: web.Request) -> web.Response:
        """Trust the hub or a group again; who said so and why is kept for ever."""
        asked = await read_json(request, _decoder)
        wish = TrustAgain(
            about=asked.about,
            author=caller_of(request).person_id,
            reason=read_reason(asked.reason),
        )
        if not await self._clerk.take(wish):
            told = f"Nothing is doubted about {asked.about!r}."
            raise Problem(404, "not-doubted", told)
        async with self._database.readers.acquire() as connection:
            trust = await trust_store.read(connection)
        return json_response(TrustAnswer(sorted(trust.doubted)))

    async def post_keys(self, request: web.Request) -> web.Response:
        """Accept keys whose digits another treasurer has read out; kept for ever."""
        asked = await read_json(request, _keys_decoder)
        wish = AcceptKeys(
            group=Group(asked.group),
            digits=asked.digits.replace(" ", ""),
            author=caller_of(request).person_id,
            reason=read_reason(asked.reason),
        )
        outcome = await self._clerk.take(wish)
        if outcome is KeysOutcome.NOTHING_WAITS:
            told = f"No keys of {asked.group!r} wait to be compared."
            raise Problem(404, "nothing-to-compare", told)
        if outcome is KeysOutcome.DIFFER:
            told = "These are not the digits of the keys that the hub gives that group."
            raise Problem(409, "digits-differ", f"{told} Nothing was changed.")
        return json_response(KeysAnswer(sorted(self._house.keys_waiting)))


def _answer(doubt: trust_store.Doubt) -> DoubtAnswer:
    return DoubtAnswer(
        id=str(doubt.doubt_id),
        at=write_instant(doubt.at),
        about=doubt.about,
        told=doubt.told,
        ours=doubt.ours,
        theirs=doubt.theirs,
        trusted_at=write_nullable(doubt.trusted_at),
        author=doubt.author,
        reason=doubt.reason,
    )
