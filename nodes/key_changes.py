"""Changing the group's keys: new ones made durable, and only then named to the hub.

Which key signs what, and when the new ones count, is ``nodes.rules.own_keys``; the
files are ``protocol.peer.key_files``.
"""

from collections.abc import Awaitable, Callable, Collection

import msgspec

from nodes.house import NodeHouse
from nodes.rules import (
    ChangeKeys,
    NotRenewed,
    RecoverKeys,
    Renewal,
    next_keys,
    signing_kid,
)
from protocol.address import read_reason
from protocol.directory import entry_key, public_keys, read_entry, sign_entry
from protocol.errors import DirectoryRefusalCode, NotSignedError
from protocol.key_change import sign_recovery, write_recovery_request
from protocol.keyring import SigningKey
from protocol.messages import GroupEntry, Recovery, RecoveryRequest
from protocol.peer.clerk import Clerk
from protocol.peer.key_files import KeyPair
from protocol.peer.steps import KillSwitch
from protocol.peer.web.problems import Problem
from protocol.steps import Step

#: Makes a pair of keys that a power failure does not take away again.
AddKeys = Callable[[], Awaitable[KeyPair]]


class KeyChanges:
    """What the group has asked the hub for, and how it asks.

    Args:
        house: knows the directory and the keys.
        clerk: keeps and sends.
        add_keys: where new keys become durable.
        kill_switch: where a trial wants this process to die.
    """

    def __init__(
        self, house: NodeHouse, clerk: Clerk, add_keys: AddKeys, kill_switch: KillSwitch
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._add_keys = add_keys
        self._kill_switch = kill_switch

    def newest(self) -> Renewal | None:
        """Give the newest keys that were asked for, waiting or answered."""
        self._clerk.check_ready()
        return self._house.renewal

    async def change(
        self, version: int, author: str | None = None, reason: str | None = None
    ) -> Renewal:
        """Make new keys and name them to the hub with the old one.

        Args:
            version: of the entry whose keys shall be changed: it must be the newest.
            author: the person who orders it.
            reason: in her words.

        Raises:
            OutageError: this server is not open, or was restored.
            Problem: 409: new keys wait already, the entry is another by now or has
                become too long, or this server lacks the old signing key.
        """
        self._clerk.check_may_change()
        waiting = self.newest()
        record, house = self._house.own_record(), self._house
        if waiting is not None and waiting.is_waiting:
            raise _refused(DirectoryRefusalCode.KEYS_WAIT)
        if record.entry.version != version:
            raise _refused(DirectoryRefusalCode.ENTRY_CHANGED)
        if not house.has_own_key:
            raise _refused(DirectoryRefusalCode.KEY_MISSING)
        pair = await self._new_pair()
        house.hold(pair)
        keys = public_keys(
            pair.signing.public, pair.sealing.public, record.key("recovery")
        )
        entry = next_keys(record.entry, keys)
        signed = sign_entry(entry, pair.signing)
        # What others would refuse to read, we must not have signed and sent.
        read_entry(signed, house.federation)
        outcome = await self._clerk.take(
            ChangeKeys(entry=entry, signed=signed, author=author, reason=reason)
        )
        if isinstance(outcome, NotRenewed):
            raise _refused(outcome.code)
        assert isinstance(outcome, Renewal)
        return outcome

    async def _new_pair(self) -> KeyPair:
        """Make keys that are durable before anybody hears of them."""
        self._kill_switch.reach(Step.NEW_KEYS, "before")
        pair = await self._add_keys()
        self._kill_switch.reach(Step.NEW_KEYS, "after")
        return pair


def _refused(code: DirectoryRefusalCode) -> Problem:
    return Problem(409, "not-renewed", f"Refused: {code}.", code=code)


def is_believed(house: NodeHouse, told: str, asked: Collection[str]) -> bool:
    """Say whether what the hub tells as our newest entry is surely the group's own.

    It is where only keys and version are other than we know, since those are replaced
    anyway; or where a key of ours has signed it.

    Args:
        house: knows what we heard of.
        told: the signed entry; it was read.
        asked: signed entries of keys that we once asked for.
    """
    entry = read_entry(told, house.federation)
    known = house.own_entry_now
    blank = {"version": 1, "keys": []}
    is_same = msgspec.structs.replace(entry, **blank) == msgspec.structs.replace(
        known, **blank
    )
    return is_same or told in asked or house.is_ours(entry_key(entry.keys, "signing"))


def recovery_of(
    base: GroupEntry, pair: KeyPair, sheet: SigningKey, reason: str
) -> RecoverKeys:
    """Let the recovery key name new keys.

    Args:
        base: the group's newest entry, as the hub tells it.
        pair: new keys, durable by now.
        sheet: the recovery key, as it was typed.
        reason: for people; others may read it.

    Raises:
        NotSignedError: the sheet is of another key than the group's.
        MalformedMessageError: a reason that cannot be.
    """
    if sheet.public != entry_key(base.keys, "recovery"):
        raise NotSignedError("sheet: it is not this group's recovery key")
    keys = public_keys(pair.signing.public, pair.sealing.public, sheet.public)
    entry = next_keys(base, keys)
    statement = Recovery(
        v=1,
        federation=entry.federation,
        group=entry.group,
        version=entry.version,
        keys=entry.keys,
        reason=read_reason(reason),
    )
    return RecoverKeys(
        base=base,
        entry=entry,
        signed=sign_entry(entry, pair.signing),
        statement=sign_recovery(statement, sheet),
        reason=reason,
    )


def request_of(house: NodeHouse) -> str | None:
    """Write what the hub must be told past the link; ``None``: nothing waits.

    The same renewal gives the same request, however often it is sent.
    """
    renewal = house.renewal
    if renewal is None or not renewal.is_waiting or not renewal.is_recovery:
        return None
    key = house.private_keys.all_signing().get(signing_kid(renewal.entry))
    if key is None:
        return None
    request = RecoveryRequest(
        v=1,
        federation=house.federation,
        entry=renewal.signed,
        statement=renewal.statement,
        sent=renewal.number,
    )
    return write_recovery_request(request, key)
