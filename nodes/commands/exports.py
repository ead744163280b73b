"""Exports from the command line: they read the database beside the server."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nodes import app
from nodes.export_store import EXPORTS, ExportName
from nodes.exports import Exports, read_name
from protocol.peer.command_line import DataError
from protocol.peer.database import Database
from protocol.peer.settings import Settings

__all__ = ["EXPORTS", "export"]


def export(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object] | None:
    """Write an export to a file, or to standard output."""
    name = read_name(chosen.name)
    if chosen.to is None:
        asyncio.run(_write(settings, name, sys.stdout.buffer))
        return None
    with _new_file(Path(chosen.to)) as file:
        asyncio.run(_write(settings, name, file))
    return {"written": chosen.to}


async def _write(settings: Settings, name: ExportName, to: BinaryIO) -> None:
    database = await Database.open(settings.database)
    try:
        async with database.readers.acquire() as connection:
            await app.read_membership(connection)
        async with Exports(database).open(name) as pieces:
            async for piece in pieces:
                _put(piece, to)
    finally:
        await database.close()


def _put(piece: bytes, to: BinaryIO) -> None:
    """Write at once; what goes wrong here is no fault of the database's."""
    try:
        to.write(piece)
        to.flush()
    except OSError as error:
        raise DataError(f"the export cannot be written: {error.strerror}") from None


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a whole file or none; only its owner reads who owes what."""
    if not path.name:
        raise DataError(f"{path}: is a folder; expected the name of a file")
    part = path.with_name(f"{path.name}.part")
    try:
        # One that a crash has left may have been opened to others since.
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
