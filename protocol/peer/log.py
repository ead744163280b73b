"""How a server writes its log: standard ``logging``, one line a record.

A line is a JSON object for machines or plain text for a person at a terminal. What
``extra=`` gives becomes fields of its own. Whatever a peer or a member wrote ends up
inside a line, never on a line of its own: a forged record would be believed.
"""

import logging
import sys
import traceback

import msgspec

from protocol.instant import Instant, write_instant
from protocol.peer.settings import LogSettings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

# JSON escapes C0 itself; the rest is what some reader of lines takes for a line's end
# or a terminal for a command. In JSON these stand only inside strings.
_ESCAPES = {
    code: f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}


class JsonFormatter(logging.Formatter):
    """One JSON object a record: what every record has, then its extra fields."""

    def __init__(self, server_name: str) -> None:
        super().__init__()
        self._server_name = server_name

    # typing.override came with Python 3.12.
    def format(  # type: ignore[explicit-override]
        self, record: logging.LogRecord
    ) -> str:
        """Write ``record`` as one line of JSON."""
        fields: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "server": self._server_name,
            "logger": record.name,
            "message": _printable(record.getMessage()),
        }
        if record.exc_info:
            fields["exception"] = _printable(self.formatException(record.exc_info))
        for name, value in _extra(record).items():
            fields.setdefault(_printable(name), _plain(value))
        return msgspec.json.encode(fields).decode().translate(_ESCAPES)


class PlainFormatter(logging.Formatter):
    """A line for a person; a traceback follows, indented, so it reads as a part."""

    # As above.
    def format(  # type: ignore[explicit-override]
        self, record: logging.LogRecord
    ) -> str:
        """Write ``record`` as one line, and one for each line of a traceback."""
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = (
            f"{_time(record)} {record.levelname} {record.name}:"
            f" {record.getMessage()}{extra}"
        )
        lines = [line]
        if record.exc_info:
            told = "".join(traceback.format_exception(*record.exc_info))
            lines += [f"  {part}" for part in told.rstrip("\n").split("\n")]
        return "\n".join(_printable(part).translate(_ESCAPES) for part in lines)


def configure(settings: LogSettings, server_name: str) -> None:
    """Send every record of this process to standard error, in the form set."""
    as_json = settings.json
    if as_json is None:
        as_json = not sys.stderr.isatty()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(server_name) if as_json else PlainFormatter())
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)


def where(error: BaseException) -> str:
    """Name an exception and the line that raised it; its message may be private."""
    frames = traceback.extract_tb(error.__traceback__)
    told = type(error).__name__
    return f"{told} in {frames[-1].name}, line {frames[-1].lineno}" if frames else told


def _time(record: logging.LogRecord) -> str:
    return write_instant(Instant(int(record.created * 1000)))


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: told for name, told in vars(record).items() if name not in _STANDARD}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _printable(str(value))


def _printable(text: str) -> str:
    # Half of a surrogate pair is a str for Python and impossible in UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
