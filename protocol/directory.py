"""Who is in the federation: the fold of all directory decisions, in order.

A group signs its own entry (unit, rates, keys); beside it stands what only the
hub knows (state, limits, item numbers of the keys). Hub and nodes fold the same
decisions and so hold the same directory (protocol, sections 3 and 9).
"""

import contextlib
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache

import msgspec

from protocol import jws, strict_json
from protocol.address import FederationId, Group, read_display_name, read_group
from protocol.base64url import read_base64url, write_base64url
from protocol.errors import (
    MalformedMessageError,
    NotSignedError,
    PeerError,
    WeakKeyError,
)
from protocol.instant import Instant, read_instant
from protocol.key_change import (
    check_same_but_keys,
    check_spans,
    check_spans_follow,
    check_statement,
    former_keys,
    key_text,
)
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
    HubKeySpan,
    HubStatement,
    KeysDecision,
    KeySpan,
    entry_decoder,
    hub_statement_decoder,
)
from protocol.unit import HOUR, write_ratio

ENTRY_TYP = "interlets-entry"
HUB_TYP = "interlets-hub"
_USES = ("signing", "sealing", "recovery")
#: Every batch and every cover asks for the same few keys of entries. Who sends many
#: other ones can only make this forget, which costs a microsecond.
_KEYS_KEPT = 1024
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
        former: the public keys that it signed with before, oldest first.
        renewed_at: when the hub took its newest signing key; ``None``: its first.
        sealed_with: the public sealing keys that it had before, oldest first.
        used: every public key that it ever had, of any use.
        by_admin: neither its old nor its recovery key has signed for its keys.
        rests_on: the record whose keys these are only as good as; ``None`` where
            nobody need be asked.
    """

    entry: GroupEntry
    signed: str
    state: str
    floor: int
    ceiling: int
    keys: tuple[KeySpan, ...]
    line: bytes
    former: tuple[str, ...] = ()
    renewed_at: Instant | None = None
    sealed_with: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()
    by_admin: bool = False
    rests_on: "GroupRecord | None" = None

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

    def sealing_key(self, kid: str) -> bytes:
        """The sealing key with an id, now or before; the newest if there is none.

        What was sealed just before a change arrives just after it.
        """
        for text in self.sealed_with:
            public = read_base64url(text, "sealing key")
            if key_id(public) == kid:
                return public
        return self.key("sealing")


Directory = Mapping[Group, GroupRecord]


def entry_key(keys: Iterable[EntryKey], use: str) -> bytes:
    """Find the key of one use; entries are checked to hold each once."""
    for key in keys:
        if key.use == use:
            return _read_key(key.key, use)
    raise MalformedMessageError("keys", use, "a key for this use")


@lru_cache(_KEYS_KEPT)
def _read_key(text: str, use: str) -> bytes:
    return read_base64url(text, f"{use} key")


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
    """Check that an entry with the same keys may follow the one we have.

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

    New keys that nobody has vouched for are taken too, so that all have the same
    directory; ``trusted`` tells which keys count.

    Raises:
        MalformedMessageError, NotSignedError, WeakKeyError: the group's part is
            not what the group could have signed, or its keys can never follow.
    """
    record = read_record(decision, line, federation)
    group = Group(decision.group)
    before = directory.get(group)
    if before is None and isinstance(decision, KeysDecision):
        # Nobody would have signed for a former key that a hub names here.
        expected = "none with a group's first entry"
        raise MalformedMessageError("former", "former keys", expected)
    _check_unused(directory, before, record)
    if before is not None:
        record = _following(before, record, decision)
    return {**directory, group: record}


def read_record(
    decision: DirectoryDecision, line: bytes, federation: FederationId
) -> GroupRecord:
    """Read what one decision says of a group, whatever was decided before.

    Former keys and their periods are then the hub's bare word: see ``fold``.

    Raises:
        MalformedMessageError, NotSignedError, WeakKeyError: as ``fold``, but for
            what follows from what was before.
    """
    entry = read_entry(decision.entry, federation)
    if entry.group != decision.group:
        raise MalformedMessageError("group", decision.group, entry.group)
    check_spans(decision, entry)
    former = tuple(former_keys(decision))
    return GroupRecord(
        entry=entry,
        signed=decision.entry,
        state=decision.state,
        floor=decision.floor,
        ceiling=decision.ceiling,
        keys=tuple(decision.keys),
        line=line,
        former=former,
        used=frozenset((*former, *(key.key for key in entry.keys))),
    )


def _check_unused(
    directory: Directory, before: GroupRecord | None, record: GroupRecord
) -> None:
    """Refuse new keys that anyone has used, for whatever."""
    new = set(record.used)
    if before is not None:
        new = {key.key for key in record.entry.keys if key not in before.entry.keys}
    if new and any(new & other.used for other in directory.values()):
        raise WeakKeyError("keys: one of them is in use, or was")


def _following(
    before: GroupRecord, record: GroupRecord, decision: DirectoryDecision
) -> GroupRecord:
    """Give a group's next record, with what is known of its keys.

    A decision of kind ``directory`` never brings new keys.
    """
    last, statement = None, None
    if isinstance(decision, KeysDecision):
        last, statement = check_spans_follow(before.keys, decision), decision.statement
    added = () if last is None else (key_text(before.entry, "signing"),)
    if record.former != (*before.former, *added):
        raise MalformedMessageError("former", "other keys", "what they were")
    sealing = key_text(before.entry, "sealing")
    is_same = sealing == key_text(record.entry, "sealing")
    record = msgspec.structs.replace(
        record,
        used=before.used | record.used,
        renewed_at=read_instant(decision.at) if added else before.renewed_at,
        sealed_with=(*before.sealed_with, *(() if is_same else (sealing,))),
    )
    if record.entry.keys == before.entry.keys or not isinstance(decision, KeysDecision):
        check_succession(before, record.entry)
        return msgspec.structs.replace(
            record, by_admin=before.by_admin, rests_on=before.rests_on
        )
    check_same_but_keys(before.entry, record.entry)
    voucher = _voucher(before, record, statement, last)
    if voucher is None:
        return msgspec.structs.replace(record, by_admin=True, rests_on=before)
    rests_on = None if voucher.rests_on is None else voucher
    return msgspec.structs.replace(record, rests_on=rests_on)


def _voucher(
    before: GroupRecord, record: GroupRecord, statement: str | None, last: int | None
) -> GroupRecord | None:
    """Find the record whose keys have signed for new ones.

    One before counts too: a group whose keys the hub has replaced without asking can
    still speak for itself. One that nobody need be asked about is found first, since
    a recovery key may stand in several; else the newest.
    """
    found = []
    one: GroupRecord | None = before
    while statement is not None and one is not None:
        with contextlib.suppress(PeerError):
            check_statement(statement, one.entry, record.entry, last)
            found.append(one)
        one = one.rests_on
    return min(found, key=lambda each: each.rests_on is not None, default=None)


def keys_hash(entry: GroupEntry) -> str:
    """Hash what the check digits are of: federation, group and all keys."""
    return write_base64url(_digest(FederationId(entry.federation), entry))


def trusted(directory: Directory, accepted: Set[str]) -> Directory:
    """Give each group with the keys that count here.

    Args:
        directory: as the hub's decisions fold.
        accepted: hashes of keys (``keys_hash``) that people have compared.

    Returns:
        The directory itself where nothing is held back; else with the record that
        was trusted last, for each group whose new keys nobody has vouched for.
    """
    held = {
        group: _trusted(record, accepted)
        for group, record in directory.items()
        if not _is_trusted(record, accepted)
    }
    return {**directory, **held} if held else directory


def _is_trusted(record: GroupRecord, accepted: Set[str]) -> bool:
    while record.rests_on is not None and keys_hash(record.entry) not in accepted:
        if record.by_admin:
            return False
        record = record.rests_on
    return True


def _trusted(record: GroupRecord, accepted: Set[str]) -> GroupRecord:
    while record.rests_on is not None and not _is_trusted(record, accepted):
        record = record.rests_on
    return record


def periods(directory: Directory) -> list[KeyPeriod]:
    """Give the signing keys of all groups, also former ones, with item numbers."""
    found = []
    for group, record in directory.items():
        publics = [read_base64url(key, "former key") for key in record.former]
        publics.append(record.key("signing"))
        by_kid = {key_id(public): public for public in publics}
        found += [
            KeyPeriod(group, by_kid[span.kid], span.first, span.last)
            for span in record.keys
            if span.kid in by_kid
        ]
    return found


def keyring(directory: Directory, others: Iterable[KeyPeriod] = ()) -> Keyring:
    """Make the keyring of everyone in a directory, and ``others`` (the hub)."""
    return Keyring([*periods(directory), *others])


def sign_hub_statement(statement: HubStatement, root: SigningKey) -> str:
    """Sign the hub's keys with the federation's root key."""
    return jws.sign(strict_json.write(statement), root, HUB_TYP)


def hub_publics(statement: HubStatement) -> list[bytes]:
    """Give a hub's public signing keys: that which counts, then former ones."""
    former = () if statement.former is msgspec.UNSET else statement.former
    return [
        entry_key(statement.keys, "signing"),
        *(read_base64url(span.key, "key") for span in former),
    ]


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
    _check_former(statement)
    return statement


def _check_former(statement: HubStatement) -> None:
    """Check that no checkpoint has two former keys, and that they are fit."""
    if (statement.former is msgspec.UNSET) != (statement.version == 1):
        expected = "former keys from version 2 on, and not before"
        raise MalformedMessageError("former", statement.version, expected)
    spans = sorted(hub_key_spans(statement), key=lambda span: (span.log, span.first))
    now = {key.key for key in statement.keys}
    for span in spans:
        check_signing_key(read_base64url(span.key, "former key"))
        if span.key in now or span.first > span.last:
            raise MalformedMessageError("former", span.key, "a former key, its sizes")
    for one, other in itertools.pairwise(spans):
        if one.log == other.log and other.first <= one.last:
            raise MalformedMessageError("former", one.log, "one key for each size")


def hub_key_spans(statement: HubStatement) -> Sequence[HubKeySpan]:
    """List which checkpoints the hub's former keys signed."""
    return () if isinstance(statement.former, msgspec.UnsetType) else statement.former


def hub_key(statement: HubStatement, log: str, size: int) -> bytes:
    """Give the hub's signing key that counts for one checkpoint.

    What no former key is known to have signed must be signed by the newest.
    """
    for span in hub_key_spans(statement):
        if span.log == log and span.first <= size <= span.last:
            return read_base64url(span.key, "former key")
    return entry_key(statement.keys, "signing")


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
    digits = f"{int.from_bytes(_digest(federation, entry)) % 10**12:012d}"
    return " ".join(digits[start : start + 4] for start in range(0, 12, 4))


def _digest(federation: FederationId, entry: GroupEntry) -> bytes:
    told = "\n".join([federation, entry.group, *(key.key for key in entry.keys)])
    return hashlib.sha256(told.encode()).digest()


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
