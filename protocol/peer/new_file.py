"""A new file that is there whole or not at all, for its owner alone."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.peer.command_line import CannotCreateError


class NewFile:
    """Written under another name first; ``keep`` gives it its own.

    Args:
        path: of the file to be; must not be there.

    Raises:
        CannotCreateError: it is there, or cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.name:
            raise CannotCreateError(
                f"{path}: is a folder; expected the name of a new file"
            )
        self.draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
        self._check_absent()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            self._file = os.fdopen(os.open(self.draft, flags, 0o600), "wb")
        except OSError as error:
            raise self._failed(error) from None

    def write(self, content: bytes) -> None:
        """Write on."""
        try:
            self._file.write(content)
        except OSError as error:
            raise self._failed(error) from None

    def sync(self) -> None:
        """Let what was written survive a power failure; nothing is written after."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None

    def keep(self) -> None:
        """Give the file its name."""
        self._check_absent()
        try:
            self.draft.rename(self._path)
            folder = os.open(self._path.absolute().parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failed(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            # Closing writes what is left, and the disk may be full.
            self._file.close()
        self.draft.unlink(missing_ok=True)

    def _check_absent(self) -> None:
        if self._path.exists() or self._path.is_symlink():
            raise CannotCreateError(
                f"{self._path}: is there already; expected a new name, since a backup"
                " is never overwritten"
            )

    def _failed(self, error: OSError) -> CannotCreateError:
        return CannotCreateError(f"{self._path}: cannot be written: {error.strerror}")
