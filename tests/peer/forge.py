"""Receipts in which any one document is changed, and all around it made to fit.

Whoever holds the keys can sign anything: here every hash, path and signature is right
again after an edit, so that only the reading of the edited document itself can tell.
"""

import base64
import hashlib
import json  # noqa: TID251 - writes what ours would never write
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from protocol import envelope, jws
from protocol.address import Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, write_checkpoint
from protocol.directory import ENTRY_TYP, HUB_TYP
from protocol.keyring import SigningKey
from protocol.merkle import Tree
from protocol.messages import EntryKey, HubStatement, line_hash
from tests.peer.makers import LOG, entry_of, keys_decision, next_keys
from tests.peer.receipts import ANEW, BRUSSEL, CONTENT, hub_span, hub_statement
from tests.protocol.makers import (
    AT,
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    cover_payload,
    envelope_payload,
    hash_of,
    prepare,
    signing_key,
)

Edit = Callable[[str, bytes], bytes]
Found = dict[str, Any]
GROUPS = (BRUSSEL, MECHELEN, OOSTENDE)


def unchanged(_what: str, raw: bytes) -> bytes:
    return raw


class Forge:
    """Builds one receipt; ``edit`` sees every document before it is hashed or signed.

    Args:
        edit: is given a document's name and bytes, and gives the bytes to use.
        keys: whose key signs, by the name of who should sign.
    """

    def __init__(self, edit: Edit = unchanged, **keys: SigningKey) -> None:
        self._edit = edit
        self._keys = keys
        self.documents: dict[str, bytes] = {}

    def _use(self, what: str, raw: bytes | Found) -> bytes:
        plain = raw if isinstance(raw, bytes) else dumps(raw).encode()
        self.documents[what] = plain
        return self._edit(what, plain)

    def _key(self, name: str) -> SigningKey:
        return self._keys.get(name) or signing_key(name)

    def receipt(self) -> Found:
        """Give the receipt as a document, without its words."""
        content = self._use("content", plain(CONTENT))
        asked = prepare(content=line_hash(content), checkpoint=None)
        order = self._use("prepare", plain(asked))
        accept = {"type": "transfer.accept", "id": ID, "prepare": line_hash(order)}
        answer = self._use("accept", accept)
        directory = [self._directory_line(group) for group in GROUPS]
        log = [b"{}", *directory, self._decision(order, answer)]
        checkpoint = {
            "log": LOG,
            "size": len(log),
            "root": write_base64url(Tree(log).root),
        }
        cover = plain(cover_payload(from_=BRUSSEL)) | {"checkpoint": checkpoint}
        signed_cover = jws.sign(
            self._use("cover", cover), self._key(BRUSSEL), envelope.TYP
        )
        stated = self._use("statement", plain(self._statement()))
        leaves = [leaf(directory, index) for index in range(len(directory))]
        return {
            "told": [],
            "v": 1,
            "federation": FEDERATION,
            "statement": jws.sign(stated, self._key("the root"), HUB_TYP),
            "checkpoint": self._note(log, directory),
            "decision": leaf(log, len(log) - 1),
            "prepare": self._proof("prepare", order, OOSTENDE),
            "accept": self._proof("accept", answer, MECHELEN),
            "payer": leaves[2],
            "payee": leaves[1],
            "witnesses": [{"entry": leaves[0], "cover": signed_cover}],
            "content": content.decode("utf-8", "surrogatepass"),
        }

    def _statement(self) -> HubStatement:
        return hub_statement()

    def _decision(self, order: bytes, answer: bytes) -> bytes:
        decided = {
            "type": "decision",
            "log": LOG,
            "number": len(GROUPS) + 1,
            "kind": "transfer",
            "at": AT,
            "id": ID,
            "prepare": line_hash(order),
            "answer": line_hash(answer),
            "outcome": "cleared",
            "code": None,
        }
        return self._use("decision", decided)

    def _directory_line(self, group: Group) -> bytes:
        entry = self._use(f"entry of {group}", plain(entry_of(group)))
        line = {
            "type": "decision",
            "log": LOG,
            "number": 1,
            "kind": "directory",
            "at": AT,
            "group": group,
            "entry": jws.sign(entry, self._key(group), ENTRY_TYP),
            "state": "active",
            "floor": -1000,
            "ceiling": 1000,
            "keys": [{"kid": signing_key(group).kid, "first": 1, "last": None}],
        }
        return self._use(f"directory line of {group}", line)

    def _note(self, log: list[bytes], directory: list[bytes]) -> str:
        stated = SignedCheckpoint(
            federation=FEDERATION,
            log=LOG,
            size=len(log),
            root=write_base64url(Tree(log).root),
            version=len(directory),
            groups=len(directory),
            directory=write_base64url(Tree(directory).root),
        )
        text = write_checkpoint(stated, signing_key("hub")).partition("\n\n")[0] + "\n"
        signed = self._use("note", text.encode())
        key = self._key("hub")
        named = hashlib.sha256(FEDERATION.encode() + b"\n\x01" + key.public).digest()[
            :4
        ]
        signature = base64.b64encode(named + key.sign(signed)).decode()
        return f"{signed.decode()}\n\u2014 {FEDERATION} {signature}\n"

    def _proof(self, what: str, line: bytes, signer: Group) -> Found:
        lines = [b"{}", line, b"[]"]
        payload = self._use(
            f"envelope of the {what}", plain(envelope_payload(lines, from_=signer))
        )
        signed = jws.sign(payload, self._key(signer), envelope.TYP)
        path = [write_base64url(step) for step in Tree(lines).path(1)]
        text = line.decode("utf-8", "surrogatepass")
        return {"line": text, "index": 1, "path": path, "envelope": signed}


class ForgeOfOldKeys(Forge):
    """Oostende and the hub have had other keys since; what they signed still holds."""

    def _statement(self) -> HubStatement:
        keys = [*hub_statement().keys]
        keys[0] = EntryKey("signing", write_base64url(signing_key("hub anew").public))
        former = [hub_span(2), hub_span(5, first=5), hub_span(9, log="AAAAAAAAAAA")]
        return msgspec.structs.replace(
            hub_statement(), version=2, keys=keys, former=former
        )

    def _directory_line(self, group: Group) -> bytes:
        if group != OOSTENDE:
            return super()._directory_line(group)
        entry, signers = next_keys(OOSTENDE, ANEW), (OOSTENDE, ANEW)
        line = plain(keys_decision(entry, signers, [2], "of no matter here"))
        text = self._use(f"entry of {group}", plain(entry))
        line["entry"] = jws.sign(text, self._key(ANEW), ENTRY_TYP)
        return self._use(f"directory line of {group}", line)


def plain(struct: Any) -> Found:
    found: Found = msgspec.json.decode(msgspec.json.encode(struct))
    return found


def leaf(lines: list[bytes], index: int) -> Found:
    return {
        "line": lines[index].decode("utf-8", "surrogatepass"),
        "index": index,
        "size": len(lines),
        "path": [write_base64url(step) for step in Tree(lines).path(index)],
    }


class Raw:
    """Text that stands in a document as it is."""

    def __init__(self, text: str) -> None:
        self.text = text


class Pairs:
    """An object that may hold a name twice."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self.pairs = pairs


def dumps(value: Any) -> str:
    match value:
        case Raw():
            return value.text
        case dict():
            return dumps(Pairs(list(value.items())))
        case Pairs():
            told = (f"{dumps(name)}:{dumps(member)}" for name, member in value.pairs)
            return "{" + ",".join(told) + "}"
        case list():
            return "[" + ",".join(map(dumps, value)) + "]"
        case str():
            text = json.dumps(value, ensure_ascii=False)
            # A lone surrogate can be written as an escape only.
            return "".join(
                f"\\u{ord(one):04x}" if "\ud800" <= one <= "\udfff" else one
                for one in text
            )
    return json.dumps(value)


def edits(document: Any) -> Iterator[tuple[str, str]]:
    """Every way of ours to change a document: what was done, and the text."""
    whole = dumps(document)
    yield "a space before", " " + whole
    yield "a newline behind", whole + "\n"
    yield "a carriage return behind", whole + "\r"
    yield "a byte order mark", "\ufeff" + whole
    yield "another document behind", whole + "{}"
    yield "in a list", f"[{whole}]"
    yield "a comma behind", whole[:-1] + ",}"
    for told, changed in _changes(document):
        if dumps(changed) != whole:
            yield told, dumps(changed)


def _changes(value: Any, place: str = "$") -> Iterator[tuple[str, Any]]:
    for told, changed in _changes_of_one(value):
        yield f"{place}: {told}", changed
    if isinstance(value, dict):
        yield from _changes_of_members(value, place)
        for name, member in value.items():
            for told, changed in _changes(member, f"{place}.{name}"):
                yield told, value | {name: changed}
    if isinstance(value, list):
        for index, member in enumerate(value[:3]):
            for told, changed in _changes(member, f"{place}[{index}]"):
                yield told, [*value[:index], changed, *value[index + 1 :]]


def _changes_of_members(value: Found, place: str) -> Iterator[tuple[str, Any]]:
    pairs = list(value.items())
    yield f"{place}: other order", Pairs(pairs[::-1])
    yield f"{place}: one more", Pairs([*pairs, ("more", None)])
    for index, (name, member) in enumerate(pairs):
        without = pairs[:index] + pairs[index + 1 :]
        yield f"{place}: no {name}", Pairs(without)
        yield f"{place}: {name} twice", Pairs([*pairs, (name, member)])
        yield f"{place}: another {name} first", Pairs([(name, None), *pairs])
        yield f"{place}: {name} in capitals", Pairs([*without, (name.upper(), member)])
        escaped = Raw(f'"\\u{ord(name[0]):04x}{name[1:]}"')
        yield f"{place}: {name} escaped", Pairs([*without, (escaped, member)])


ODD_NUMBERS = (
    "1.0",
    "1e0",
    "-0",
    "01",
    "+1",
    "9007199254740992",
    "1E400",
    "NaN",
    "true",
)


def _changes_of_one(value: Any) -> Iterator[tuple[str, Any]]:
    for other in (None, True, 0, "", "x", [], {}):
        if other != value or type(other) is not type(value):
            yield f"{other!r}", other
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield from ((f"{value}{step:+}", value + step) for step in (-1, 1, 2**53))
        for text in (
            *ODD_NUMBERS,
            f"{value}.0",
            f"{value}e0",
            f'"{value}"',
            f"0{value}",
        ):
            yield text, Raw(text)
    if isinstance(value, str) and value:
        yield from _changes_of_text(value)
    if isinstance(value, list) and value:
        yield "the last left out", value[:-1]
        yield "the last twice", [*value, value[-1]]
        yield "other order", value[::-1]


def _changes_of_text(value: str) -> Iterator[tuple[str, Any]]:
    for told, text in {
        "a newline behind": value + "\n",
        "a space before": " " + value,
        "a letter less": value[:-1],
        "a letter more": value + "A",
        "in capitals": value.upper(),
        "padding": value + "=",
        "NUL": value + "\0",
        "escape": value + "\x1b[31m",
        "turned text": value + "\u202e",
        "a lone surrogate": value + "\ud800",
        "another line end": value + "\u2028",
        "wide letters": value.replace("a", "\uff41").replace("1", "\uff11"),
        "Cyrillic": value.replace("e", "\u0435").replace("o", "\u043e"),
        "not NFC": value + "e\u0301",
        "other last letter": value[:-1] + ("B" if value[-1] != "B" else "C"),
        "too long": value + "x" * 20_000,
        "another hash": hash_of("another"),
    }.items():
        if text != value:
            yield told, text
    yield "escaped", Raw(f'"\\u{ord(value[0]):04x}{dumps(value[1:])[1:]}')


def note_edits(text: str) -> Iterator[tuple[str, str]]:
    """Ways to change a checkpoint's signed text."""
    lines = text.splitlines(keepends=True)
    yield "one line more", text + "another line\n"
    yield "one empty line more", text + "\n"
    yield "a line twice", text + lines[-1]
    yield "a second root", "".join([*lines[:3], lines[2], lines[3]])
    yield "no directory", "".join(lines[:3])
    yield "other line ends", text.replace("\n", "\r\n")
    yield "no newline", text[:-1]
    yield "a form feed", text.replace("\n", "\n\f", 1)
    for index, line in enumerate(lines):
        for told, changed in _changes_of_text(line[:-1]):
            if isinstance(changed, str) and "\ud800" not in changed:
                new = [*lines[:index], changed + "\n", *lines[index + 1 :]]
                yield f"line {index}: {told}", "".join(new)
        for number in re.findall(r"\b[0-9]+\b", line):
            for other in (
                f"0{number}",
                f"+{number}",
                f"{number}0",
                f" {number}",
                "9" * 17,
            ):
                new = [*lines[:index], line.replace(number, other), *lines[index + 1 :]]
                yield f"line {index}: {other}", "".join(new)
