"""Who is in the federation: the fold of all directory decisions, in order.

A group signs its own entry (unit, rates, keys); beside it stands what only the
hub knows (state, limits, item numbers of the keys). Hub and nodes fold the same
decisions and so hold the same directory (protocol, sections 3 and 9).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from protocol import jws, strict_json
from protocol.address import FederationId, Group, read_display_name, read_group
from protocol.base64url import read_base64url, write_base64url
from protocol.errors import MalformedMessageError, NotSignedError, WeakKeyError
from protocol.keyring import (
    KeyPeriod,
    Keyring,
    SigningKey,
    check_sealing_key,
    check_signing_key,
    key_hash,
    key_id,
)
from protocol.messages import (
    DirectoryDecision,
    EntryKey,
    GroupEntry,
    HubStatement,
    KeySpan,
    entry_decoder,
    hub_statement_decoder,
)
from protocol.unit import HOUR, write_ratio

ENTRY_TYP = "interlets-entry"
HUB_TYP = "interlets-hub"
_USES = ("signing", "sealing", "recovery")
#: A signed entry in letters: a decision adds the hub's part and must fit an item.
ENTRY_LENGTH_MAX = 14 * 1024


class GroupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One group, as the newest directory decision about it says.

    Attributes:
        entry: what the group signed.
        signed: the group's JWS over it.
        state: ``active``, ``leaving``, ``frozen`` or ``left``.
        floor: lowest position allowed, milliseconds.
        ceiling: highest position allowed, milliseconds.
        keys: item numbers of its signing keys, oldest first.
        line: the decision's line.
    """

    entry: GroupEntry
    signed: str
    state: str
    floor: int
    ceiling: int
    keys: tuple[KeySpan, ...]
    line: bytes

    @property
    def rate(self) -> int:
        """Milliseconds per minor unit now."""
        return self.entry.rates[-1].milliseconds

    @property
    def rate_version(self) -> int:
        """Version of the rate that counts now."""
        return self.entry.rates[-1].version

    def key(self, use: str) -> bytes:
        """The public key for ``signing``, ``sealing`` or ``recovery``."""
        return entry_key(self.entry.keys, use)


Directory = Mapping[Group, GroupRecord]


def entry_key(keys: Iterable[EntryKey], use: str) -> bytes:
    """Find the key of one use; entries are checked to hold each once."""
    for key in keys:
        if key.use == use:
            return read_base64url(key.key, f"{use} key")
    raise MalformedMessageError("keys", use, "a key for this use")


def sign_entry(entry: GroupEntry, key: SigningKey) -> str:
    """Sign a group's entry with its signing key."""
    return jws.sign(strict_json.write(entry), key, ENTRY_TYP)


def read_entry(signed: str, federation: FederationId) -> GroupEntry:
    """Read a group's entry, signed by the signing key that it names.

    That this key is the group's to use, the caller knows: by an invitation, or
    by the entry before.

    Raises:
        MalformedMessageError: not an entry, or one that contradicts itself.
        NotSignedError: not signed by its own key, or for another federation.
        WeakKeyError: one of its keys must not be registered.
    """
    parts = jws.split(signed, ENTRY_TYP)
    # The key stands inside, so this reading is believed only once it verifies.
    entry = strict_json.read(parts.payload, entry_decoder, "entry")
    public = entry_key(entry.keys, "signing")
    if parts.kid != key_id(public):
        raise NotSignedError("entry: signed by another key than it names")
    jws.check(parts, public)
    if entry.federation != federation:
        raise NotSignedError(f"entry: for {entry.federation}, which is not ours")
    check_entry(entry)
    return entry


def check_entry(entry: GroupEntry) -> None:
    """Check what types cannot: names, rates in order, keys fit to register."""
    read_group(entry.group)
    read_display_name(entry.name)
    for name in (entry.unit.name, entry.unit.plural, entry.unit.symbol):
        read_display_name(name)
    versions = [rate.version for rate in entry.rates]
    if versions != list(range(1, len(versions) + 1)):
        raise MalformedMessageError("rates", versions, "versions 1, 2, 3, ...")
    _check_uses(entry.keys)
    _check_fitness(entry.keys)


def _check_uses(keys: Sequence[EntryKey]) -> None:
    uses = [key.use for key in keys]
    if sorted(uses) != sorted(_USES):
        raise MalformedMessageError("keys", uses, ", ".join(_USES))


def _check_fitness(keys: Sequence[EntryKey]) -> None:
    check_signing_key(entry_key(keys, "signing"))
    check_signing_key(entry_key(keys, "recovery"))
    check_sealing_key(entry_key(keys, "sealing"))
    if len({key.key for key in keys}) != len(keys):
        raise WeakKeyError("keys: one key for two uses")


def check_succession(before: GroupRecord | None, entry: GroupEntry) -> None:
    """Check that an entry may follow the one we have.

    Raises:
        MalformedMessageError: a version, key or old rate that does not fit.
    """
    if before is None:
        return
    old = before.entry
    if entry.version < old.version or (entry.version == old.version and entry != old):
        raise MalformedMessageError("entry version", entry.version, "a newer version")
    if entry.rates[: len(old.rates)] != old.rates:
        raise MalformedMessageError("rates", "an old rate changed", "old rates to stay")
    if entry.keys != old.keys:
        raise MalformedMessageError("keys", "other keys", "the keys it had")
    # Every balance is stored in minor units: other decimals would move them all.
    if entry.unit.decimals != old.unit.decimals:
        raise MalformedMessageError(
            "decimals", entry.unit.decimals, f"{old.unit.decimals}, as before"
        )


def check_proposal(before: GroupRecord, entry: GroupEntry) -> None:
    """Check that a group may ask for this entry, after the one it has.

    Group and hub both ask this first: what may never be approved should not wait
    for a person.

    Raises:
        MalformedMessageError: not the next version, more than one new rate, or
            nothing new at all.
    """
    check_succession(before, entry)
    old = before.entry
    if entry.version != old.version + 1:
        expected = f"version {old.version + 1}"
        raise MalformedMessageError("entry version", entry.version, expected)
    added = entry.rates[len(old.rates) :]
    if len(added) > 1:
        raise MalformedMessageError("rates", f"{len(added)} new", "one new rate")
    if added and added[0].milliseconds == before.rate:
        raise MalformedMessageError("rate", before.rate, "another than now")
    if not added and (entry.name, entry.unit) == (old.name, old.unit):
        raise MalformedMessageError("entry", "as it is", "something new")


def fold(
    directory: Directory,
    decision: DirectoryDecision,
    line: bytes,
    federation: FederationId,
) -> Directory:
    """Apply one directory decision; gives a new directory.

    Raises:
        MalformedMessageError, NotSignedError, WeakKeyError: the group's part is
            not what the group could have signed.
    """
    entry = read_entry(decision.entry, federation)
    if entry.group != decision.group:
        raise MalformedMessageError("group", decision.group, entry.group)
    group = Group(entry.group)
    check_succession(directory.get(group), entry)
    record = GroupRecord(
        entry=entry,
        signed=decision.entry,
        state=decision.state,
        floor=decision.floor,
        ceiling=decision.ceiling,
        keys=tuple(decision.keys),
        line=line,
    )
    return {**directory, group: record}


def periods(directory: Directory) -> list[KeyPeriod]:
    """Give the signing keys of all groups with their item numbers."""
    found = []
    for group, record in directory.items():
        public = record.key("signing")
        spans = [span for span in record.keys if span.kid == key_id(public)]
        found += [KeyPeriod(group, public, span.first, span.last) for span in spans]
    return found


def keyring(directory: Directory, others: Iterable[KeyPeriod] = ()) -> Keyring:
    """Make the keyring of everyone in a directory, and ``others`` (the hub)."""
    return Keyring([*periods(directory), *others])


def sign_hub_statement(statement: HubStatement, root: SigningKey) -> str:
    """Sign the hub's keys with the federation's root key."""
    return jws.sign(strict_json.write(statement), root, HUB_TYP)


def read_hub_statement(signed: str, federation: FederationId) -> HubStatement:
    """Read the hub's keys and check that the federation's root key signed them.

    The statement carries the root key; its hash is in the federation's id.

    Raises:
        MalformedMessageError: not such a statement.
        NotSignedError: not by the key whose hash the federation's id holds.
        WeakKeyError: one of its keys must not be used.
    """
    parts = jws.split(signed, HUB_TYP)
    statement = strict_json.read(parts.payload, hub_statement_decoder, "hub statement")
    _check_uses(statement.keys)
    root = entry_key(statement.keys, "recovery")
    if key_hash(root) != federation.partition("#")[2]:
        raise NotSignedError("hub statement: its root key is not this federation's")
    if parts.kid != key_id(root):
        raise NotSignedError("hub statement: not signed by its root key")
    jws.check(parts, root)
    if statement.federation != federation:
        raise NotSignedError("hub statement: for another federation")
    _check_fitness(statement.keys)
    return statement


def public_keys(signing: bytes, sealing: bytes, recovery: bytes) -> list[EntryKey]:
    """List three public keys as entries and statements hold them."""
    return [
        EntryKey("signing", write_base64url(signing)),
        EntryKey("sealing", write_base64url(sealing)),
        EntryKey("recovery", write_base64url(recovery)),
    ]


def check_digits(federation: FederationId, entry: GroupEntry) -> str:
    """Give the twelve digits that two people compare by telephone.

    From SHA-256 over the federation (so its root key), the group and its keys.
    """
    told = "\n".join([federation, entry.group, *(key.key for key in entry.keys)])
    digest = hashlib.sha256(told.encode()).digest()
    digits = f"{int.from_bytes(digest) % 10**12:012d}"
    return " ".join(digits[start : start + 4] for start in range(0, 12, 4))


def rate_of_hour(per_hour: int, decimals: int) -> int:
    """Give milliseconds per minor unit for a unit of which an hour has so many.

    Rounded to the nearest whole millisecond, halves up: 7 an hour is 514286.
    """
    minor = per_hour * int(10**decimals)
    return (2 * HOUR + minor) // (2 * minor)


def units_per_hour(rate: int, decimals: int) -> str:
    """Write how many units an hour is worth, as ``20`` or ``6.6667``.

    A whole number that gives just this rate is what the group once said.
    """
    unit = rate * int(10**decimals)
    whole = (2 * HOUR + unit) // (2 * unit)
    if whole > 0 and rate_of_hour(whole, decimals) == rate:
        return str(whole)
    return write_ratio(HOUR, unit)


def namesakes(directory: Directory, group: Group) -> list[str]:
    """List other groups that people could take for this one by its display name."""
    name = directory[group].entry.name.casefold()
    return sorted(
        other
        for other, record in directory.items()
        if other != group and record.entry.name.casefold() == name
    )
