"""Which private keys a node's house has, and which of them seals."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from clearing.rules import Limit
from clearing.rules import RecoverKeys as AskedRecovery
from nodes import app, member_store
from nodes.house import NodeHouse
from nodes.key_changes import is_believed
from nodes.member_store import Membership
from nodes.rules import ProposalState, RecoverKeys, Renewal
from protocol.address import HUB
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.clock import Clock
from protocol.peer.database import AnyConnection, Database
from protocol.peer.key_files import (
    KeyFileError,
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
from tests.peer.federation import NewDatabase, federation, identity
from tests.peer.makers import NOW, entry_of, recovery, signed
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    sealing_key,
    seed,
    signing_key,
)
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


@asynccontextmanager
async def joined(new_database: NewDatabase) -> AsyncIterator[AnyConnection]:
    """A database of Oostende's that has heard nothing of the hub yet."""
    url = await new_database()
    connection = await asyncpg.connect(url)
    try:
        packages = [PEER_MIGRATIONS, app.MIGRATIONS]
        await migrate(connection, packages, Clock().now())
        await member_store.write_membership(connection, MEMBERSHIP)
    finally:
        await connection.close()
    database = await Database.open(DatabaseSettings(url=url))
    try:
        async with database.readers.acquire() as reader:
            yield reader
    finally:
        await database.close()


async def test_a_standby_finds_key_files_that_came_later(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    house = NodeHouse(ensure_keys(folder), MEMBERSHIP, lambda: load_keys(folder))
    pair = add_keys(folder)
    assert pair.signing.kid not in house.private_keys.all_signing()
    async with joined(new_database) as reader:
        await house.load(reader, "its life")
    assert pair.signing.kid in house.private_keys.all_signing()
    assert pair.sealing.kid in house.opens


#: As another program may leave a file: empty, or for others to read.
SPOIL = pytest.mark.parametrize(
    "spoil", [lambda file: file.write_text(""), lambda file: file.chmod(0o644)]
)


def later_files(folder: Path) -> set[Path]:
    return set(folder.glob("s*-*.key"))


def own_files(folder: Path) -> tuple[Path, Path]:
    """Add the keys that count for Oostende; gives the files of both."""
    before = later_files(folder)
    seeds = (seed(f"{use} key of {OOSTENDE}") for use in ("signing", "sealing"))
    add_keys(folder, (next(seeds), next(seeds)))
    sealing, signing = sorted(later_files(folder) - before)
    return signing, sealing


@SPOIL
async def test_a_file_of_a_former_key_that_is_unreadable_stops_nobody(
    new_database: NewDatabase, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    ensure_keys(tmp_path)
    add_keys(tmp_path)
    for former in later_files(tmp_path):
        spoil(former)
    own_files(tmp_path)
    house = NodeHouse(load_keys(tmp_path), MEMBERSHIP, lambda: load_keys(tmp_path))
    async with joined(new_database) as reader:
        await house.load(reader, "its life")
    assert house.has_own_key
    assert house.sealing_key.kid == sealing_key(OOSTENDE).kid
    assert len(house.private_keys.unread) == 2


@SPOIL
@pytest.mark.parametrize("which", [0, 1])
async def test_the_file_of_a_key_that_counts_is_named_when_it_is_unreadable(
    new_database: NewDatabase,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    which: int,
) -> None:
    ensure_keys(tmp_path)
    file = own_files(tmp_path)[which]
    spoil(file)
    house = NodeHouse(load_keys(tmp_path), MEMBERSHIP, lambda: load_keys(tmp_path))
    async with joined(new_database) as reader:
        with pytest.raises(KeyFileError, match=f"{file.name}.*keys recover"):
            await house.load(reader, "its life")
        # Who types the sheet puts new keys in the place of the one that is spoilt.
        seeds = new_seeds()
        pair = pair_of(seeds)
        anew = NodeHouse(
            find_keys(tmp_path, pair), MEMBERSHIP, lambda: find_keys(tmp_path, pair)
        )
        await anew.load(reader, "its life")


def test_behind_a_recovery_only_the_keys_that_it_brings_are_needed(
    tmp_path: Path,
) -> None:
    ensure_keys(tmp_path)
    own_files(tmp_path)[0].write_text("")
    house = NodeHouse(load_keys(tmp_path), MEMBERSHIP)
    house.renewal = waiting(ProposalState.WAITING, is_recovery=True)
    house._check_files()
    house.renewal = waiting(ProposalState.WAITING, is_recovery=False)
    with pytest.raises(KeyFileError):
        house._check_files()


def test_what_the_hub_tells_is_believed_before_its_first_decision_too() -> None:
    house = NodeHouse(keys_of("never heard of"), MEMBERSHIP)
    assert is_believed(house, MEMBERSHIP.entry, [])
    other = entry_of(OOSTENDE, 60_000, keys_of="slipped in")
    assert not is_believed(house, signed(other, "slipped in"), [])


async def test_mirrors_do_not_pile_up_while_nothing_may_be_sealed(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node, hub = federated.nodes[OOSTENDE], federated.hub
        house: Any = node.house
        entry = renewed()
        wish = RecoverKeys(
            base=entry_of(OOSTENDE),
            entry=entry,
            signed=signed(entry, ANEW),
            statement=recovery(entry),
            reason="the disk broke",
        )
        assert isinstance(await node.clerk.take(wish), Renewal)
        sent = node.clerk.links[HUB].sent
        for ceiling in range(1, 5):
            await hub.clerk.take(Limit(MECHELEN, -(10**12), 10**12 + ceiling))
            await federated.quiet()
        waiting = "SELECT number FROM item WHERE direction = 'out' AND number > $1"
        assert await node.ask(waiting, sent) == []
        # As the node does by itself, past the link.
        await hub.clerk.take(
            AskedRecovery(
                entry=entry, signed=wish.signed, statement=wish.statement, sent=sent
            )
        )
        house.hold(KeyPair(signing_key(ANEW), sealing_key(ANEW)))
        await federated.quiet()
        assert house.renewal.state is ProposalState.APPROVED
        link = node.clerk.links[HUB]
        assert link.sent == link.acknowledged == sent + 1, "one mirror, the newest"


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
