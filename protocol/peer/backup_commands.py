"""The verbs ``backup`` and ``restore``, the same at hub and node."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from protocol.peer import audit as audits
from protocol.peer import backup
from protocol.peer.backup import Made, NotSoundError, Subject
from protocol.peer.backup_file import PASSPHRASE_LENGTH_MIN
from protocol.peer.command_line import DataError, FoundError, add_verb
from protocol.peer.settings import Settings, read_secret

#: Says what a house lets back up, under these settings.
ReadSubject = Callable[[Settings], Subject]


def add_verbs(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    program: str,
    subject: ReadSubject,
) -> None:
    """Add both verbs to a program's."""

    def back_up(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
        return _back_up(settings, chosen, subject(settings))

    def restore(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
        return _restore(settings, chosen, subject(settings))

    made = add_verb(
        verbs,
        "backup",
        back_up,
        "copy database and keys into one encrypted file, while the server works, and "
        "prove the copy by restoring and auditing it in a schema that is undone",
        f"{program} backup /media/usb/monday.backup --config server.toml",
    )
    made.add_argument("file", type=Path, help="a file that is not there yet")
    made.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        help="prove the copy, or not; without it: if the database lets us",
    )
    restored = add_verb(
        verbs,
        "restore",
        restore,
        "fill an empty database, and the folder of keys, from a backup; the server "
        "then changes nothing until it has compared",
        f"{program} restore /media/usb/monday.backup --config server.toml",
    )
    restored.add_argument("file", type=Path, help="what backup has written")
    restored.add_argument(
        "--check",
        action="store_true",
        help="only prove the backup, in a schema that is undone; changes nothing",
    )
    restored.add_argument(
        "--moved",
        action="store_true",
        help="this server has another public_url than when it was backed up",
    )
    for verb in (made, restored):
        verb.add_argument(
            "--passphrase-file",
            metavar="FILE",
            help="a file of mode 0600 with the passphrase, or - for standard input; "
            "without it you are asked",
        )


def _back_up(
    settings: Settings, chosen: argparse.Namespace, subject: Subject
) -> Mapping[str, object]:
    passphrase = read_passphrase(chosen.passphrase_file, is_new=True)
    check_passphrase(passphrase)
    made = asyncio.run(
        backup.back_up(settings, subject, chosen.file, passphrase, verify=chosen.verify)
    )
    answer = {"backup": str(chosen.file), **backup.told(made)}
    return _sound(made, answer)


def _restore(
    settings: Settings, chosen: argparse.Namespace, subject: Subject
) -> Mapping[str, object]:
    passphrase = read_passphrase(chosen.passphrase_file, is_new=False)
    if chosen.check:
        made = asyncio.run(backup.prove(settings, subject, chosen.file, passphrase))
        return _sound(made, backup.told(made))
    try:
        made = asyncio.run(
            backup.restore(
                settings, subject, chosen.file, passphrase, has_moved=chosen.moved
            )
        )
    except NotSoundError as error:
        audits.told(error.answer, as_json=chosen.json)
        raise
    return {
        **backup.told(made),
        "next": "start it with serve: it changes nothing until it has compared with "
        "the other servers; everybody signs in anew",
    }


def _sound(made: Made, answer: Mapping[str, object]) -> Mapping[str, object]:
    """Give the answer; raises ``FoundError`` when the ledger copied is not sound."""
    if made.audit is not None and not made.audit.is_sound:
        raise FoundError(
            {**answer, "findings": made.audit.findings_in_all, "see": "the verb audit"}
        )
    return answer


def check_passphrase(passphrase: str) -> None:
    """Refuse a new passphrase that is soon guessed."""
    if len(passphrase) < PASSPHRASE_LENGTH_MIN:
        raise DataError(
            f"passphrase: found {len(passphrase)} characters; expected "
            f"{PASSPHRASE_LENGTH_MIN} or more, such as five words drawn by dice"
        )


def read_passphrase(source: str | None, *, is_new: bool) -> str:
    """Read the passphrase from where nobody else sees it.

    Raises:
        DataError: none was given, or two different ones.
    """
    if source == "-":
        given = sys.stdin.readline().rstrip("\r\n")
        try:
            given.encode()
        except UnicodeEncodeError:
            raise DataError("passphrase: is no text in UTF-8") from None
        return given
    if source is not None:
        return read_secret(Path(source))
    if not sys.stdin.isatty():
        raise DataError(
            "passphrase: nobody is here to type one; expected --passphrase-file with "
            "a file of mode 0600, or - for standard input"
        )
    passphrase = getpass.getpass("Passphrase of the backup: ")
    if is_new and getpass.getpass("Once more: ") != passphrase:
        raise DataError("passphrase: the two are not the same; nothing was written")
    return passphrase
