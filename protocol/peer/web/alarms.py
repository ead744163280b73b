"""What no program may decide, for the people who run this server."""

import msgspec
from aiohttp import web

from protocol.instant import write_instant
from protocol.peer import directory_store
from protocol.peer.database import Database
from protocol.peer.web import words
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.problems import language_of
from protocol.peer.web.requests import json_response, read_query
from protocol.peer.web.routes import Route
from protocol.peer.web.words import Language


class AlarmAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm: ``told`` is the finding, ``advice`` what it means and what to do."""

    id: str
    at: str
    about: str
    told: str
    advice: str


class AlarmsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of alarms, newest first; ``cursor`` gives the next one."""

    alarms: list[AlarmAnswer]
    cursor: str | None


class AlarmApi:
    """Alarms, at hub and node alike.

    Args:
        database: read only here.
        path: where they are read.
        scope: who may.
    """

    def __init__(self, database: Database, path: str, scope: str) -> None:
        self._database = database
        self._path = path
        self._scope = scope

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path=self._path,
                handler=self.get_alarms,
                told="What no program may decide and people must look at.",
                scope=self._scope,
                query=PageQuery,
                answer=AlarmsAnswer,
            )
        ]

    async def get_alarms(self, request: web.Request) -> web.Response:
        """Give a page of alarms, newest first."""
        query = read_query(request, PageQuery)
        return json_response(await self.alarms(query, language_of(request)))

    async def alarms(self, query: PageQuery, language: Language) -> AlarmsAnswer:
        """Give a page of alarms, as answers show them."""
        before = directory_store.NEWEST if query.cursor is None else int(query.cursor)
        async with self._database.readers.acquire() as connection:
            alarms = await directory_store.read_alarms(
                connection, query.page_size, before
            )
        full = len(alarms) == query.page_size
        return AlarmsAnswer(
            alarms=[
                AlarmAnswer(
                    id=str(alarm.alarm_id),
                    at=write_instant(alarm.at),
                    about=alarm.about,
                    told=alarm.told,
                    advice=words.alarm(alarm.about, language),
                )
                for alarm in alarms
            ],
            cursor=str(alarms[-1].alarm_id) if full else None,
        )
