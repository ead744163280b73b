"""``interlets-verify``: check a receipt, refusal, cycle or checkpoint, offline.

Needs no server, no network and no account: only the file, and the federation's id
from somebody you trust. Of two files it also says whether they prove together that
the hub lied. Exit code 0: genuine; 1: not, and why; 2: usage, or nowhere to write;
3: both are genuine, so the hub lied.

A file may have been made to deceive whoever reads the answer, so nothing of it
reaches the terminal but what was checked, or is written as ``repr`` writes it.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from protocol.address import FederationId, read_federation
from protocol.checkpoint import read_checkpoint_of
from protocol.contradiction import Proof, find_contradiction
from protocol.cycle_file import (
    CYCLE_BEGINS,
    CYCLE_LENGTH_MAX,
    ProvenCycle,
    describe_cycle,
    verify_cycle_file,
)
from protocol.directory import read_hub_statement
from protocol.errors import InterletsError, MalformedMessageError, NotSignedError
from protocol.receipt import describe, verify_receipt
from protocol.refusal import ProvenRefusal, describe_refusal, verify_refusal

GENUINE = 0
NOT_GENUINE = 1
USAGE = 2
HUB_LIED = 3

#: Words come first in a file, and are verified as all else.
_REFUSAL_BEGINS = b'{"told":["Interlets refusal'


def parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    told = argparse.ArgumentParser(
        prog="interlets-verify",
        description="Check a receipt, a refusal, a cycle file or a checkpoint, "
        "offline; of two of the first three also whether the hub lied.",
        epilog="example: interlets-verify receipt.json --federation vlaanderen#9pT...",
    )
    told.add_argument(
        "file",
        type=Path,
        help="the receipt, the refusal, the cycle file, or the checkpoint",
    )
    told.add_argument(
        "other",
        type=Path,
        nargs="?",
        help="another receipt, refusal or cycle file: do the two prove that the hub "
        "decided twice, or showed two logs?",
    )
    told.add_argument(
        "--federation",
        help="the federation's whole id, from somebody you trust; without it, only "
        "that the file agrees with itself is checked",
    )
    told.add_argument(
        "--hub",
        type=Path,
        metavar="FILE",
        help="for a checkpoint: the hub's statement of its keys, one line",
    )
    told.add_argument(
        "--witnesses",
        type=_natural,
        default=0,
        metavar="N",
        help="demand that so many other groups have signed the same log (of a cycle "
        "file: so many groups); exit code 1 when they are fewer",
    )
    return told


def _natural(text: str) -> int:
    """Read a count; argparse words what is none."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check one file; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no "é" gets an escape, and the program goes on.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    chosen = parser().parse_args(arguments)
    try:
        federation = read_federation(chosen.federation) if chosen.federation else None
    except MalformedMessageError as error:
        _tell(sys.stderr, [f"interlets-verify: {error}"])
        return USAGE
    try:
        if chosen.other is not None:
            code, lines = _compare(
                chosen.file, chosen.other, federation, chosen.witnesses
            )
        else:
            code = GENUINE
            told = _check(_read(chosen.file), federation, chosen.hub, chosen.witnesses)
            lines = ["Genuine.", *told]
    except (InterletsError, OSError) as error:
        _tell(sys.stderr, [f"NOT genuine: {error}"])
        return NOT_GENUINE
    if federation is None:
        lines.append(
            "You did not say which federation: compare its id above with one from "
            "somebody you trust."
        )
    return code if _tell(sys.stdout, lines) else USAGE


def _tell(stream: TextIO | None, lines: Sequence[str]) -> bool:
    """Write lines; gives whether anybody can have read them."""
    # Python has no stream where the caller closed it.
    if stream is None:
        return False
    try:
        stream.writelines(f"{line}\n" for line in lines)
        stream.flush()
    except OSError:
        # What could not be written must not be tried again on the way out.
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor
            os.dup2(nowhere.fileno(), stream.fileno())
        return False
    return True


def _compare(
    one: Path, other: Path, federation: FederationId | None, witnesses_min: int
) -> tuple[int, list[str]]:
    """Check two proofs; gives the exit code and what they prove together."""
    first = _prove(_read(one), federation)
    second = _prove(_read(other), first.federation)
    for proven in (first, second):
        _count_witnesses(proven, witnesses_min)
    lie = find_contradiction(first, second)
    told = [
        "Genuine, the first:",
        *_describe(first),
        "Genuine, the second:",
        *_describe(second),
    ]
    if lie is None:
        return GENUINE, [*told, "Together they prove nothing against the hub."]
    return HUB_LIED, [*told, f"PROOF THAT THE HUB LIED: {lie}."]


def _prove(raw: bytes, federation: FederationId | None) -> Proof:
    if raw.startswith(_REFUSAL_BEGINS):
        return verify_refusal(raw, federation)
    if raw.startswith(CYCLE_BEGINS):
        return verify_cycle_file(raw, federation)
    return verify_receipt(raw, federation)


def _describe(proven: Proof) -> list[str]:
    if isinstance(proven, ProvenRefusal):
        return describe_refusal(proven)
    if isinstance(proven, ProvenCycle):
        return describe_cycle(proven)
    return describe(proven)


def _count_witnesses(proven: Proof, witnesses_min: int) -> None:
    """Refuse what fewer groups have signed than somebody demands."""
    match proven:
        case ProvenCycle():
            found = [group for group, line in proven.lines.items() if line.is_witness]
        case ProvenRefusal():
            found = []
        case _:
            found = list(proven.witnesses)
    if len(found) < witnesses_min:
        raise NotSignedError(
            f"witnesses: {', '.join(found) or 'none'}; expected {witnesses_min} groups"
        )


def _check(
    raw: bytes, federation: FederationId | None, hub: Path | None, witnesses_min: int
) -> list[str]:
    if raw[:1] == b"{":
        proven = _prove(raw, federation)
        _count_witnesses(proven, witnesses_min)
        return _describe(proven)
    if witnesses_min:
        raise MalformedMessageError(
            "file", raw[:40], "with --witnesses: a receipt or a cycle file"
        )
    if hub is None or federation is None:
        raise MalformedMessageError(
            "file",
            raw[:40],
            "a receipt or the like; or a checkpoint with --hub and --federation",
        )
    statement = read_hub_statement(_text(_read(hub)).removesuffix("\n"), federation)
    found = read_checkpoint_of(_text(raw), federation, statement)
    return [
        f"Checkpoint of {federation}, log {found.log}: {found.size} decisions, "
        f"root {found.root}; directory version {found.version}."
    ]


def _read(path: Path) -> bytes:
    """Read a file up to the length that any may have, and one byte more."""
    with path.open("rb") as file:
        return file.read(CYCLE_LENGTH_MAX + 1)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedMessageError("file", raw[:40], "UTF-8 text") from None


if __name__ == "__main__":
    sys.exit(main())
