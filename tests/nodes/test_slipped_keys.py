"""A hub that gives a group other keys: who is believed, and until when.

The hub here lies to everyone alike, in its log too, so that comparing logs finds
nothing: only the law of key changes does (``protocol.key_change``).
"""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import pytest

from clearing.rules import Limit
from nodes import rules
from nodes.house import NodeHouse
from nodes.rules import AcceptKeys, KeepKeys, KeysOutcome, NodeView
from protocol.directory import check_digits, public_keys
from protocol.effects import CallPeople, Effect
from protocol.errors import RefusalCode
from protocol.messages import (
    DirectoryDecision,
    GroupEntry,
    TransferAccept,
    TransferRefuse,
    read_item,
    write_line,
)
from tests.nodes.liar import Watched, watched
from tests.nodes.makers import mechelen, offered
from tests.nodes.test_trust_api import treasury
from tests.peer.federation import NewDatabase
from tests.peer.makers import (
    NOW,
    carry_out,
    directory_decision,
    directory_of,
    key_change,
    keys_decision,
    next_keys,
    of_kind,
    recovery,
    sent,
)
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    sealing_key,
    signing_key,
)

SLIPPED_IN = "slipped in"
#: So many items of Oostende's the true key still signs, by the hub's word.
LAST = 10_000
KEYS = "/api/v1/group/keys"
#: Makes a statement for the entry, or none.
State = Callable[[GroupEntry], str | None]


def nobody(_entry: GroupEntry) -> None:
    return None


def old_key(entry: GroupEntry) -> str:
    return key_change(entry, LAST)


def impostor(entry: GroupEntry) -> str:
    return key_change(entry, LAST, SLIPPED_IN)


def slipped(entry: GroupEntry) -> GroupEntry:
    """The group's next entry: another signing key, and nothing else."""
    keys = public_keys(
        signing_key(SLIPPED_IN).public,
        sealing_key(OOSTENDE).public,
        signing_key(f"{OOSTENDE} recovery").public,
    )
    return next_keys(OOSTENDE, SLIPPED_IN, entry.version + 1, keys=keys)


async def slip_in(seen: Watched, state: State) -> GroupEntry:
    """Let the hub tell everyone of other keys for Oostende.

    It goes on hearing the group under its true key, so that it passes payments on.
    """
    true_keys = seen.hub.house.keyring
    entry = slipped(seen.hub.house.directory[OOSTENDE].entry)

    def decided(line: bytes) -> bytes:
        decision = read_item(line)
        if not isinstance(decision, DirectoryDecision):
            return line
        where = {name: getattr(decision, name) for name in ("log", "number", "at")}
        signers = (OOSTENDE, SLIPPED_IN)
        return write_line(keys_decision(entry, signers, [LAST], state(entry), **where))

    seen.hub.house.decided = decided
    await seen.federated.hub.clerk.take(Limit(OOSTENDE, -(10**11), 10**11))
    seen.hub.house.keyring = true_keys
    await seen.federated.quiet()
    seen.hub.house.decided = None
    return entry


@pytest.mark.parametrize("state", [nobody, impostor])
async def test_keys_that_nobody_vouched_for_wait_until_people_have_compared(
    new_database: NewDatabase, state: State
) -> None:
    async with watched(new_database) as seen, treasury(seen) as (client, who):
        assert await seen.code_of_next("eggs") is None
        before = seen.house(MECHELEN).directory[OOSTENDE].entry
        entry = await slip_in(seen, state)
        was, now = (check_digits(FEDERATION, one) for one in (before, entry))
        [alarm] = await seen.alarms(MECHELEN)
        assert alarm.endswith(f"signed for them: digits {now}; we keep to {was}")
        told = await (await client.get("/api/v1/group/alarms", headers=who)).json()
        assert "twaalf cijfers" in told["alarms"][0]["advice"]
        keyring = seen.house(MECHELEN).keyring
        assert keyring.is_known(signing_key(OOSTENDE).public)
        assert not keyring.is_known(signing_key(SLIPPED_IN).public)
        assert await seen.code_of_next("bread") == RefusalCode.KEYS_NOT_ACCEPTED
        # A hub that lies to all alike is not found by its log; nor need it be.
        await seen.wait(60, MECHELEN)
        assert await seen.doubts(MECHELEN) == []

        groups = await (await client.get("/api/v1/groups", headers=who)).json()
        shown = {one["group"]: (one["digits"], one["digits_before"]) for one in groups}
        assert shown["oostende"] == (now, was) and shown["mechelen"][1] is None
        group = await (await client.get("/api/v1/group", headers=who)).json()
        assert group["keys_waiting"] == ["oostende"]

        body = {"group": "oostende", "digits": was, "reason": "Ann read them out"}
        answer = await client.post(KEYS, headers=who, json=body)
        assert (answer.status, seen.house(MECHELEN).keys_waiting) == (409, [OOSTENDE])
        for bad in ("", "1234", now.replace(" ", "-"), f"{now} ", "\u0661" * 12):
            wrong = await client.post(KEYS, headers=who, json=body | {"digits": bad})
            assert wrong.status == 400
        body["digits"] = now
        answer = await client.post(KEYS, headers=who, json=body)
        assert (answer.status, await answer.json()) == (200, {"keys_waiting": []})
        assert await seen.code_of_next("cheese") is None
        answer = await client.post(KEYS, headers=who, json=body)
        assert answer.status == 404
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await seen.federated.nodes[MECHELEN].change("DELETE FROM accepted_keys")


async def test_what_was_accepted_outlives_a_start_of_the_node(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        entry = await slip_in(seen, nobody)
        node = seen.federated.nodes[MECHELEN]

        async def loaded() -> NodeHouse:
            async with node.database.readers.acquire() as connection:
                house: Any = node.make_house()
                await house.load(connection, "life")
                assert isinstance(house, NodeHouse)
                return house

        assert (await loaded()).keys_waiting == [OOSTENDE]
        digits = check_digits(FEDERATION, entry).replace(" ", "")
        wish = AcceptKeys(group=OOSTENDE, digits=digits, author="Bea", reason="called")
        assert await node.clerk.take(wish) is KeysOutcome.ACCEPTED
        again = await loaded()
        assert again.keys_waiting == [] == seen.house(MECHELEN).keys_waiting
        assert again.keyring.is_known(signing_key(SLIPPED_IN).public)


@pytest.mark.parametrize("state", [old_key, recovery])
async def test_keys_that_the_group_vouched_for_are_taken_without_a_word(
    new_database: NewDatabase, state: State
) -> None:
    async with watched(new_database) as seen:
        before = seen.house(MECHELEN).directory[OOSTENDE].entry
        entry = await slip_in(seen, state)
        house = seen.house(MECHELEN)
        assert house.directory[OOSTENDE].entry == entry
        assert await seen.alarms(MECHELEN) == [] == house.keys_waiting
        assert house.keyring.is_known(signing_key(SLIPPED_IN).public)
        assert check_digits(FEDERATION, entry) != check_digits(FEDERATION, before)
        # Items of its period stay the old key's.
        assert await seen.code_of_next("eggs") is None


async def test_a_group_finds_keys_that_are_not_its_own(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await slip_in(seen, nobody)
        await seen.wait(10, OOSTENDE)
        [doubt] = await seen.doubts(OOSTENDE)
        assert (doubt["about"], "not ours" in doubt["told"]) == ("hub", True)


def told_of(view: NodeView, decision: DirectoryDecision) -> list[str]:
    line = write_line(decision)
    effects = rules.decide_directory(view, decision, line, NOW)
    carry_out(view, effects)
    return [call.about for call in of_kind(effects, CallPeople)]


def slipped_in_at(view: NodeView, statement: str | None = None) -> list[str]:
    entry = slipped(view.directory[OOSTENDE].entry)
    decision = keys_decision(entry, (OOSTENDE, SLIPPED_IN), [9], statement)
    return told_of(view, decision)


def code_of_offer(view: NodeView, **under: Any) -> RefusalCode | None:
    effects = rules.decide_offer(view, offered(view, under=under), NOW)
    [(_, answer)] = sent(effects)
    if isinstance(answer, TransferRefuse):
        return answer.code
    assert isinstance(answer, TransferAccept)
    return None


def accept(view: NodeView) -> Sequence[Effect]:
    entry = view.directory[OOSTENDE].entry
    digits = check_digits(FEDERATION, entry).replace(" ", "")
    wish = AcceptKeys(group=OOSTENDE, digits=digits, author="Bea", reason="called")
    return carry_out(view, rules.decide_trust(view, wish)).wanted


def test_no_key_of_a_group_that_waits_opens_a_transfer() -> None:
    view = mechelen()
    assert slipped_in_at(view) == ["keys"]
    for first, signer in ((1, OOSTENDE), (9, OOSTENDE), (9, SLIPPED_IN)):
        code = code_of_offer(view, first=first, key_of=signer)
        assert code is RefusalCode.KEYS_NOT_ACCEPTED


def test_people_are_called_once_and_not_for_what_was_accepted() -> None:
    view = mechelen()
    assert slipped_in_at(view) == ["keys"]
    entry = view.directory[OOSTENDE].entry
    frozen = keys_decision(entry, (OOSTENDE, SLIPPED_IN), [9], state="frozen")
    assert told_of(view, frozen) == []
    assert view.awaits_comparing(OOSTENDE)
    [kept] = accept(view)
    assert isinstance(kept, KeepKeys)
    assert not view.awaits_comparing(OOSTENDE)
    assert told_of(view, frozen) == []
    assert accept(view) == ()


def test_once_accepted_each_key_counts_for_the_items_of_its_period() -> None:
    for first, signer, code in (
        # The prepare is the second item of its envelope.
        (8, OOSTENDE, None),
        (9, OOSTENDE, RefusalCode.NOT_SIGNED_BY_PAYER_GROUP),
        (8, SLIPPED_IN, RefusalCode.NOT_SIGNED_BY_PAYER_GROUP),
        (9, SLIPPED_IN, None),
    ):
        view = mechelen()
        slipped_in_at(view)
        accept(view)
        assert code_of_offer(view, first=first, key_of=signer) is code


def test_a_decision_of_the_ordinary_kind_brings_no_keys() -> None:
    view = mechelen()
    entry = slipped(view.directory[OOSTENDE].entry)
    decision = directory_decision(entry, keys_of=SLIPPED_IN)
    assert told_of(view, decision) == ["directory"]
    assert view.directory == directory_of()


def test_a_group_that_waits_is_healed_by_its_own_recovery_key() -> None:
    view = mechelen()
    slipped_in_at(view)
    back = next_keys(OOSTENDE, "oostende anew", 3)
    signers = (OOSTENDE, SLIPPED_IN, "oostende anew")
    assert told_of(view, keys_decision(back, signers, [9, 12], recovery(back))) == []
    assert not view.awaits_comparing(OOSTENDE)
