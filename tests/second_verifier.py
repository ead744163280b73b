"""A second verifier, by another hand: written from docs/verify.md alone.

It reads receipts, refusals, and two of them side by side; of libraries it needs joserfc
and hashlib. It shares no line with ``protocol`` and verifies with OpenSSL where that
verifies with libsodium. ``tests/peer/test_second_verifier*.py`` ask both about the same
files: where they disagree, the page, this file or ``protocol`` is wrong. Section
numbers are the page's.
"""

import base64
import datetime
import functools
import hashlib
import json  # noqa: TID251 - another reader than ours
import re
import unicodedata
from typing import Any

from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry

Found = dict[str, Any]
MAX = 2**53 - 1


class NotGenuineError(Exception):
    """The first thing that does not hold."""


def need(holds: object, told: str) -> None:
    if not holds:
        raise NotGenuineError(told)


# Section 3: the small forms.

LAST = "[AEIMQUYcgkosw048]"
HASH = rf"[A-Za-z0-9_-]{{42}}{LAST}"
LIFE = rf"[A-Za-z0-9_-]{{10}}{LAST}"
GROUP = r"[a-z][a-z0-9-]{1,31}"
ACCOUNT = r"[a-z0-9][a-z0-9._-]{0,31}"
ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
FEDERATION = rf"{GROUP}#{HASH}"
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
FILLERS += "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
HIDDEN = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def octets(text: str) -> bytes:
    need(re.fullmatch(r"[A-Za-z0-9_-]*", text), "base64url")
    need(len(text) % 4 != 1, "base64url")
    found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(letters(found) == text, "base64url: another spelling")
    return found


def letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def sha(raw: bytes) -> str:
    return letters(hashlib.sha256(raw).digest())


def utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NotGenuineError("lone surrogate") from None


def is_time(text: str) -> bool:
    try:
        datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007
    except ValueError:
        return False
    return re.fullmatch(TIME, text, re.ASCII) is not None and text[17:19] < "60"


def is_plain(text: str, allowed: str = "") -> bool:
    return unicodedata.is_normalized("NFC", text) and not any(
        one not in allowed
        and (one in HIDDEN or unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp"))
        for one in text
    )


def is_name(text: str) -> bool:
    is_visible = not any(
        one in FILLERS or unicodedata.category(one) in ("Cf", "Cn", "Co")
        for one in text
    )
    return bool(text.strip()) and len(text) <= 80 and is_plain(text) and is_visible


# Section 3: strict JSON of a known shape. A shape is a dict (exactly these members), a
# list [shape, least, most], a pair of numbers (bounds), a pattern, a set (one of
# these), str (any text), None, or ("null", shape).


def parse(raw: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> Found:
        need(len(dict(pairs)) == len(pairs), "a name twice")
        return dict(pairs)

    def whole(digits: str) -> int:
        need(len(digits) <= 17 and digits != "-0", "number")
        return int(digits)

    def never(told: str) -> Any:
        raise NotGenuineError(f"number {told}")

    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=once,
            parse_int=whole,
            parse_float=never,
            parse_constant=never,
        )
    except (ValueError, RecursionError):
        raise NotGenuineError("not JSON") from None


def shaped(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and value.keys() == shape.keys()
            and all(shaped(value[name], shape[name]) for name in shape)
        )
    if isinstance(shape, list):
        inner, least, most = shape
        return (
            isinstance(value, list)
            and least <= len(value) <= most
            and all(shaped(one, inner) for one in value)
        )
    if shape is None:
        return value is None
    if isinstance(shape, tuple) and shape[0] == "null":
        return value is None or shaped(value, shape[1])
    if isinstance(shape, tuple):
        return type(value) is int and shape[0] <= value <= shape[1]
    if isinstance(shape, set | frozenset):
        return type(value) in (str, int) and value in shape
    if not isinstance(value, str):
        return False
    utf8(value)
    return shape is str or re.fullmatch(shape, value, re.ASCII) is not None


def read(raw: bytes, shape: Any, told: str) -> Any:
    found = parse(raw)
    need(shaped(found, shape), f"{told}: not its shape")
    return found


# fmt: off
COUNT, NUMBER, SIGNED = (0, MAX), (1, MAX), (-MAX, MAX)
KEY = {"use": {"signing", "sealing", "recovery"}, "key": HASH}
KEYS = [KEY, 3, 3]
CHECKPOINT = {"log": LIFE, "size": COUNT, "root": HASH}
LEAF = {"line": str, "index": COUNT, "size": COUNT, "path": [HASH, 0, 64]}
PROOF = {"line": str, "index": COUNT, "path": [HASH, 0, 10], "envelope": str}
WITNESS = {"entry": LEAF, "cover": str}
RECEIPT = {
    "told": [str, 0, MAX], "v": (1, 1), "federation": FEDERATION, "statement": str,
    "checkpoint": str, "decision": LEAF, "prepare": PROOF, "accept": PROOF,
    "payer": LEAF, "payee": LEAF, "witnesses": [WITNESS, 0, 100],
    "content": ("null", str),
}
REFUSAL = {
    name: RECEIPT[name]
    for name in ("told", "v", "federation", "statement", "checkpoint", "decision")
}
STATEMENT = {
    "v": (1, 1), "federation": FEDERATION, "version": NUMBER, "name": str, "keys": KEYS,
}
HUB_SPAN = {"key": HASH, "log": LIFE, "first": COUNT, "last": COUNT}
LATER_STATEMENT = STATEMENT | {"former": [HUB_SPAN, 0, 1000]}
UNIT = {"name": str, "plural": str, "symbol": str, "decimals": (0, 2)}
RATE = {"version": NUMBER, "milliseconds": (1, 10**10)}
ENTRY = {
    "v": (1, 1), "federation": FEDERATION, "group": GROUP, "version": NUMBER,
    "name": str, "unit": UNIT, "rates": [RATE, 1, 1000], "keys": KEYS,
}
SPAN = {"kid": r"[A-Za-z0-9_-]{16}", "first": NUMBER, "last": ("null", COUNT)}
DIRECTORY = {
    "type": {"decision"}, "log": LIFE, "number": COUNT, "kind": {"directory"},
    "at": TIME, "group": GROUP, "entry": str,
    "state": {"active", "leaving", "frozen", "left"}, "floor": SIGNED,
    "ceiling": SIGNED, "keys": [SPAN, 0, MAX],
}
KEYS_LINE = DIRECTORY | {
    "kind": {"keys"}, "former": [HASH, 0, MAX], "statement": ("null", str),
}
DECISION = {
    "type": {"decision"}, "log": LIFE, "number": COUNT, "kind": {"transfer"},
    "at": TIME, "id": ID, "prepare": HASH, "answer": HASH, "outcome": {"cleared"},
    "code": None,
}
REFUSED = DECISION | {
    "prepare": ("null", HASH), "answer": ("null", HASH), "outcome": {"refused"},
    "code": {
        "account-frozen", "same-account", "amount-too-small", "payer-floor",
        "hub-unreachable", "unknown-group", "group-frozen", "amount-out-of-range",
        "deadline-out-of-range", "rate-changed", "refund-unknown", "refund-too-large",
        "payer-group-floor", "payee-group-ceiling", "month-cap", "payee-unreachable",
        "cancelled",
        "unknown-transfer", "keys-not-accepted", "not-signed-by-payer-group",
        "history-differs", "content-unreadable", "amount-mismatch", "unknown-account",
        "payee-cannot-receive",
    },
}
PREPARE = {
    "type": {"transfer.prepare"}, "id": ID, "payer_group": GROUP, "payee_group": GROUP,
    "milliseconds": COUNT, "payer_rate": NUMBER, "payee_rate": NUMBER,
    "decide_by": TIME, "refund_of": ("null", ID), "checkpoint": ("null", CHECKPOINT),
    "content": HASH,
}
ACCEPT = {"type": {"transfer.accept"}, "id": ID, "prepare": HASH}
ENVELOPE = {
    "v": (1, 1), "federation": FEDERATION, "from": GROUP, "to": {"hub"}, "life": LIFE,
    "first": NUMBER, "count": (1, 1000), "root": HASH, "prev": HASH, "at": TIME,
}
COVER = ENVELOPE | {
    "count": (0, 0), "root": {sha(b"")}, "ack": COUNT, "ack_head": HASH,
    "peer_life": ("null", LIFE), "peer_at": ("null", TIME),
    "checkpoint": ("null", CHECKPOINT),
}
CONTENT = {
    "payer": ACCOUNT, "payee": ACCOUNT, "name": str, "memo": str,
    "payee_amount": (1, 10**12), "payer_amount": (1, 10**12),
    "salt": r"[A-Za-z0-9_-]{21}[AQgw]",
}
# fmt: on


def written(value: Any, shape: Any) -> Any:
    """Put members in the shape's order, as a receipt must have them."""
    if isinstance(shape, dict):
        return {name: written(value[name], shape[name]) for name in shape}
    if isinstance(shape, list):
        return [written(one, shape[0]) for one in value]
    if isinstance(shape, tuple) and shape[0] == "null" and value is not None:
        return written(value, shape[1])
    return value


def item(line: str, shape: Found, length: int, told: str) -> Found:
    raw = utf8(line)
    need(len(raw) <= length and "\r" not in line and "\n" not in line, told)
    found: Found = read(raw, shape, told)
    need(all(is_time(found[at]) for at in ("at", "decide_by") if at in found), told)
    return found


# Section 4: keys and signatures.

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
PUBLISHED = {
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
    "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
}
Point = tuple[int, int]


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    cross = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + cross, P - 2, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - cross, P - 2, P) % P,
    )


def times(number: int, point: Point) -> Point:
    found = (0, 1)
    while number:
        if number & 1:
            found = add(found, point)
        point, number = add(point, point), number >> 1
    return found


def point_of(raw: bytes) -> Point | None:
    """RFC 8032, section 5.1.3; other spellings of a point are none."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    sign = raw[31] >> 7
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x, y)


@functools.lru_cache
def is_fit_for_signing(raw: bytes) -> bool:
    point = point_of(raw)
    if point is None or raw.hex() in PUBLISHED or point == (0, 1):
        return False
    return times(ORDER, point) == (0, 1)


@functools.lru_cache
def is_fit_for_sealing(raw: bytes) -> bool:
    if int.from_bytes(raw, "little") >= P:
        return False
    secret = OKPKey.generate_key("X25519")
    try:
        secret.exchange_derive_key(key_of("X25519", raw))
    except ValueError:
        return False
    return True


@functools.lru_cache(1000)
def is_signed(public: bytes, text: bytes, signature: bytes) -> bool:
    if len(signature) != 64:
        return False
    start = point_of(signature[:32])
    if start is None or times(8, start) == (0, 1):
        return False
    key = key_of("Ed25519", public)
    return JWSRegistry.algorithms["Ed25519"].verify(text, signature, key)


def key_of(curve: str, raw: bytes) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": curve, "x": letters(raw)})


def keys_of(listed: list[Found]) -> dict[str, bytes]:
    keys = {one["use"]: octets(one["key"]) for one in listed}
    need(len(keys) == 3 and len(set(keys.values())) == 3, "keys: three, all different")
    need(is_fit_for_signing(keys["signing"]), "key: weak")
    need(is_fit_for_signing(keys["recovery"]), "key: weak")
    need(is_fit_for_sealing(keys["sealing"]), "key: weak")
    return keys


def kid_of(public: bytes) -> str:
    return sha(public)[:16]


def unsigned(text: str, typ: str) -> tuple[str, bytes]:
    """The kid and the payload of signed text, not yet believed."""
    parts = text.split(".")
    need(len(parts) == 3, f"{typ}: three parts")
    found = re.fullmatch(
        rb'\{"alg":"Ed25519","kid":"([A-Za-z0-9_-]{16})","typ":"%s"\}' % typ.encode(),
        octets(parts[0]),
    )
    need(found, f"{typ}: header")
    assert found is not None
    return found[1].decode(), octets(parts[1])


def check_signed(text: str, kid: str, public: bytes) -> None:
    need(kid == kid_of(public), "kid: another key")
    signing_input, _, signature = text.rpartition(".")
    good = is_signed(public, signing_input.encode(), octets(signature))
    need(good, "the signature does not verify")


# Section 5: trees.


def root_of(leaf: bytes, index: int, size: int, path: list[str]) -> str:
    need(index < size, "path: no such place")
    found = hashlib.sha256(b"\x00" + leaf).digest()
    steps = [octets(step) for step in path]
    place, last = index, size - 1
    while last:
        if place == last and not place & 1:
            place, last = place >> 1, last >> 1
            continue
        need(steps, "path: too short")
        step = steps.pop(0)
        pair = step + found if place & 1 else found + step
        found = hashlib.sha256(b"\x01" + pair).digest()
        place, last = place >> 1, last >> 1
    need(not steps, "path: too long")
    return letters(found)


# Section 6: the parts, in order.


class Group:
    """A directory entry; its place in the directory is proved elsewhere."""

    def __init__(self, text: str, index: int, federation: str) -> None:
        line = parse(utf8(text))
        has_former = isinstance(line, dict) and line.get("kind") == "keys"
        shape = KEYS_LINE if has_former else DIRECTORY
        decision = item(text, shape, 16384, "directory entry")
        kid, payload = unsigned(decision["entry"], "interlets-entry")
        self.entry = entry = read(payload, ENTRY, "entry")
        self.keys = keys_of(entry["keys"])
        check_signed(decision["entry"], kid, self.keys["signing"])
        names = [
            entry["name"],
            *(entry["unit"][n] for n in ("name", "plural", "symbol")),
        ]
        need(all(is_name(name) for name in names), "entry: a name")
        versions = [rate["version"] for rate in entry["rates"]]
        need(versions == list(range(1, len(versions) + 1)), "entry: rates")
        need(entry["federation"] == federation, "entry: federation")
        need(entry["group"] == decision["group"] != "hub", "entry: group")
        self.name: str = entry["group"]
        self.index = index
        former = [octets(key) for key in decision.get("former", [])]
        self.used = {*self.keys.values(), *former}
        publics = [*former, self.keys["signing"]]
        self.publics = {kid_of(public): public for public in publics}
        if has_former:
            self.check_spans(decision["keys"], former)
        self.spans = {span["kid"]: span for span in decision["keys"]}

    def check_spans(self, spans: list[Found], former: list[bytes]) -> None:
        need([span["kid"] for span in spans] == list(self.publics), "keys: spans")
        need(len(self.publics) == len(former) + 1, "keys: one twice")
        need(all(is_fit_for_signing(key) for key in former), "key: weak")
        expected = 1
        for place, span in enumerate(spans, 1 - len(spans)):
            need(span["first"] == expected, "keys: items")
            need(span["last"] is not None or place == 0, "keys: open")
            need(span["last"] is None or span["last"] >= expected - 1, "keys: no items")
            expected = (span["last"] or 0) + 1

    def check_in_force(self, kid: str, number: int) -> None:
        need(kid in self.spans, "kid: never in force")
        span = self.spans[kid]
        need(span["first"] <= number, "kid: not yet in force")
        need(span["last"] is None or number <= span["last"], "kid: no longer in force")

    def open_line_1(
        self, line_1: str, shape: Found, federation: str
    ) -> tuple[str, Found]:
        need(len(line_1) <= 2048, "line 1: too long")
        kid, payload = unsigned(line_1, "interlets-envelope")
        need(kid in self.publics, "kid: nobody's")
        check_signed(line_1, kid, self.publics[kid])
        found: Found = read(payload, shape, "line 1")
        need(found["federation"] == federation, "line 1: federation")
        need(found["from"] == self.name, "line 1: from")
        times = [found["at"], found.get("peer_at")]
        need(all(one is None or is_time(one) for one in times), "line 1: time")
        return kid, found

    def former(self, proof: Found) -> list[str]:
        kid, _ = unsigned(proof["envelope"], "interlets-envelope")
        if kid == kid_of(self.keys["signing"]):
            return []
        return [
            f"{self.name} signed with a former key, {kid}: that it was the group's is "
            "the hub's word alone."
        ]

    def check_proof(self, proof: Found, federation: str) -> None:
        kid, payload = self.open_line_1(proof["envelope"], ENVELOPE, federation)
        line = utf8(proof["line"])
        found = root_of(line, proof["index"], payload["count"], proof["path"])
        need(found == payload["root"], "proof: root")
        self.check_in_force(kid, payload["first"] + proof["index"])

    def check_cover(self, line_1: str, note: Found, federation: str) -> None:
        kid, payload = self.open_line_1(line_1, COVER, federation)
        span = self.spans.get(kid, {"last": None})
        if span["last"] is None or payload["first"] != span["last"] + 1:
            self.check_in_force(kid, payload["first"])
        named = {name: note[name] for name in ("log", "size", "root")}
        need(payload["checkpoint"] == named, "witness: another checkpoint")

    @property
    def digits(self) -> str:
        told = [self.entry["federation"], self.name]
        told += [key["key"] for key in self.entry["keys"]]
        digest = hashlib.sha256("\n".join(told).encode()).digest()
        text = str(int.from_bytes(digest) % 10**12).rjust(12, "0")
        return f"{self.name} {text[:4]} {text[4:8]} {text[8:]}"


def listed(leaf: Found, note: Found, federation: str) -> Group:
    """A group whose place in the directory is proved by a path."""
    need(leaf["size"] == note["groups"], "directory entry: size")
    place = (leaf["index"], leaf["size"], leaf["path"])
    need(root_of(utf8(leaf["line"]), *place) == note["directory"], "directory")
    return Group(leaf["line"], leaf["index"], federation)


def hub_statement(signed: str, federation: str) -> Found:
    kid, payload = unsigned(signed, "interlets-hub")
    first = parse(payload)
    is_first = isinstance(first, dict) and first.get("version") == 1
    shape = STATEMENT if is_first else LATER_STATEMENT
    statement: Found = read(payload, shape, "statement")
    keys = keys_of(statement["keys"])
    need(sha(keys["recovery"]) == federation.partition("#")[2], "statement: root key")
    check_signed(signed, kid, keys["recovery"])
    need(statement["federation"] == federation, "statement: federation")
    spans = statement.get("former", [])
    for place, span in enumerate(spans):
        public = octets(span["key"])
        need(is_fit_for_signing(public) and public not in keys.values(), "former: key")
        need(span["first"] <= span["last"], "former: sizes")
        for other in spans[:place]:
            apart = span["last"] < other["first"] or other["last"] < span["first"]
            need(span["log"] != other["log"] or apart, "former: two keys")
    return statement


def hub_key(statement: Found, log: str, size: int) -> bytes:
    for span in statement.get("former", []):
        if span["log"] == log and span["first"] <= size <= span["last"]:
            return octets(span["key"])
    return keys_of(statement["keys"])["signing"]


def read_note(note: str, federation: str, statement: Found) -> Found:
    need(len(note) <= 2048, "checkpoint: too long")
    hash_ = r"[A-Za-z0-9+/]{43}="
    size = r"0|[1-9][0-9]{0,15}"
    found = re.fullmatch(
        rf"((?P<origin>[^\n]*)/(?P<log>[A-Za-z0-9_-]{{11}})\n(?P<size>{size})\n"
        rf"(?P<root>{hash_})\n"
        rf"directory (?P<version>{size}) (?P<groups>{size}) (?P<directory>{hash_})\n)"
        rf"\n\u2014 (?P<name>[^\n ]*) (?P<signature>[A-Za-z0-9+/]{{91}}=)\n",
        note,
        re.ASCII,
    )
    need(found, "checkpoint: not a note")
    assert found is not None
    need(found["origin"] == found["name"] == federation, "checkpoint: federation")
    public = hub_key(statement, found["log"], int(found["size"]))
    signature = plain_octets(found["signature"])
    named = hashlib.sha256(federation.encode() + b"\n\x01" + public).digest()[:4]
    need(signature[:4] == named, "checkpoint: key")
    need(is_signed(public, found[1].encode(), signature[4:]), "checkpoint: signature")
    return {
        "log": found["log"],
        "size": int(found["size"]),
        "root": letters(plain_octets(found["root"])),
        "version": int(found["version"]),
        "groups": int(found["groups"]),
        "directory": letters(plain_octets(found["directory"])),
    }


def plain_octets(text: str) -> bytes:
    found = base64.b64decode(text)
    need(base64.b64encode(found).decode() == text, "base64: another spelling")
    return found


def read_content(line: str, prepare: Found, payer: Group, payee: Group) -> Found:
    raw = utf8(line)
    need(sha(raw) == prepare["content"], "content: hash")
    content: Found = read(raw, CONTENT, "content")
    memo = content["memo"]
    need(is_name(content["name"]), "content: name")
    good = is_plain(memo, "\n") and len(memo) <= 500 and len(memo.encode()) <= 2000
    need(good, "content: memo")
    rates = []
    for group, version in (
        (payer, prepare["payer_rate"]),
        (payee, prepare["payee_rate"]),
    ):
        need(version <= len(group.entry["rates"]), "content: rate")
        rates.append(group.entry["rates"][version - 1]["milliseconds"])
    moved = content["payee_amount"] * rates[1]
    need(moved == prepare["milliseconds"] <= 10**14, "content: payee_amount")
    price = (moved + rates[0] - 1) // rates[0]
    need(price == content["payer_amount"] <= 10**12, "content: payer_amount")
    return content


# Section 7: the words.


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def amount(minor: int, group: Group) -> str:
    unit = group.entry["unit"]
    text = str(minor).rjust(unit["decimals"] + 1, "0")
    point = len(text) - unit["decimals"]
    number = text[:point] + ("." + text[point:] if unit["decimals"] else "")
    return f"{number} {quoted(unit['symbol'])}"


def words(
    receipt: Found,
    decision: Found,
    prepare: Found,
    content: Found | None,
    groups: list[Group],
) -> list[str]:
    payer, payee, *witnesses = groups
    if content is None:
        who = (
            f"A member of {payer.name} ({quoted(payer.entry['name'])}) paid a member "
            f"of {payee.name} ({quoted(payee.entry['name'])}); who, and for what, this "
            "receipt does not show."
        )
    else:
        who = (
            f"{content['payer']}@{payer.name} ({quoted(content['name'])}) paid "
            f"{content['payee']}@{payee.name} {amount(content['payee_amount'], payee)} "
            f"for {amount(content['payer_amount'], payer)}; memo: "
            f"{quoted(content['memo'])}."
        )
    left = prepare["milliseconds"]
    time = f"{left // 3600000}:{left // 60000 % 60:02}:{left // 1000 % 60:02}"
    refund = f"It gives back transfer {prepare['refund_of']}, wholly or in part."
    return [
        "Interlets receipt: this transfer was cleared.",
        who,
        f"Time moved from {payer.name} to {payee.name}: {time}.{left % 1000:03} hours.",
        *([refund] if prepare["refund_of"] else []),
        f"Decided {decision['at']} by the hub's clock; transfer {prepare['id']}.",
        f"Federation {receipt['federation']}.",
        f"Signed by {payer.name} (order), {payee.name} (accepted) and the hub "
        f"(decided; number {decision['number']} of {receipt['decision']['size']} "
        f"in log {decision['log']}).",
        "Shown the same log: "
        f"{', '.join(one.name for one in witnesses) or 'no other group'}.",
        f"Keys as the hub gave them; check digits: {payer.digits}, {payee.digits}.",
        *payer.former(receipt["prepare"]),
        *payee.former(receipt["accept"]),
        "Not proved: that these keys are the groups' own, that the hub showed this log "
        "to everyone, that nothing was given back since, and what a member received "
        "for it.",
    ]


# Section 6: the steps.


def verify(raw: bytes, federation: str) -> list[str]:
    """Give the words of a genuine receipt, or raise ``NotGenuineError``."""
    receipt = open_file(raw)
    expected = prove(receipt, federation)
    need(receipt["told"] == expected, "told")
    return expected


def open_file(raw: bytes, shape: Found = RECEIPT, longest: int = 1024 * 1024) -> Found:
    need(len(raw) <= longest, "too long")
    raw = raw[:-1] if raw.endswith(b"\n") else raw
    file: Found = read(raw, shape, "file")
    again = written(file, shape)
    told = json.dumps(again, ensure_ascii=False, separators=(",", ":"))
    need(utf8(told) == raw, "another spelling")
    return file


def prove_decision(file: Found, shape: Found, federation: str) -> tuple[Found, Found]:
    """The note and the decision in its log: what receipts and refusals share."""
    need(file["federation"] == federation, "federation")
    statement = hub_statement(file["statement"], federation)
    note = read_note(file["checkpoint"], federation, statement)
    leaf = file["decision"]
    need(leaf["size"] == note["size"], "decision: size")
    found = root_of(utf8(leaf["line"]), leaf["index"], leaf["size"], leaf["path"])
    need(found == note["root"], "decision: root")
    decision = item(leaf["line"], shape, 16384, "decision")
    need(decision["log"] == note["log"], "decision: log")
    need(decision["number"] == leaf["index"], "decision: number")
    return note, decision


def prove(receipt: Found, federation: str) -> list[str]:
    """Give the words that the proofs allow."""
    note, decision = prove_decision(receipt, DECISION, federation)
    payer = listed(receipt["payer"], note, federation)
    payee = listed(receipt["payee"], note, federation)
    need(not payer.used & payee.used, "one key for two groups")
    payer.check_proof(receipt["prepare"], federation)
    payee.check_proof(receipt["accept"], federation)
    prepare = item(receipt["prepare"]["line"], PREPARE, 2048, "prepare")
    accept = item(receipt["accept"]["line"], ACCEPT, 2048, "accept")
    need(prepare["payer_group"] == payer.name, "prepare: payer_group")
    need(prepare["payee_group"] == payee.name != payer.name, "prepare: payee_group")
    need(prepare["id"] == accept["id"] == decision["id"], "id")
    prepare_hash = sha(utf8(receipt["prepare"]["line"]))
    need(prepare_hash == accept["prepare"] == decision["prepare"], "prepare: hash")
    need(sha(utf8(receipt["accept"]["line"])) == decision["answer"], "accept: hash")

    witnesses = []
    for one in receipt["witnesses"]:
        witness = listed(one["entry"], note, federation)
        witness.check_cover(one["cover"], note, federation)
        witnesses.append(witness)
    names = [one.name for one in witnesses]
    need(names == sorted(set(names)), "witnesses: order")
    need(not {payer.name, payee.name} & set(names), "witnesses: a party")
    ordered = sorted([payer, payee, *witnesses], key=lambda group: group.name)
    places = [group.index for group in ordered]
    need(places == sorted(set(places)), "directory: order")

    content = None
    if receipt["content"] is not None:
        content = read_content(receipt["content"], prepare, payer, payee)
    groups = [payer, payee, *witnesses]
    return words(receipt, decision, prepare, content, groups)


# Section 10: refusals, and two files side by side.


def verify_refusal(raw: bytes, federation: str) -> list[str]:
    """Give the words of a genuine refusal, or raise ``NotGenuineError``."""
    refusal = open_file(raw, REFUSAL, 64 * 1024)
    expected = prove_refusal(refusal, federation)
    need(refusal["told"] == expected, "told")
    return expected


def prove_refusal(refusal: Found, federation: str) -> list[str]:
    """Give the words that the proofs allow."""
    note, decision = prove_decision(refusal, REFUSED, federation)
    return [
        "Interlets refusal: this transfer was refused.",
        f"The hub's reason: {decision['code']}.",
        f"Decided {decision['at']} by the hub's clock; transfer {decision['id']}.",
        f"Federation {federation}.",
        f"Signed by the hub (number {decision['number']} of {note['size']} in log "
        f"{decision['log']}).",
        "Not proved: that the hub showed this log to everyone, and who would have paid "
        "whom.",
    ]


def is_contradiction(one: bytes, other: bytes, federation: str) -> bool:
    """Whether two genuine files of one federation prove that its hub lied."""
    pairs = []
    for raw in (one, other):
        file = parse(raw)
        is_refusal = "prepare" not in file
        (verify_refusal if is_refusal else verify)(raw, federation)
        shape = REFUSED if is_refusal else DECISION
        pairs.append(prove_decision(file, shape, federation))
    (note, decision), (other_note, other_decision) = pairs
    if decision != other_decision:
        outcomes = {decision["outcome"], other_decision["outcome"]}
        prepares = {decision["prepare"], other_decision["prepare"]}
        twice = outcomes == {"cleared"} or (len(prepares) == 1 and prepares != {None})
        place, other_place = (
            (found["log"], found["number"]) for found in (decision, other_decision)
        )
        if place == other_place or (decision["id"] == other_decision["id"] and twice):
            return True
    size, other_size = ((found["log"], found["size"]) for found in (note, other_note))
    return size == other_size and note != other_note
