"""From a file on disk to the rows of a table, within stated bounds.

Everything here answers damaged and hostile files: too large, wrongly encoded, no CSV
at all, a zip that unpacks without end. Nothing is ever written to disk.
"""

import csv
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nodes.imports.outcome import TELL_EVERY, Listener, Notes, Place
from protocol.peer.command_line import DataError

_MEBIBYTE = 2**20
#: No file of half a million transactions comes near.
FILE_LENGTH_MAX = 200 * _MEBIBYTE
#: Of all tables of a zip together, unpacked.
UNPACKED_LENGTH_MAX = 400 * _MEBIBYTE
#: eLAND has some forty tables.
_ZIP_ENTRIES_MAX = 1000
ENCODINGS = ("utf-8", "windows-1252")
_ZIP_BEGINS = b"PK\x03\x04"
_CHUNK = _MEBIBYTE
#: Between the rows of a file whose every field is quoted, quotes inside of fields not
#: escaped: a quote, the end of a line, and the quote that opens the next row.
_ROW_ENDS = re.compile(r'"(\r?\n)(?="|\Z)')

#: Two limits as eLAS writes them, without the quotes around both.
_LIMITS = re.compile(r'[^" ]{0,20}", "[^" ]{0,20}')
#: What the zip library raises about bytes that are no sound zip, tried with many.
_UNSOUND = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError),
    *(ValueError, OSError, struct.error),
)
#: Where such a field ends and the next begins, nobody can say.
_TWO_WAYS = '",","'
#: Ends of lines between quotes within one row.
_PARTS_MAX = 50


class Table(NamedTuple):
    """The rows of one CSV file.

    Attributes:
        file: its name.
        columns: place of each column by name.
        rows: number of the line on which each begins, and its fields.
    """

    file: str
    columns: Mapping[str, int]
    rows: Sequence[tuple[int, Sequence[str]]]


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Read a file, unless it is larger than any that we take.

    Raises:
        DataError: too large, or not to be read.
    """
    most = FILE_LENGTH_MAX if most is None else most
    data = b""
    try:
        size = path.stat().st_size
        if size <= most:
            with path.open("rb") as file:
                data = file.read(most + 1)
            size = len(data)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if size > most:
        raise DataError(
            f"{path}: found more than {most // _MEBIBYTE} MiB; "
            f"expected at most {most // _MEBIBYTE} MiB"
        )
    return data


def is_zip(data: bytes) -> bool:
    """Say whether a file begins as a zip does."""
    return data.startswith(_ZIP_BEGINS)


def read_text(data: bytes, file: str, encoding: str = "utf-8") -> str:
    """Decode a CSV file.

    Raises:
        DataError: another encoding, a page of HTML, or cut off.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:1000]:
        raise _unreadable(Place(file, 1), "UTF-16 or no text", "text in UTF-8")
    try:
        text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        expected = "text in UTF-8; for an old eLAS add --encoding windows-1252"
        if encoding != "utf-8":
            expected = f"text in {encoding}"
        found = f"byte 0x{data[error.start]:02x}"
        raise _unreadable(Place(file, line), found, expected) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _unreadable(Place(file, line), "a byte of zero", "text")
    if text.lstrip().startswith("<"):
        expected = "CSV; sign in as admin and export again"
        raise _unreadable(Place(file, 1), "a page of HTML", expected)
    if not text.strip():
        raise _unreadable(Place(file, 1), "nothing", "CSV with a first line of names")
    if not text.endswith("\n"):
        line = text.count("\n") + 1
        found = "a last line that does not end"
        raise _unreadable(Place(file, line), found, "a whole file; export again")
    return text


def _unreadable(place: Place, found: str, expected: str) -> DataError:
    return DataError(f"{place.told()}: found {found}; expected {expected}")


def read_table(
    text: str, file: str, notes: Notes, needed: Sequence[Collection[str]]
) -> Table | None:
    """Read CSV as PostgreSQL writes it; quotes inside of fields are doubled.

    Args:
        text: of the file.
        file: its name.
        notes: gets a finding for each row that has not as many fields as names.
        needed: of each of these one name must be among the columns.

    Returns:
        ``None`` when the columns are not what they must be.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, Sequence[str]]] = []
    columns: Mapping[str, int] | None = None
    try:
        columns = _columns(next(reader, []), file, notes, needed)
        if columns is None:
            return None
        many, line = len(columns), reader.line_num + 1
        for row in reader:
            if len(row) == many:
                rows.append((line, row))
            else:
                notes.note(Place(file, line), f"{len(row)} fields", f"{many}")
            line = reader.line_num + 1
    except csv.Error as error:
        place = Place(file, reader.line_num)
        notes.note(place, f"no CSV ({error})", "a file as it was exported")
    return None if columns is None else Table(file, columns, rows)


def read_quoted_table(
    whole: str, file: str, notes: Notes, needed: Sequence[Collection[str]]
) -> Table | None:
    """Read CSV as eLAS writes it: every field quoted, no quote inside escaped.

    So a quote ends a field only before a comma and the next quote, and a row only
    before the end of a line and the next quote. Where that can be read in two ways
    the number of fields is wrong, and the row is a finding.
    """
    pieces = _pieces(whole)
    first = next(pieces, (1, ""))
    columns = _columns(first[1].split('","'), file, notes, needed)
    if columns is None:
        return None
    rows: list[tuple[int, Sequence[str]]] = []
    many = len(columns)
    parts: list[tuple[int, str]] = []
    for line, piece in pieces:
        # A field may hold a quote, an end of line and a quote: one row, not two.
        parts.append((line, piece))
        text = '"\n"'.join(part for _, part in parts)
        fields = _fields(text, columns)
        if len(parts) > 1 and (len(fields) > many or len(parts) > _PARTS_MAX):
            _note_part(parts[:-1], columns, file, notes)
            parts, text, fields = parts[-1:], piece, _fields(piece, columns)
        if len(fields) >= many:
            if len(fields) > many or _TWO_WAYS in text:
                _note_part(parts, columns, file, notes)
            else:
                rows.append((parts[0][0], fields))
            parts = []
    if parts:
        _note_part(parts, columns, file, notes)
    return Table(file, columns, rows)


def _note_part(
    parts: Sequence[tuple[int, str]],
    columns: Mapping[str, int],
    file: str,
    notes: Notes,
) -> None:
    """Note that these lines together are no row."""
    line, text = parts[0][0], '"\n"'.join(part for _, part in parts)
    found = f"{len(_fields(text, columns))} fields"
    if _TWO_WAYS in text:
        found = "quotes and commas that can be read in two ways"
    notes.note(Place(file, line), found, f"{len(columns)} fields")


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut at the ends of rows; gives each one's line and what its quotes enclose."""
    start, line = 0, 1
    for end in _ROW_ENDS.finditer(text):
        yield line, text[start + 1 : end.start()]
        line += text.count("\n", start, end.end())
        start = end.end()
    if text[start:].strip():
        # What has no end of a row has not as many fields as a row either.
        yield line, text[start + 1 :]


def _fields(piece: str, columns: Mapping[str, int]) -> list[str]:
    fields = piece.split('","')
    if "maxlimit" not in columns:
        return fields
    # eLAS writes a space before this one alone. Split wherever two limits stand so,
    # and not where one is missing: a row with a field too many has none to lend.
    return [
        part
        for field in fields
        for part in (field.split('", "') if _LIMITS.fullmatch(field) else (field,))
    ]


def _columns(
    names: Sequence[str], file: str, notes: Notes, needed: Sequence[Collection[str]]
) -> Mapping[str, int] | None:
    """Give places by name, when all that are needed are there, and once."""
    place = Place(file, 1)
    for choices in needed:
        if not any(name in names for name in choices):
            expected = f"a column {' or '.join(choices)}, separated by commas"
            found = f"{len(names)} columns without it"
            if len(names) == 1 and ";" in names[0]:
                # As a spreadsheet saves where a comma stands in numbers.
                found = "semicolons between columns"
            notes.note(place, found, expected)
            return None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        notes.note(place, f"the column {twice[0]!r} twice", "each column once")
        return None
    return {name: number for number, name in enumerate(names)}


def read_zip(
    data: bytes, file: str, wanted: Collection[str], most: int | None = None
) -> dict[str, bytes]:
    """Unpack the tables that are wanted, into memory and within bounds.

    Args:
        data: of the zip.
        file: its name.
        wanted: names of tables.
        most: bytes of all of them unpacked; ``None``: as the command takes.

    Raises:
        DataError: no sound zip, a name that is a path elsewhere, a table twice, or
            more than a group's tables can be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _entries(archive, file)
            found = {}
            room = most = UNPACKED_LENGTH_MAX if most is None else most
            for table in wanted:
                if table in entries:
                    found[table] = _unpack(archive, entries[table], file, room, most)
                    room -= len(found[table])
            return found
    except _UNSOUND as error:
        told = f"a zip that cannot be unpacked ({error})"
        raise DataError(f"{file}: found {told}; expected eLAND's zip") from None
    except RuntimeError:
        # As the library says of an entry that has a password.
        raise DataError(f"{file}: found an encrypted zip; expected eLAND's") from None


def _entries(archive: zipfile.ZipFile, file: str) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    listed = archive.infolist()
    if len(listed) > _ZIP_ENTRIES_MAX:
        raise DataError(
            f"{file}: found {len(listed)} files in it; expected at most "
            f"{_ZIP_ENTRIES_MAX}"
        )
    for entry in listed:
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise DataError(
                f"{file}: found the name {entry.filename[:80]!r} in it; expected names "
                "like users.csv"
            )
        name = parts[-1]
        if not name.endswith(".csv"):
            continue
        table = name.removesuffix(".csv")
        if table in entries:
            raise DataError(f"{file}: found {name} twice in it; expected it once")
        entries[table] = entry
    return entries


def _unpack(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: str, room: int, most: int
) -> bytes:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"method {entry.compress_type}")
    # What an entry says of its length may be a lie: what comes out is what counts.
    parts, length = [], 0
    with archive.open(entry) as unpacked:
        while part := unpacked.read(_CHUNK):
            parts.append(part)
            length += len(part)
            if length > room:
                told = f"{most // _MEBIBYTE} MiB"
                raise DataError(
                    f"{file}: found tables of more than {told} in it; expected at "
                    f"most {told}"
                )
    return b"".join(parts)


def told_rows(table: Table, progress: Listener) -> Iterator[tuple[int, Sequence[str]]]:
    """Go through rows, telling now and then how far it is."""
    for number, row in enumerate(table.rows):
        if number % TELL_EVERY == 0:
            progress(number / len(table.rows), f"reading {table.file}")
        yield row
