"""Which private keys a node's house has, and which of them seals."""

from pathlib import Path

import asyncpg

from nodes import app, member_store
from nodes.house import NodeHouse
from nodes.member_store import Membership
from nodes.rules import ProposalState, Renewal
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.key_files import (
    KeyPair,
    ServerKeys,
    add_keys,
    ensure_keys,
    find_keys,
    load_keys,
    new_seeds,
    pair_of,
)
from protocol.peer.migration_store import migrate
from protocol.peer.settings import DatabaseSettings
from tests.peer.federation import NewDatabase, identity
from tests.peer.makers import NOW, entry_of, recovery, signed
from tests.protocol.makers import FEDERATION, OOSTENDE, sealing_key, signing_key
from tests.protocol.test_key_change import ANEW, renewed

MEMBERSHIP = Membership(
    FEDERATION,
    OOSTENDE,
    "http://hub.example",
    identity().statement,
    signed(entry_of(OOSTENDE)),
)


def keys_of(label: str) -> ServerKeys:
    return ServerKeys(signing_key(label), sealing_key(label))


def waiting(state: ProposalState, *, is_recovery: bool) -> Renewal:
    entry = renewed()
    return Renewal(
        number=1,
        entry=entry,
        signed=signed(entry, ANEW),
        statement=recovery(entry),
        at=NOW,
        is_recovery=is_recovery,
        state=state,
    )


async def test_a_standby_finds_key_files_that_came_later(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url, folder = await new_database(), tmp_path / "keys"
    house = NodeHouse(ensure_keys(folder), MEMBERSHIP, lambda: load_keys(folder))
    connection = await asyncpg.connect(url)
    try:
        packages = [PEER_MIGRATIONS, app.MIGRATIONS]
        await migrate(connection, packages, Clock().now())
        await member_store.write_membership(connection, MEMBERSHIP)
    finally:
        await connection.close()
    pair = add_keys(folder)
    assert pair.signing.kid not in house.private_keys.all_signing()
    database = await Database.open(DatabaseSettings(url=url))
    try:
        async with database.readers.acquire() as reader:
            await house.load(reader, "its life")
    finally:
        await database.close()
    assert pair.signing.kid in house.private_keys.all_signing()
    assert pair.sealing.kid in house.opens


def test_what_waits_for_a_recovery_is_sealed_by_the_key_that_it_brings() -> None:
    house = NodeHouse(keys_of("never heard of"), MEMBERSHIP)
    house.hold(KeyPair(signing_key(ANEW), sealing_key(ANEW)))
    house.renewal = waiting(ProposalState.WAITING, is_recovery=True)
    assert house.sealing_key.kid == sealing_key(ANEW).kid


def test_no_other_new_keys_seal_before_they_count() -> None:
    house = NodeHouse(keys_of(OOSTENDE), MEMBERSHIP)
    house.hold(KeyPair(signing_key(ANEW), sealing_key(ANEW)))
    for renewal in (
        waiting(ProposalState.WAITING, is_recovery=False),
        waiting(ProposalState.REFUSED, is_recovery=True),
    ):
        house.renewal = renewal
        assert house.sealing_key.kid == sealing_key(OOSTENDE).kid


def test_who_lost_all_keys_gets_none_but_those_that_will_count(tmp_path: Path) -> None:
    seeds = new_seeds()
    pair = pair_of(seeds)
    assert find_keys(tmp_path, pair) == ServerKeys(pair.signing, pair.sealing)
    assert list(tmp_path.iterdir()) == []
    assert add_keys(tmp_path, seeds).signing.kid == pair.signing.kid
    assert list(load_keys(tmp_path).all_signing()) == [pair.signing.kid]


def test_whoever_has_lost_none_finds_them(tmp_path: Path) -> None:
    kept = ensure_keys(tmp_path)
    found = find_keys(tmp_path, pair_of(new_seeds()))
    assert list(found.all_sealing()) == [kept.sealing.kid]
    (tmp_path / "signing.key").unlink()
    pair = pair_of(new_seeds())
    assert list(find_keys(tmp_path, pair).all_signing()) == [pair.signing.kid]
