"""Whose word gives a group new keys, and what an old key still counts for."""

from collections.abc import Sequence
from typing import Any

import pytest

from protocol.address import Group
from protocol.base64url import write_base64url
from protocol.directory import (
    Directory,
    check_digits,
    fold,
    keyring,
    keys_hash,
    periods,
    public_keys,
    sign_entry,
    trusted,
)
from protocol.errors import (
    MalformedMessageError,
    NotSignedError,
    PeerError,
    WeakKeyError,
)
from protocol.key_change import check_statement
from protocol.keyring import SigningKey, check_in_force
from protocol.messages import EntryKey, GroupEntry, KeySpan, write_line
from tests.peer.makers import (
    directory_decision,
    directory_of,
    entry_of,
    key_change,
    keys_decision,
    next_keys,
    recovery,
)
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    sealing_key,
    signing_key,
)

ANEW, SLIPPED_IN = "oostende anew", "slipped in"
#: The last item number of the old key.
LAST = 41
OTHERS = FEDERATION.replace("belgium", "france")


def renewed(whose: str = ANEW, version: int = 2, **changes: Any) -> GroupEntry:
    """Oostende's next entry: other keys, but for the recovery key."""
    keys = public_keys(
        signing_key(whose).public,
        sealing_key(whose).public,
        signing_key(f"{OOSTENDE} recovery").public,
    )
    return next_keys(OOSTENDE, whose, version, **({"keys": keys} | changes))


def decided(
    new: GroupEntry,
    statement: str | None,
    *,
    before: Directory | None = None,
    signers: Sequence[str] = (OOSTENDE, ANEW),
    lasts: Sequence[int] = (LAST,),
    **changes: Any,
) -> Directory:
    decision = keys_decision(new, signers, lasts, statement, **changes)
    known = directory_of() if before is None else before
    return fold(known, decision, write_line(decision), FEDERATION)


def is_by_admin(directory: Directory) -> bool:
    """Whether nobody has vouched for the keys that Oostende has now."""
    record = directory[OOSTENDE]
    assert record.by_admin == (trusted(directory, frozenset()) is not directory)
    return record.by_admin


def test_the_old_key_or_the_recovery_key_vouches_for_new_keys() -> None:
    entry = renewed()
    for statement in (key_change(entry, LAST), recovery(entry)):
        assert not is_by_admin(decided(entry, statement))
    assert is_by_admin(decided(entry, None))


@pytest.mark.parametrize("made", [key_change(renewed(), LAST), recovery(renewed())])
def test_a_statement_with_any_changed_bit_vouches_for_nothing(made: str) -> None:
    before, entry = entry_of(OOSTENDE), renewed()
    check_statement(made, before, entry, LAST)
    for place in range(len(made)):
        for bit in range(7):
            other = made[:place] + chr(ord(made[place]) ^ 1 << bit) + made[place + 1 :]
            with pytest.raises(PeerError):
                check_statement(other, before, entry, LAST)


WRONG_FIELDS: dict[str, dict[str, Any]] = {
    "another federation": {"federation": OTHERS},
    "another group": {"group": "mechelen"},
    "the version before": {"version": 1},
    "a version later": {"version": 3},
    "other keys": {"keys": renewed(SLIPPED_IN).keys},
    "the same keys in another order": {"keys": renewed().keys[::-1]},
}


@pytest.mark.parametrize("changes", WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_a_statement_about_anything_else_vouches_for_nothing(
    changes: dict[str, Any],
) -> None:
    entry = renewed()
    for statement in (key_change(entry, LAST, **changes), recovery(entry, **changes)):
        with pytest.raises(NotSignedError, match="another entry"):
            check_statement(statement, entry_of(OOSTENDE), entry, LAST)
        assert is_by_admin(decided(entry, statement))


@pytest.mark.parametrize("by", [ANEW, "mechelen", "hub", "the root", "a stranger"])
def test_nobody_else_vouches(by: str) -> None:
    entry = renewed()
    for statement in (key_change(entry, LAST, by), recovery(entry, by)):
        assert is_by_admin(decided(entry, statement))
    # Nor does one of the right keys under the other's name.
    assert is_by_admin(decided(entry, recovery(entry, OOSTENDE)))
    crossed = key_change(entry, LAST, f"{OOSTENDE} recovery")
    assert is_by_admin(decided(entry, crossed))


def test_the_hub_cannot_say_otherwise_when_the_old_key_ended() -> None:
    entry = renewed()
    statement = key_change(entry, LAST)
    for last, is_slipped in ((LAST, False), (LAST - 1, True), (LAST + 1, True)):
        assert is_by_admin(decided(entry, statement, lasts=[last])) is is_slipped
    # Who has lost the key does not know what it signed: there the hub tells.
    assert not is_by_admin(decided(entry, recovery(entry), lasts=[7]))


def test_the_signing_key_alone_never_replaces_the_recovery_key() -> None:
    entry = next_keys(OOSTENDE, ANEW)
    assert is_by_admin(decided(entry, key_change(entry, LAST)))
    assert not is_by_admin(decided(entry, recovery(entry)))


def test_a_recovery_says_why() -> None:
    entry = renewed()
    for reason in ("", " ", "a\u202eb", "x" * 501):
        assert is_by_admin(decided(entry, recovery(entry, reason=reason)))


@pytest.mark.parametrize("version", [1, 3])
def test_a_version_used_before_or_left_out_is_refused(version: int) -> None:
    entry = renewed(version=version)
    for statement in (key_change(entry, LAST), recovery(entry), None):
        with pytest.raises(MalformedMessageError, match="entry version"):
            decided(entry, statement)


def test_a_statement_counts_once() -> None:
    first = renewed()
    after = decided(first, recovery(first))
    second, signers = renewed("a third", 3), (OOSTENDE, ANEW, "a third")
    again = decided(
        second, recovery(first), before=after, signers=signers, lasts=(LAST, 50)
    )
    assert is_by_admin(again)
    own = key_change(second, 50, ANEW)
    again = decided(second, own, before=after, signers=signers, lasts=(LAST, 50))
    assert not is_by_admin(again)


def with_key(use: str, public: bytes) -> GroupEntry:
    keys = [
        EntryKey(use, write_base64url(public)) if key.use == use else key  # type: ignore[arg-type]
        for key in renewed().keys
    ]
    return renewed(keys=keys)


USED = {
    "another group's signing key": ("signing", signing_key(MECHELEN)),
    "another group's recovery key": ("recovery", signing_key("mechelen recovery")),
    "another group's signing key to recover": ("recovery", signing_key(MECHELEN)),
    "another group's sealing key": ("sealing", sealing_key(MECHELEN)),
    "its own old key to recover": ("recovery", signing_key(OOSTENDE)),
}


@pytest.mark.parametrize(("use", "key"), USED.values(), ids=USED)
def test_a_key_that_anyone_has_used_is_refused(use: str, key: Any) -> None:
    entry = with_key(use, key.public)
    signer = key if use == "signing" else signing_key(ANEW)
    changes = {"entry": sign_entry(entry, signer), "keys": _spans(signer.kid)}
    for statement in (recovery(entry), None):
        with pytest.raises(WeakKeyError, match="in use, or was"):
            decided(entry, statement, **changes)


def test_no_group_comes_back_to_a_key_of_its_own() -> None:
    first = renewed()
    after = decided(first, recovery(first))
    for whose in (OOSTENDE, ANEW):
        back = renewed(whose, 3)
        with pytest.raises(PeerError):
            decided(
                back,
                recovery(back),
                before=after,
                signers=(OOSTENDE, ANEW, whose),
                lasts=(LAST, 50),
            )


def test_no_new_group_is_taken_with_a_key_that_was_ever_used() -> None:
    entry = renewed()
    known = decided(entry, recovery(entry))
    for whose in (OOSTENDE, ANEW):
        decision = directory_decision(
            entry_of(Group("gent"), keys_of=whose), keys_of=whose
        )
        with pytest.raises(WeakKeyError, match="in use, or was"):
            fold(known, decision, write_line(decision), FEDERATION)


WEAK = {
    "all-zero": bytes(32),
    "of small order": b"\1" + bytes(31),
    "not canonical": ((1 << 255) - 18).to_bytes(32, "little"),
    "an example of RFC 8032": bytes.fromhex(
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    ),
}


@pytest.mark.parametrize("public", WEAK.values(), ids=WEAK)
@pytest.mark.parametrize("use", ["recovery", "sealing"])
def test_a_weak_key_is_refused_whoever_vouches(use: str, public: bytes) -> None:
    if (use, public) == ("sealing", WEAK["an example of RFC 8032"]):
        pytest.skip("an Ed25519 example is no weak X25519 key")
    entry = with_key(use, public)
    with pytest.raises(WeakKeyError):
        decided(entry, recovery(entry))


def test_the_example_of_rfc_8032_signs_for_nobody() -> None:
    known = SigningKey(
        bytes.fromhex(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        )
    )
    entry = with_key("signing", known.public)
    with pytest.raises(WeakKeyError, match="RFC 8032"):
        decided(
            entry,
            recovery(entry),
            entry=sign_entry(entry, known),
            keys=_spans(known.kid),
        )


def _spans(kid: str) -> list[KeySpan]:
    return [
        KeySpan(signing_key(OOSTENDE).kid, 1, LAST),
        KeySpan(kid, LAST + 1, None),
    ]


NEVER: dict[str, dict[str, Any]] = {
    "the former key left out": {"former": []},
    "another former key": {
        "former": [write_base64url(signing_key("a stranger").public)]
    },
    "no spans": {"keys": []},
    "one span for two keys": {"keys": _spans(signing_key(ANEW).kid)[1:]},
    "two keys for an item": {
        "keys": [_spans("")[0], KeySpan(signing_key(ANEW).kid, LAST, None)]
    },
    "an item without a key": {
        "keys": [_spans("")[0], KeySpan(signing_key(ANEW).kid, LAST + 2, None)]
    },
    "an old key without an end": {
        "keys": [
            KeySpan(signing_key(OOSTENDE).kid, 1, None),
            KeySpan(signing_key(ANEW).kid, LAST + 1, None),
        ]
    },
}


@pytest.mark.parametrize("changes", NEVER.values(), ids=NEVER)
def test_keys_and_item_numbers_belong_together(changes: dict[str, Any]) -> None:
    entry = renewed()
    with pytest.raises(MalformedMessageError):
        decided(entry, recovery(entry), **changes)


def test_a_change_of_keys_changes_nothing_else() -> None:
    rates = entry_of(OOSTENDE, 180_000, 120_000).rates
    for changes in ({"name": "Kring"}, {"rates": rates}):
        entry = renewed(**changes)
        with pytest.raises(MalformedMessageError, match="more than keys"):
            decided(entry, recovery(entry))


def test_what_was_told_of_former_keys_stays() -> None:
    entry = renewed()
    known = decided(entry, recovery(entry))
    frozen = decided(entry, None, before=known, state="frozen")
    assert frozen[OOSTENDE].state == "frozen" and not is_by_admin(frozen)
    assert frozen[OOSTENDE].used == known[OOSTENDE].used
    with pytest.raises(MalformedMessageError, match="former"):
        decided(entry, None, before=known, lasts=[LAST - 1])
    decision = directory_decision(entry, keys_of=ANEW)
    with pytest.raises(MalformedMessageError, match="former"):
        fold(known, decision, write_line(decision), FEDERATION)


def test_an_ordinary_decision_never_brings_new_keys() -> None:
    decision = directory_decision(renewed(), keys_of=ANEW)
    with pytest.raises(MalformedMessageError, match="other keys"):
        fold(directory_of(), decision, write_line(decision), FEDERATION)


def test_an_old_key_counts_for_the_items_of_its_period_only() -> None:
    entry = renewed()
    found = {one.kid: one for one in periods(decided(entry, recovery(entry)))}
    old, new = found[signing_key(OOSTENDE).kid], found[signing_key(ANEW).kid]
    check_in_force(old, LAST)
    check_in_force(new, LAST + 1)
    with pytest.raises(NotSignedError, match=r"revoked: .* after item 41; this is 42"):
        check_in_force(old, LAST + 1)
    with pytest.raises(NotSignedError, match=r"before item 42; this is 41"):
        check_in_force(new, LAST)


def test_slipped_in_keys_count_only_once_they_are_accepted() -> None:
    entry = renewed(SLIPPED_IN)
    signers = (OOSTENDE, SLIPPED_IN)
    known = decided(entry, None, signers=signers)
    held = trusted(known, frozenset())
    assert held[OOSTENDE] == directory_of()[OOSTENDE]
    assert held[MECHELEN] is known[MECHELEN]
    assert not keyring(held).is_known(signing_key(SLIPPED_IN).public)
    accepted = frozenset({keys_hash(entry)})
    assert trusted(known, accepted) is known
    assert keyring(trusted(known, accepted)).is_known(signing_key(SLIPPED_IN).public)
    digits = {check_digits(FEDERATION, one[OOSTENDE].entry) for one in (known, held)}
    assert len(digits) == 2


def test_a_group_that_was_replaced_can_still_speak_for_itself() -> None:
    slipped = renewed(SLIPPED_IN)
    known = decided(slipped, None, signers=(OOSTENDE, SLIPPED_IN))
    back, signers = renewed(ANEW, 3), (OOSTENDE, SLIPPED_IN, ANEW)

    def after(statement: str | None, lasts: Sequence[int] = (LAST, 50)) -> Directory:
        return decided(back, statement, before=known, signers=signers, lasts=lasts)

    # Its own recovery key was in the entry that was replaced.
    assert trusted(after(recovery(back)), frozenset()) == after(recovery(back))
    # Whoever was slipped in vouches for no more than for itself.
    by_slipped = after(key_change(back, 50, SLIPPED_IN))
    assert not by_slipped[OOSTENDE].by_admin
    held = trusted(by_slipped, frozenset())
    assert held[OOSTENDE] == directory_of()[OOSTENDE]
    accepted = frozenset({keys_hash(slipped)})
    assert trusted(by_slipped, accepted) is by_slipped
    # Another one slipped in behind an accepted one falls back to that.
    twice = after(None)
    assert trusted(twice, accepted)[OOSTENDE] == known[OOSTENDE]


def test_no_chain_of_slipped_in_keys_is_too_long() -> None:
    known, signers = directory_of(), [OOSTENDE]
    for version in range(2, 60):
        whose = f"slipped in {version}"
        signers.append(whose)
        lasts = range(1, len(signers))
        by = None if version < 30 else signers[-2]
        entry = renewed(whose, version)
        said = None if by is None else key_change(entry, lasts[-1], by)
        known = decided(entry, said, before=known, signers=signers, lasts=list(lasts))
    assert trusted(known, frozenset())[OOSTENDE] == directory_of()[OOSTENDE]


def test_a_groups_first_entry_has_no_former_keys() -> None:
    # Otherwise a hub names a key of its own as one that the group has had, and signs
    # as the group: its own entry and check digits look as they should.
    known = {key: each for key, each in directory_of().items() if key != OOSTENDE}
    entry = directory_of()[OOSTENDE].entry
    decision = keys_decision(entry, (SLIPPED_IN, OOSTENDE), (1,))
    with pytest.raises(MalformedMessageError, match="former keys"):
        fold(known, decision, write_line(decision), FEDERATION)
