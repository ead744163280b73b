"""A hub that lies, with its real keys: found within a minute, with proof.

Each test tells one lie. Time is moved, not waited for: a look every five seconds.
"""

import pathlib
from typing import Any

import msgspec
import pytest
from aiohttp import web

from protocol import __main__ as verifier
from protocol import envelope, jws
from protocol.address import HUB, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import SignedCheckpoint, read_checkpoint
from protocol.effects import SendItem
from protocol.envelope import check_proof
from protocol.errors import RefusalCode
from protocol.merkle import Tree, root_from_path
from protocol.messages import (
    Checkpoint,
    DirectoryDecision,
    ItemProof,
    LogDecision,
    TransferAnswer,
    TransferDecision,
    TransferOffer,
    read_item,
    write_line,
)
from tests.nodes.liar import Leaves, Watched, watched
from tests.peer.federation import NewDatabase, admit
from tests.peer.makers import directory_decision, entry_of
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE, signing_key

GENT = Group("gent")


def is_hubs_word(statement: str) -> bool:
    """Whether the hub's signature stands under it: a note, a cover or an item."""
    if statement.startswith(FEDERATION):
        read_checkpoint(statement, FEDERATION, signing_key("hub").public)
        return True
    if not statement.startswith("{"):
        jws.check(jws.split(statement, envelope.TYP), signing_key("hub").public)
        return True
    proof = msgspec.json.decode(statement, type=ItemProof)
    parts = jws.split(proof.envelope, envelope.TYP)
    jws.check(parts, signing_key("hub").public)
    payload = msgspec.json.decode(parts.payload, type=envelope.EnvelopePayload)
    path = [read_base64url(step, "path") for step in proof.path]
    root = root_from_path(proof.line.encode(), proof.index, payload.count, path)
    return root is not None and write_base64url(root) == payload.root


async def see_found(
    seen: Watched, group: Group, told: str, about: str = "hub", within_s: int = 60
) -> Any:
    """See that a group doubts, once, keeps proof, has called people and refuses."""
    for _ in range(within_s // 5):
        if await seen.doubts(group):
            break
        await seen.wait(5, group)
    [doubt] = await seen.doubts(group)
    assert told in doubt["told"]
    assert doubt["about"] == about
    assert doubt["told"] in await seen.alarms(group)
    assert seen.house(group).trust.doubted == {about}
    if group == MECHELEN:
        assert await seen.code_of_next("after it") == RefusalCode.HISTORY_DIFFERS
    await seen.wait(60, group)
    assert len(await seen.doubts(group)) == 1
    return doubt


def without(index: int) -> Leaves:
    return lambda lines: [*lines[:index], *lines[index + 1 :]]


def changed(index: int) -> Leaves:
    """One decision is another; whoever took it, took what it was."""

    def change(lines: list[bytes]) -> list[bytes]:
        return [
            line.replace(b'"at":"2', b'"at":"3') if number == index else line
            for number, line in enumerate(lines)
        ]

    return change


def cut(size: int) -> Leaves:
    return lambda lines: lines[:size]


async def number_of(seen: Watched, transfer_id: str) -> int:
    transfer = await seen.federated.hub.transfer(transfer_id)
    assert transfer is not None and transfer.number is not None
    return transfer.number


async def hide_evidence(request: web.Request) -> web.Response | None:
    return web.Response(status=404) if "evidence" in request.path else None


async def test_two_histories_are_found_by_what_the_hub_proves(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        hidden = await number_of(seen, await seen.refused_alone("a secret"))
        await seen.pay(1, "eggs")
        seen.hub.leaves[MECHELEN] = changed(hidden)
        doubt = await see_found(seen, MECHELEN, "signed two checkpoints", within_s=5)
        notes = [
            msgspec.json.decode(doubt[name])["checkpoint"]
            for name in ("ours", "theirs")
        ]
        assert all(is_hubs_word(note) for note in notes)


async def test_two_histories_are_found_at_the_next_payment(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        hidden = await number_of(seen, await seen.refused_alone("a secret"))
        await seen.pay(2, "eggs")
        # Mechelen has not taken that decision, and is shown another in its place.
        seen.hub.leaves[MECHELEN] = changed(hidden)
        # And no proof of anything, for it would lead to the other log.
        seen.hub.answer[MECHELEN] = hide_evidence
        await seen.look()
        assert seen.house(OOSTENDE).checkpoint != seen.house(MECHELEN).checkpoint
        for group in (OOSTENDE, MECHELEN):
            assert await seen.doubts(group) == []
        await seen.pay(1, "bread")
        doubt = await see_found(seen, MECHELEN, "another history", "oostende")
        # The proof: what the hub signed for us, and what Oostende says it was shown.
        assert is_hubs_word(doubt["ours"])
        offer = read_item(doubt["theirs"].encode())
        assert isinstance(offer, TransferOffer)
        keyring = seen.house(MECHELEN).keyring
        check_proof(offer.proof, keyring, FEDERATION, OOSTENDE)


async def test_a_taken_decision_that_is_left_out_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        ids = await seen.pay(3, "eggs")
        seen.hub.leaves[MECHELEN] = without(await number_of(seen, ids[1]))
        doubt = await see_found(seen, MECHELEN, "is not in the log")
        assert is_hubs_word(doubt["ours"]) and is_hubs_word(doubt["theirs"])
        proof = msgspec.json.decode(doubt["ours"], type=ItemProof)
        decision = read_item(proof.line.encode())
        assert isinstance(decision, TransferDecision) and decision.id == ids[1]


async def test_the_last_decision_left_out_is_found_in_a_minute(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.look()
        ids = await seen.pay(1, "eggs")
        # It may only be late; so it is waited for, but not for ever.
        seen.hub.leaves[MECHELEN] = cut(await number_of(seen, ids[0]))
        await seen.wait(40, MECHELEN)
        assert await seen.doubts(MECHELEN) == []
        doubt = await see_found(seen, MECHELEN, "not in the log", within_s=20)
        assert is_hubs_word(doubt["ours"])


async def test_a_hub_that_names_no_checkpoint_is_found_by_its_decisions(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.look()
        await seen.pay(1, "eggs")
        for _ in range(12):
            seen.clock.ahead_s += 5
            silent = seen.hub.resign(await seen.hub.cover(OOSTENDE), None)
            await seen.look(OOSTENDE, cover=silent)
        [doubt] = await seen.doubts(OOSTENDE)
        assert is_hubs_word(doubt["ours"]) and is_hubs_word(doubt["theirs"])


async def test_an_invented_accept_is_found_and_posts_nothing(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.look()
        forger = signing_key("a forger")

        def forge(sent: SendItem) -> list[SendItem]:
            answer = read_item(sent.line)
            if not isinstance(answer, TransferAnswer):
                return [sent]
            lines = [answer.line.encode()]
            payload = envelope.EnvelopePayload(
                federation=FEDERATION,
                from_=MECHELEN,
                to=HUB,
                life="AAAAAAAAAAA",
                first=1,
                count=1,
                root=envelope.root_of(lines),
                prev=envelope.NOTHING_ROOT,
                at="2026-11-23T02:59:01.123Z",
            )
            line_1, _ = envelope.seal(payload, forger)
            proof = envelope.prove(line_1, lines, [0])[0]
            line = write_line(TransferAnswer.of(proof))
            return [SendItem(sent.peer, line)]

        seen.hub.house.send = forge
        [transfer_id] = await seen.pay(1, "eggs")
        transfer = await seen.federated.nodes[OOSTENDE].transfer(transfer_id)
        assert transfer is not None and transfer.state == "ordered"
        assert await seen.federated.nodes[OOSTENDE].held() == 3
        seen.hub.house.send = None
        doubt = await see_found(seen, OOSTENDE, "invented mechelen's accept")
        assert is_hubs_word(doubt["theirs"])


async def test_a_leaf_that_is_changed_afterwards_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        hidden = await number_of(seen, await seen.refused_alone("a secret"))
        await seen.pay(1, "eggs")
        seen.hub.leaves[MECHELEN] = changed(-1)
        await seen.look()
        seen.hub.leaves[MECHELEN] = changed(hidden)
        await seen.pay(1, "bread")
        doubt = await see_found(seen, MECHELEN, "not a continuation")
        assert is_hubs_word(doubt["ours"]) and is_hubs_word(doubt["theirs"])


async def test_a_log_that_shrinks_is_found(new_database: NewDatabase) -> None:
    async with watched(new_database) as seen:
        await seen.pay(2, "eggs")
        seen.hub.leaves[MECHELEN] = cut(10**9)
        await seen.look()
        shown = seen.house(MECHELEN).checkpoint
        assert shown is not None
        seen.hub.leaves[MECHELEN] = cut(shown.size - 1)
        doubt = await see_found(seen, MECHELEN, "decisions and had")
        assert is_hubs_word(doubt["ours"]) and is_hubs_word(doubt["theirs"])


async def test_a_start_that_forgets_decisions_is_told_and_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(1, "eggs")
        kept: Any = seen.federated.hub.house.checkpoint
        await seen.pay(2, "bread")
        await seen.look()
        # As if it had been brought back from a backup: it knows an older checkpoint.
        await seen.federated.hub.change(
            "ALTER TABLE checkpoint DISABLE TRIGGER checkpoint_is_append_only;"
            f"DELETE FROM checkpoint WHERE size > {kept.size}"
        )
        await seen.restart_hub()
        await seen.look(MECHELEN)
        # It may restate them, so nothing is proved yet; but people know.
        assert await seen.doubts(MECHELEN) == []
        [told] = await seen.alarms(MECHELEN)
        assert f"has {kept.size} decisions and had" in told
        assert await seen.code_of_next("meanwhile") is None
        doubt = await see_found(seen, MECHELEN, "is not in the log")
        assert is_hubs_word(doubt["ours"])


async def test_a_start_that_restates_what_it_forgot_is_believed(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(1, "eggs")
        hub = seen.federated.hub
        kept: Any = hub.house.checkpoint
        await seen.pay(1, "bread")
        log = hub.clerk.life
        seen.hub.leaves[MECHELEN] = cut(10**9)
        await seen.look(MECHELEN)
        # No receipt of Mechelen's leads to the last note that it believes.
        await seen.refused_alone("a secret")
        await seen.look(MECHELEN)
        believed = seen.house(MECHELEN).trust.beliefs[log]
        lost = (await seen.hub.shown(MECHELEN, log))[kept.size :]
        await hub.change(
            "ALTER TABLE checkpoint DISABLE TRIGGER checkpoint_is_append_only;"
            f"DELETE FROM checkpoint WHERE size > {kept.size}"
        )

        def restate(lines: list[bytes]) -> list[bytes]:
            is_new = b'"former":{' in lines[0]
            return [lines[0], *lost, *lines[1:]] if is_new else lines

        seen.hub.leaves[MECHELEN] = restate
        await seen.restart_hub()
        await seen.wait(60, MECHELEN)
        assert await seen.doubts(MECHELEN) == []
        assert len(await seen.alarms(MECHELEN)) == 1
        assert seen.house(MECHELEN).trust.beliefs[log].checkpoint == kept
        # What the hub has gone back behind stays provable: others may find a lie.
        notes = await seen.federated.nodes[MECHELEN].ask(
            "SELECT note FROM proven_checkpoint"
        )
        assert believed.note in {row["note"] for row in notes}


async def test_a_log_that_continues_nothing_is_found(new_database: NewDatabase) -> None:
    async with watched(new_database) as seen:
        await seen.pay(1, "eggs")
        await seen.look()

        def begin_anew(lines: list[bytes]) -> list[bytes]:
            first = read_item(lines[0])
            assert isinstance(first, LogDecision)
            first = msgspec.structs.replace(first, former=None)
            return [write_line(first), *lines[1:]]

        seen.hub.leaves[MECHELEN] = begin_anew
        await seen.restart_hub()
        doubt = await see_found(seen, MECHELEN, "does not continue")
        assert is_hubs_word(doubt["ours"]) and is_hubs_word(doubt["theirs"])


async def test_a_checkpoint_that_was_never_signed_so_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(1, "eggs")
        true = await seen.hub.cover(OOSTENDE)
        named = true.payload.checkpoint
        assert named is not None
        other = Checkpoint(named.log, named.size, write_base64url(bytes(32)))
        await seen.look(OOSTENDE, cover=seen.hub.resign(true, other))
        [doubt] = await seen.doubts(OOSTENDE)
        assert "another root" in doubt["told"]
        assert is_hubs_word(doubt["ours"]) and is_hubs_word(doubt["theirs"])


def forged(line: bytes, group: Group) -> bytes:
    """A directory decision with keys for a group that the group does not have."""
    true = read_item(line)
    assert isinstance(true, DirectoryDecision)
    made = directory_decision(entry_of(group, keys_of="a forger"), keys_of="a forger")
    return write_line(msgspec.structs.replace(made, log=true.log, number=true.number))


async def test_a_directory_forged_for_one_node_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.look()

        def forge(sent: SendItem) -> list[SendItem]:
            if sent.peer != MECHELEN or b'"kind":"directory"' not in sent.line:
                return [sent]
            return [SendItem(sent.peer, forged(sent.line, GENT))]

        seen.hub.house.send = forge
        await admit(seen.federated.hub, GENT)
        await seen.federated.quiet()
        seen.hub.house.send = None
        assert GENT in seen.house(MECHELEN).directory
        doubt = await see_found(seen, MECHELEN, "is not in the log")
        assert is_hubs_word(doubt["ours"]) and is_hubs_word(doubt["theirs"])


async def test_a_directory_decision_that_is_withheld_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.look()
        seen.hub.house.send = lambda sent: (
            []
            if sent.peer == MECHELEN and b'"kind":"directory"' in sent.line
            else [sent]
        )
        await admit(seen.federated.hub, GENT)
        await seen.federated.quiet()
        doubt = await see_found(seen, MECHELEN, "is not the one that we fold")
        assert is_hubs_word(doubt["theirs"])


async def test_a_key_of_ours_that_is_not_ours_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        house = seen.house(OOSTENDE)
        line = house.directory[OOSTENDE].line
        number = (
            await seen.federated.nodes[OOSTENDE].ask(
                "SELECT number FROM item WHERE direction = 'in' AND line = $1", line
            )
        )[0]["number"]
        decision = read_item(line)
        assert isinstance(decision, DirectoryDecision)
        # As if it had been so from the first decision on, in everybody's log.
        await seen.federated.nodes[OOSTENDE].change(
            "ALTER TABLE item DISABLE TRIGGER item_is_append_only;"
            f"UPDATE item SET line = convert_to('{forged(line, OOSTENDE).decode()}',"
            f" 'UTF8') WHERE direction = 'in' AND number = {number}"
        )
        seen.hub.leaves[OOSTENDE] = lambda lines: [
            forged(one, OOSTENDE) if one == line else one for one in lines
        ]
        await seen.look(OOSTENDE)
        [doubt] = await seen.doubts(OOSTENDE)
        assert "a key that is not ours" in doubt["told"]
        assert doubt["ours"] == house.own_entry


async def garbage(_request: web.Request) -> web.Response:
    return web.Response(text="<html>all is well</html>")


async def nothing(_request: web.Request) -> web.Response:
    return web.Response(status=404)


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    try:
        while True:
            await answer.write(b"\x00" * 4096)
    except (ConnectionError, RuntimeError):
        return answer


async def zeros(request: web.Request) -> web.Response | None:
    if "tile" not in request.path:
        return None
    width = int(request.match_info["place"].rpartition("/")[2])
    return web.Response(body=bytes(32 * width))


async def unavailable(_request: web.Request) -> web.Response:
    return web.Response(status=503)


async def too_many(_request: web.Request) -> web.Response:
    return web.Response(status=429)


async def late(_request: web.Request) -> web.Response:
    raise ConnectionResetError("as when the node has waited long enough")


@pytest.mark.parametrize("answer", [garbage, nothing, endless, zeros])
async def test_a_hub_that_does_not_prove_its_log_is_found(
    new_database: NewDatabase, answer: Any
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(2, "eggs")
        seen.hub.answer[MECHELEN] = answer
        await seen.wait(40, MECHELEN)
        assert await seen.doubts(MECHELEN) == []
        doubt = await see_found(seen, MECHELEN, "does not prove", within_s=20)
        assert is_hubs_word(doubt["ours"])


@pytest.mark.parametrize("answer", [unavailable, too_many, late])
async def test_a_hub_that_cannot_show_its_log_is_told_and_its_offers_are_taken(
    new_database: NewDatabase, answer: Any
) -> None:
    async with watched(new_database) as seen:
        await seen.look()
        seen.hub.answer[MECHELEN] = answer
        await seen.pay(1, "eggs")
        await seen.wait(65, MECHELEN)
        # Anyone can keep a hub busy: people look, and payments go on.
        assert await seen.doubts(MECHELEN) == []
        assert len(await seen.alarms(MECHELEN)) == 1
        assert await seen.code_of_next("bread") is None
        del seen.hub.answer[MECHELEN]
        await seen.wait(5, MECHELEN)
        assert await seen.code_of_next("more bread") is None
        assert len(await seen.alarms(MECHELEN)) == 2


async def test_an_unreachable_hub_is_no_liar(new_database: NewDatabase) -> None:
    async with watched(new_database) as seen:
        await seen.pay(1, "eggs")
        seen.hub.answer[MECHELEN] = zeros
        await seen.wait(20, MECHELEN)
        # Nobody hears of the hub for an hour: no time passes for what was missing.
        seen.hub.answer[MECHELEN] = unavailable
        for _ in range(720):
            seen.clock.ahead_s += 5
            await seen.watches[MECHELEN].look()
        seen.hub.answer[MECHELEN] = zeros
        await seen.wait(20, MECHELEN)
        del seen.hub.answer[MECHELEN]
        await seen.wait(60, MECHELEN)
        assert await seen.doubts(MECHELEN) == []


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"root": write_base64url(bytes(32))}, "another history"),
        ({"size": 10**9}, "never shown"),
        # A whole log of its own, beside the one that we follow.
        ({"log": "AAAAAAAAAAA"}, "never shown"),
    ],
)
async def test_a_group_that_was_shown_another_log_is_doubted_and_no_other(
    new_database: NewDatabase, lie: dict[str, Any], told: str
) -> None:
    async with watched(new_database) as seen:
        await seen.look()
        named = seen.house(OOSTENDE).trust.newest
        assert named is not None
        other = msgspec.structs.replace(named.checkpoint, **lie)
        liar = seen.house(OOSTENDE)
        liar.trust = msgspec.structs.replace(
            liar.trust, newest=msgspec.structs.replace(named, checkpoint=other)
        )
        await seen.pay(1, "eggs")
        await see_found(seen, MECHELEN, told, "oostende")
        trust = seen.house(MECHELEN).trust
        assert not trust.may_offer("oostende")
        assert trust.may_offer("brussel")


async def test_a_hub_that_decides_twice_is_found_by_what_it_proves_to_anyone(
    new_database: NewDatabase, tmp_path: pathlib.Path
) -> None:
    async with watched(new_database) as seen:
        await seen.look()
        second: list[bytes] = []

        def decide_again(sent: SendItem) -> list[SendItem]:
            """Oostende hears that it cleared, Mechelen that it was refused."""
            decision = read_item(sent.line)
            if not isinstance(decision, TransferDecision) or sent.peer != MECHELEN:
                return [sent]
            other = msgspec.structs.replace(
                decision,
                number=decision.number + 1,
                outcome="refused",
                code=RefusalCode.CANCELLED,
                answer=None,
            )
            second.append(write_line(other))
            return [SendItem(sent.peer, second[0])]

        def with_second(lines: list[bytes]) -> list[bytes]:
            return [*lines, *second]

        seen.hub.house.send = decide_again
        [transfer_id] = await seen.pay(1, "eggs")
        seen.hub.house.send = None
        states = [
            await seen.federated.nodes[group].transfer(transfer_id)
            for group in (OOSTENDE, MECHELEN)
        ]
        assert [one and one.state.value for one in states] == ["cleared", "refused"]
        # Both decisions are in one log, which both groups are shown.
        seen.hub.leaves = {OOSTENDE: with_second, MECHELEN: with_second}
        await seen.look(OOSTENDE)
        assert await seen.doubts(OOSTENDE) == []
        doubt = await see_found(seen, MECHELEN, "decided twice", within_s=5)
        assert transfer_id in doubt["told"]
        files = tmp_path / "ours.json", tmp_path / "theirs.json"
        for file, statement in zip(
            files, (doubt["ours"], doubt["theirs"]), strict=True
        ):
            file.write_text(statement)
        paths = [str(file) for file in files]
        assert verifier.main([*paths, "--federation", FEDERATION]) == verifier.HUB_LIED


async def test_a_hub_that_shows_no_evidence_is_not_doubted_for_it(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        seen.hub.answer = dict.fromkeys((OOSTENDE, MECHELEN), hide_evidence)
        await seen.pay(3, "eggs")
        await seen.wait(60)
        for group in (OOSTENDE, MECHELEN):
            assert await seen.doubts(group) == []
            assert await seen.alarms(group) == []


async def test_so_many_payments_cost_the_hub_two_questions_a_look(
    new_database: NewDatabase,
) -> None:
    asked = []

    async def count(request: web.Request) -> web.Response | None:
        if "evidence" in request.path:
            asked.append(request.path_qs)
        return None

    async with watched(new_database) as seen:
        seen.hub.answer = {OOSTENDE: count}
        await seen.pay(5, "eggs")
        found = []
        for _ in range(4):
            await seen.look(OOSTENDE)
            found.append(len(asked))
        assert found == [2, 4, 5, 5]
        assert len(set(asked)) == 5
        # Nobody asks for covers in the background: the hub would have to keep them.
        assert all(path.endswith("?witnesses=false") for path in asked)


def refused(line: bytes) -> bytes:
    """A decision as if the hub had refused what it cleared."""
    decision = read_item(line)
    assert isinstance(decision, TransferDecision)
    return write_line(
        msgspec.structs.replace(
            decision, outcome="refused", code=RefusalCode.CANCELLED, answer=None
        )
    )


async def test_a_start_that_rewrites_what_it_claims_to_have_kept_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        [transfer_id] = await seen.pay(1, "eggs")
        index = await number_of(seen, transfer_id)
        hub = seen.federated.hub
        kept: Any = hub.house.checkpoint
        await seen.pay(1, "bread")
        log = hub.clerk.life
        seen.hub.leaves[MECHELEN] = cut(10**9)
        await seen.look(MECHELEN)
        believed = seen.house(MECHELEN).trust.beliefs[log]
        true = await seen.hub.shown(MECHELEN, log)
        rewritten = [*true[:index], refused(true[index]), *true[index + 1 : kept.size]]
        root = write_base64url(Tree(rewritten).root)

        def decided(line: bytes) -> bytes:
            decision = read_item(line)
            if not isinstance(decision, LogDecision):
                return line
            former = Checkpoint(log, kept.size, root)
            return write_line(msgspec.structs.replace(decision, former=former))

        def rewrite(lines: list[bytes]) -> list[bytes]:
            first = read_item(lines[0])
            assert isinstance(first, LogDecision)
            if first.log == log:
                return rewritten
            return [lines[0], *true[kept.size :], *lines[1:]]

        seen.hub.house.decided = decided
        await seen.restart_hub()
        seen.hub.house.decided = None
        seen.hub.leaves[MECHELEN] = rewrite
        doubt = await see_found(seen, MECHELEN, "stands there no more", within_s=5)
        assert doubt["ours"] == believed.note and is_hubs_word(doubt["theirs"])
        assert root in {
            read_checkpoint(doubt["theirs"], FEDERATION, signing_key("hub").public).root
        }
        assert seen.house(MECHELEN).trust.beliefs[log] == believed


@pytest.mark.parametrize("lie", ["groups", "version"])
async def test_a_directory_that_is_counted_otherwise_is_found(
    new_database: NewDatabase, lie: str
) -> None:
    async with watched(new_database) as seen:
        state = seen.hub.state

        async def miscount(group: Group, log: str, size: int = 0) -> SignedCheckpoint:
            stated = await state(group, log, size)
            other = {lie: getattr(stated, lie) + 1}
            return msgspec.structs.replace(stated, **other)

        seen.hub.leaves[MECHELEN] = cut(10**9)
        seen.hub.answer[MECHELEN] = hide_evidence
        await seen.wait(60, MECHELEN)
        assert await seen.doubts(MECHELEN) == []
        seen.hub.state = miscount  # type: ignore[method-assign]
        await seen.pay(1, "eggs")
        await seen.wait(40, MECHELEN)
        assert await seen.doubts(MECHELEN) == []
        doubt = await see_found(seen, MECHELEN, "is not the one that we fold")
        assert is_hubs_word(doubt["theirs"])


async def test_evidence_that_stays_wrong_is_found_and_a_cut_answer_is_no_lie(
    new_database: NewDatabase,
) -> None:
    async def cut_off(request: web.Request) -> web.Response | None:
        return web.Response(body=b"{") if "evidence" in request.path else None

    async with watched(new_database) as seen:
        seen.hub.answer[MECHELEN] = cut_off
        await seen.pay(1, "eggs")
        await seen.wait(40, MECHELEN)
        del seen.hub.answer[MECHELEN]
        await seen.wait(60, MECHELEN)
        assert await seen.doubts(MECHELEN) == []
        seen.hub.answer[MECHELEN] = cut_off
        await seen.pay(1, "bread")
        await see_found(seen, MECHELEN, "does not prove its decision")


async def test_proof_of_ours_that_fails_is_told_and_held_against_nobody(
    new_database: NewDatabase,
) -> None:
    async def busy(request: web.Request) -> web.Response | None:
        return web.Response(status=503) if "evidence" in request.path else None

    async with watched(new_database) as seen:
        seen.hub.answer[MECHELEN] = busy
        await seen.pay(1, "eggs")
        await seen.look(MECHELEN)
        await seen.federated.nodes[MECHELEN].change(
            "ALTER TABLE proof DISABLE TRIGGER proof_is_append_only;"
            "UPDATE proof SET path = decode(repeat('00', length(path)), 'hex')"
        )
        del seen.hub.answer[MECHELEN]
        await seen.wait(20, MECHELEN)
        assert await seen.doubts(MECHELEN) == []
        [told] = await seen.alarms(MECHELEN)
        assert "does not prove it" in told
