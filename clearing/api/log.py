"""The decision log as anyone may read it: checkpoints, tiles, evidence.

Nothing here needs a token. Tiles hold hashes only, so that nobody learns a
transfer's id from them; evidence is given to whoever knows an id, which cannot be
guessed (protocol, section 9).
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from clearing import log_store
from clearing.api.turns import Turns, shares
from clearing.evidence import Evidence
from clearing.house import HubHouse
from protocol.address import UUID
from protocol.errors import MalformedMessageError
from protocol.merkle import HASH_LENGTH
from protocol.peer.clerk import Clerk
from protocol.peer.database import AWAY, AnyConnection, Database
from protocol.peer.recent import Recent
from protocol.peer.web.problems import Problem
from protocol.receipt import MEDIA_TYPE, write_receipt
from protocol.strict_json import INTEGER_MAX
from protocol.tiles import WIDTH, Tile

_LOGGER = logging.getLogger(__name__)
#: Not a name that a proxy could mistake for a page.
TILE_TYPE = "application/octet-stream"
NOTE_TYPE = "text/plain"
_LOG = "{log:[A-Za-z0-9_-]{11}}"
_PLACE = re.compile(r"((?:x[0-9]{3}/){0,4})([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEVEL_MAX = 6
#: Who comes when so many wait is told to come back.
_EVIDENCE_WAITING_MAX = 16
_LOG_WAITING_MAX = 256
#: 8 KiB each.
_TILES_KEPT = 512
#: Covers name one of the last ones.
_NOTES_KEPT = 256
#: A whole tile never changes; a year is the longest that caches are told.
_FOR_EVER = "public, max-age=31536000, immutable"


class LogApi:
    """The handlers, one method each.

    Args:
        house: has the newest note of this life's log.
        clerk: knows the log of this life.
        database: read only here.
        evidence: puts proofs together.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, database: Database, evidence: Evidence
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._evidence = evidence
        for_evidence, for_log = shares(database.readers.get_max_size())
        self._evidence_turns = Turns(for_evidence, _EVIDENCE_WAITING_MAX)
        self._log_turns = Turns(for_log, _LOG_WAITING_MAX)
        self._notes: Recent[tuple[str, int], str] = Recent(_NOTES_KEPT)
        self._tiles: Recent[tuple[str, int, int], bytes] = Recent(_TILES_KEPT)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        base = "/federation/v1/log"
        return [
            web.get(f"{base}/checkpoint", self.get_newest),
            web.get(f"{base}/{_LOG}/checkpoint", self.get_checkpoint),
            web.get(f"{base}/{_LOG}/first", self.get_first),
            web.get(f"{base}/{_LOG}/tile/{{level:[0-9]}}/{{place:.+}}", self.get_tile),
            web.get("/federation/v1/evidence/{id}", self.get_evidence),
        ]

    async def get_newest(self, _request: web.Request) -> web.Response:
        """Give the newest checkpoint of this life's log."""
        self._clerk.check_ready()
        return await self._note(self._clerk.life, 0)

    async def get_checkpoint(self, request: web.Request) -> web.Response:
        """Give a log's newest checkpoint, or with ``?size=`` an older one."""
        text = request.query.get("size", "0")
        if not text.isascii() or not text.isdecimal() or len(text) > 16:
            raise MalformedMessageError("size", text, "a number of decisions")
        return await self._note(request.match_info["log"], int(text))

    async def _note(self, log: str, size: int) -> web.Response:
        note = self._known_note(log, size)
        if note is None:
            async with self._reading() as connection:
                note = await log_store.read_note(connection, log, size)
            if note is None:
                raise Problem(404, "not-found", "There is no such checkpoint.")
            if size:
                self._notes.keep((log, size), note)
        return web.Response(
            body=note.encode(),
            content_type=NOTE_TYPE,
            charset="utf-8",
            headers={"Cache-Control": "no-store"},
        )

    def _known_note(self, log: str, size: int) -> str | None:
        newest = self._house.checkpoint
        if newest is not None and newest.log == log and size in (0, newest.size):
            return self._house.note
        return self._notes.find((log, size))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AnyConnection]:
        """Read the log: never with all of the readers."""
        async with (
            self._log_turns.take(),
            self._database.readers.acquire() as connection,
        ):
            yield connection

    async def get_first(self, request: web.Request) -> web.Response:
        """Give a log's first decision, which says from what it was continued.

        It names no transfer; with it anybody can follow the logs back.
        """
        log = request.match_info["log"]
        async with self._reading() as connection:
            lines = await log_store.read_leaves(connection, log, 0, 0)
        if not lines:
            raise Problem(404, "not-found", "There is no such log.")
        return web.Response(
            body=lines[0],
            content_type="application/json",
            headers={"Cache-Control": _FOR_EVER},
        )

    async def get_tile(self, request: web.Request) -> web.Response:
        """Give a tile's hashes (C2SP ``tlog-tiles``)."""
        log = request.match_info["log"]
        tile = _read_place(request.match_info["level"], request.match_info["place"])
        return web.Response(
            body=await self._tile(log, tile),
            content_type=TILE_TYPE,
            headers={"Cache-Control": _FOR_EVER},
        )

    async def _tile(self, log: str, tile: Tile) -> bytes:
        place = (log, tile.level, tile.index)
        whole = self._tiles.find(place)
        if whole is not None:
            return whole[: tile.width * HASH_LENGTH]
        async with self._reading() as connection:
            hashes = await log_store.read_tile(connection, log, tile)
        if len(hashes) != tile.width:
            raise Problem(404, "not-found", "The log is not so long.")
        if tile.width == WIDTH:
            self._tiles.keep(place, b"".join(hashes))
        return b"".join(hashes)

    async def get_evidence(self, request: web.Request) -> web.Response:
        """Give what proves a cleared transfer, without its content.

        With ``?witnesses=false`` without other groups' covers, so nothing is kept.
        """
        transfer_id = request.match_info["id"]
        asked = request.query.get("witnesses", "true")
        if asked not in ("true", "false"):
            raise MalformedMessageError("witnesses", asked, "true or false")
        receipt = None
        if UUID.fullmatch(transfer_id):
            async with (
                self._evidence_turns.take(),
                self._database.readers.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                receipt = await self._evidence.find(
                    connection, transfer_id, has_witnesses=asked == "true"
                )
        if receipt is None:
            raise Problem(404, "not-found", "No cleared transfer has this id.")
        try:
            await self._evidence.keep_witnesses(self._database, receipt)
        except (TimeoutError, *AWAY) as error:
            # It proves as much as before; only the next one may have less.
            _LOGGER.warning("keeping witnesses: %s", type(error).__name__)
        return web.Response(
            body=write_receipt(receipt),
            content_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store"},
        )


def _read_place(level: str, place: str) -> Tile:
    """Read a tile's path, as ``protocol.tiles.write_path`` writes it."""
    found = _PLACE.fullmatch(place)
    is_partial = found is not None and found[3] is not None
    if (
        found is None
        or int(level) > _LEVEL_MAX
        or (is_partial and int(found[3]) >= WIDTH)
    ):
        raise MalformedMessageError("tile", place, "a path like 0/x001/234.p/56")
    index = 0
    for part in [*found[1].replace("x", "").split("/")[:-1], found[2]]:
        index = index * 1000 + int(part)
    if (index + 1) * WIDTH > INTEGER_MAX:
        raise MalformedMessageError("tile", place, "a tile that a log could have")
    return Tile(int(level), index, int(found[3]) if is_partial else WIDTH)
