"""What the commands of hub and node share: arguments, answers, exit codes.

Exit codes: 0, 1 (no), 2 (usage), and as in sysexits 65 (data), 69 (something
needed is away), 73 (a file cannot be written), 75 (try again), 78 (settings). No
secret stands on a command line: it is read from a file or from standard input, and
printed once.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import msgspec

from protocol.errors import (
    InterletsError,
    MalformedMessageError,
    OutageError,
)
from protocol.peer.settings import Settings, SettingsError, environment, load

#: A list that is typed or comes from a spreadsheet, of more members than any group has.
GIVEN_LENGTH_MAX = 8 * 2**20
EXIT_NO = 1
EXIT_DATA = 65
EXIT_CANNOT_CREATE = 73
EXIT_TRY_AGAIN = 75
EXIT_SETTINGS = 78
_BAR_LENGTH = 20
#: One short of a terminal's usual width, so that no line wraps.
_LINE_LENGTH = 79

Verb = Callable[[Settings, argparse.Namespace], Mapping[str, object] | None]


class DataError(InterletsError):
    """A file or text that was given cannot be used; says where and why."""


class CannotCreateError(InterletsError):
    """A file cannot be written, or is there already."""


class FoundError(InterletsError):
    """A verb has looked, and its answer is no: shown as an answer, with exit code 1."""

    def __init__(self, answer: Mapping[str, object]) -> None:
        super().__init__("no")
        self.answer = answer


def add_verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    carry_out: Verb,
    told: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a verb with its help and an example."""
    parser = verbs.add_parser(
        name,
        help=told,
        description=told,
        epilog=f"example: {example}",
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="the server's settings, a TOML file",
    )
    parser.add_argument(
        "--json", action="store_true", help="answer with one line of JSON"
    )
    parser.set_defaults(carry_out=carry_out)
    return parser


def run(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> int:
    """Carry out a command; gives the exit code."""
    chosen = parser.parse_args(arguments)
    try:
        _check_words(chosen)
        settings = load(chosen.config, environment())
        answer = chosen.carry_out(settings, chosen)
    except FoundError as error:
        show(error.answer, sys.stdout, as_json=chosen.json)
        return EXIT_NO
    except InterletsError as error:
        return _fail(parser, error, _exit_code(error))
    except KeyboardInterrupt:
        return EXIT_NO
    if answer is not None:
        show(answer, sys.stdout, as_json=chosen.json)
    return 0


def _check_words(chosen: argparse.Namespace) -> None:
    """Refuse a word that is no text: it could be neither sent nor printed.

    Raises:
        DataError: such a word, as from a terminal that writes another encoding.
    """
    for name, value in vars(chosen).items():
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise DataError(f"{name}: {value!a} is no text in UTF-8") from None


def _exit_code(error: InterletsError) -> int:
    match error:
        case SettingsError():
            return EXIT_SETTINGS
        case OutageError():
            return EXIT_TRY_AGAIN
        case DataError() | MalformedMessageError():
            return EXIT_DATA
        case CannotCreateError():
            return EXIT_CANNOT_CREATE
        case _:
            return EXIT_NO


def show(answer: Mapping[str, object], to: TextIO, *, as_json: bool) -> None:
    """Print an answer, as JSON or as lines for people."""
    if as_json:
        to.write(msgspec.json.encode(answer).decode() + "\n")
        return
    for name, value in answer.items():
        if isinstance(value, Mapping):
            parts = [
                f"{of.replace('_', ' ')} {_plain(one)}" for of, one in value.items()
            ]
            told = ", ".join(parts)
            to.write(f"{name}: {told}\n")
        else:
            to.write(f"{name.replace('_', ' ')}: {_plain(value)}\n")


def _plain(value: object) -> object:
    """Write a value as people do: yes, no and none, and lists without brackets."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            one_by_one = "; " if any(isinstance(one, Mapping) for one in value) else " "
            return one_by_one.join(str(_plain(one)) for one in value) or "none"
        case Mapping():
            return " ".join(f"{of} {_plain(one)}" for of, one in value.items())
        case _:
            return value


def _fail(parser: argparse.ArgumentParser, error: Exception, code: int) -> int:
    sys.stderr.write(f"{parser.prog}: {error}\n")
    return code


def read_given(source: str) -> str:
    """Read a text from a file, or from standard input for ``-``.

    Raises:
        DataError: no such file, larger than any that we take, or not text in UTF-8.
    """
    name = "standard input" if source == "-" else source
    try:
        if source == "-":
            data = sys.stdin.buffer.read(GIVEN_LENGTH_MAX + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(GIVEN_LENGTH_MAX + 1)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}") from None
    if len(data) > GIVEN_LENGTH_MAX:
        most = f"{GIVEN_LENGTH_MAX // 2**20} MiB"
        raise DataError(f"{name}: found more than {most}; expected at most {most}")
    expected = "expected text in UTF-8"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise DataError(f"{name}: found UTF-16 or no text; {expected}")
    try:
        # Spreadsheets begin a file with a mark that no column is named after.
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"found byte 0x{data[error.start]:02x}"
        raise DataError(f"{name}, line {line}: {found}; {expected}") from None


def confirm_sheet(sheet: str) -> None:
    """Have a person copy the recovery sheet and type it back.

    Only at a terminal; a program that calls us keeps the answer itself.

    Raises:
        DataError: what was typed is not on the sheet.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    sys.stderr.write(
        "\nRecovery key. Write it on paper; it is shown once and kept nowhere:\n\n"
        f"{lay_out(sheet)}\n\nType it back to check, all on one line: "
    )
    sys.stderr.flush()
    if sys.stdin.readline().lower().split() != sheet.split():
        raise DataError("That is not what the sheet says; nothing was made.")


def lay_out(sheet: str) -> str:
    """Lay the words of a sheet out for copying: four a line, with their numbers."""
    told = [f"{number:2} {word:<9}" for number, word in enumerate(sheet.split(), 1)]
    lines = [told[start : start + 4] for start in range(0, len(told), 4)]
    return "\n".join("    " + " ".join(line).rstrip() for line in lines)


class Progress:
    """How far a long work is, on one line; nothing unless a person watches.

    Args:
        to: where to show it, as standard error.
    """

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._is_watched = to.isatty()
        self._shown = ""

    def show(self, done: float, told: str) -> None:
        """Show how much is done, of 1, and with what it is busy."""
        if not self._is_watched:
            return
        bar = "#" * round(done * _BAR_LENGTH)
        line = f"[{bar:<{_BAR_LENGTH}}] {done:4.0%} {told}"[:_LINE_LENGTH]
        if line != self._shown:
            self._to.write(f"\r{line:<{_LINE_LENGTH}}")
            self._to.flush()
            self._shown = line

    def close(self) -> None:
        """Give the line back."""
        if self._shown:
            self._to.write(f"\r{'':<{_LINE_LENGTH}}\r")
            self._to.flush()
