"""The hub's own tables: decisions, mirrors, invitations, who it is."""

from collections.abc import Sequence

import asyncpg
import msgspec

from clearing.rules import (
    AppendDecision,
    Invitation,
    KeepInvitation,
    MirrorState,
    Moved,
    NoteMirror,
    SpendInvitation,
    TileHash,
)
from protocol.address import Group
from protocol.checkpoint import SignedCheckpoint
from protocol.effects import Effect
from protocol.errors import LedgerBrokenError
from protocol.instant import (
    Instant,
    from_datetime,
    from_nullable,
    to_datetime,
    to_nullable,
)
from protocol.ledger import TIME_UNIT, Account, AccountKind
from protocol.merkle import leaf_hash
from protocol.messages import Checkpoint
from protocol.peer.database import AnyConnection, queries
from protocol.tiles import WIDTH, Tile

_SQL = queries(__file__)


class Identity(msgspec.Struct, frozen=True):
    """Who this hub is: the federation's id, and its keys under the root key."""

    federation: str
    statement: str


class Position(msgspec.Struct, frozen=True):
    """A group's position and its node's mirror of it.

    Attributes:
        account: the group's account on the hub's ledger, milliseconds.
        mirrored_at: log and number that the node's newest mirror names.
        mirrored: the clearing balance that it states.
        at_mirror: the group's position at that decision.
    """

    account: Account
    mirrored_at: tuple[str, int] | None
    mirrored: int | None
    at_mirror: int | None


async def read_identity(connection: AnyConnection) -> Identity | None:
    """Say who this hub is, once ``init`` has been run."""
    try:
        row = await connection.fetchrow(_SQL["read_identity"])
    except asyncpg.UndefinedTableError:
        # A new database, before init.
        return None
    return None if row is None else Identity(*row)


async def write_identity(connection: AnyConnection, identity: Identity) -> None:
    """Remember who this hub is."""
    await connection.execute(
        _SQL["insert_identity"], identity.federation, identity.statement
    )


async def end_invitations(
    connection: AnyConnection, group: Group, now: Instant
) -> None:
    """Let a group's invitations that nobody has used count no more."""
    await connection.execute(_SQL["end_invitations"], group, to_datetime(now))


async def write_invitation(connection: AnyConnection, invitation: Invitation) -> None:
    """Keep an invitation."""
    await connection.execute(
        _SQL["insert_invitation"],
        invitation.code_hash,
        invitation.group,
        invitation.floor,
        invitation.ceiling,
        to_datetime(invitation.until),
    )


async def read_invitations(
    connection: AnyConnection, code_hashes: Sequence[str]
) -> dict[str, Invitation]:
    """Give invitations by the hash of their code."""
    rows = await connection.fetch(_SQL["read_invitations"], list(code_hashes))
    return {
        row["code_hash"]: Invitation(
            code_hash=row["code_hash"],
            group=row["group_name"],
            floor=row["floor"],
            ceiling=row["ceiling"],
            until=from_datetime(row["until"]),
            request_hash=row["request_hash"],
        )
        for row in rows
    }


async def read_positions(connection: AnyConnection) -> list[Position]:
    """Give every group's position beside its node's mirror."""
    positions = []
    for row in await connection.fetch(_SQL["read_positions"]):
        fields = dict(row)
        log, number = fields.pop("log"), fields.pop("number")
        mirrored = fields.pop("mirrored")
        account = Account(kind=AccountKind.GROUP, unit=TIME_UNIT, **fields)
        at_mirror = None
        if log is not None:
            at_mirror = await read_position_at(
                connection, account.account_id, log, number
            )
        where = None if log is None else (log, number)
        positions.append(Position(account, where, mirrored, at_mirror))
    return positions


async def read_position_at(
    connection: AnyConnection, group: str, log: str, number: int
) -> int | None:
    """Give a group's position just after a decision; ``None``: no such decision."""
    found: int | None = await connection.fetchval(
        _SQL["read_position_at"], group, log, number
    )
    return found


async def read_mirror_states(connection: AnyConnection) -> dict[str, MirrorState]:
    """Say how groups' mirrors compared with their positions."""
    states = {}
    for group, log, number, differs, called_at in await connection.fetch(
        _SQL["read_mirrors"]
    ):
        states[group] = MirrorState(
            agreed=None if log is None else (log, number),
            differs=differs,
            called_at=from_nullable(called_at),
        )
    return states


async def read_mirrored(connection: AnyConnection) -> list[tuple[str, str, int]]:
    """Give the decision that each group's newest mirror names, if the hub made it."""
    rows = await connection.fetch(_SQL["read_mirrored"])
    return [(row["group_name"], row["log"], row["number"]) for row in rows]


async def is_before(
    connection: AnyConnection, one: tuple[str, int], other: tuple[str, int]
) -> bool:
    """Say whether the hub made one decision before another, in whichever log."""
    found: bool = await connection.fetchval(_SQL["is_before"], *one, *other)
    return found


async def read_moves(
    connection: AnyConnection,
    group: str,
    after: tuple[str, int] | None,
    up_to: tuple[str, int],
    most: int,
) -> list[Moved]:
    """Give what moved a group's position between two decisions, oldest first."""
    rows = await connection.fetch(
        _SQL["read_moves"], group, *(after or ("", 0)), *up_to, most
    )
    return [Moved(str(row["transfer_id"]), row["amount"]) for row in rows]


async def read_last_checkpoint(connection: AnyConnection) -> Checkpoint | None:
    """Give the newest checkpoint of the newest log, if there is one."""
    row = await connection.fetchrow(_SQL["read_last_checkpoint"])
    return None if row is None else Checkpoint(*row)


async def read_note(connection: AnyConnection, log: str, size: int) -> str | None:
    """Give a signed checkpoint of a log: of so many leaves, or else the newest.

    Args:
        connection: any.
        log: which.
        size: of the tree; 0: the newest.
    """
    found: str | None = await connection.fetchval(_SQL["read_note"], log, size)
    return found


async def read_signed(
    connection: AnyConnection, log: str, sizes: Sequence[int]
) -> set[Checkpoint]:
    """Give what was signed of a log at some sizes."""
    rows = await connection.fetch(_SQL["read_signed"], log, list(sizes))
    return {Checkpoint(log, row["size"], row["root"]) for row in rows}


async def read_tile(connection: AnyConnection, log: str, tile: Tile) -> list[bytes]:
    """Give a tile's hashes, as many of them as are there."""
    first, last = tile.index * WIDTH, tile.index * WIDTH + tile.width - 1
    if tile.level == 0:
        rows = await connection.fetch(_SQL["read_leaves"], log, first, last)
        return [leaf_hash(row["line"]) for row in rows]
    rows = await connection.fetch(
        _SQL["read_tile_hashes"], log, tile.level, first, last
    )
    return [row["hash"] for row in rows]


async def read_leaves(
    connection: AnyConnection, log: str, first: int, last: int
) -> list[bytes]:
    """Give decisions of a log by number, oldest first."""
    rows = await connection.fetch(_SQL["read_leaves"], log, first, last)
    return [row["line"] for row in rows]


async def write_tile_hashes(
    connection: AnyConnection, log: str, hashes: Sequence[TileHash]
) -> None:
    """Keep what a batch adds to the tiles above level 0."""
    if hashes:
        await connection.execute(
            _SQL["insert_tile_hashes"],
            log,
            [one.level for one in hashes],
            [one.index for one in hashes],
            [one.hash for one in hashes],
        )


async def write_checkpoint(
    connection: AnyConnection, stated: SignedCheckpoint, note: str
) -> None:
    """Keep the checkpoint that a deciding batch has signed."""
    await connection.execute(
        _SQL["insert_checkpoint"], stated.log, stated.size, stated.root, note
    )


async def write(
    connection: AnyConnection, effects: Sequence[Effect], now: Instant
) -> None:
    """Write a batch's decisions, mirrors, and invitations made or spent.

    Raises:
        LedgerBrokenError: an invitation that is spent has been spent before.
    """
    decisions = [effect for effect in effects if isinstance(effect, AppendDecision)]
    if decisions:
        await connection.execute(
            _SQL["insert_decisions"],
            [decision.log for decision in decisions],
            [decision.number for decision in decisions],
            [decision.line for decision in decisions],
        )
    mirrors = {
        effect.group: effect for effect in effects if isinstance(effect, NoteMirror)
    }
    if mirrors:
        agreed_at = [mirror.state.agreed for mirror in mirrors.values()]
        await connection.execute(
            _SQL["write_mirrors"],
            list(mirrors),
            [mirror.log for mirror in mirrors.values()],
            [mirror.number for mirror in mirrors.values()],
            [mirror.balance for mirror in mirrors.values()],
            [agreed and agreed[0] for agreed in agreed_at],
            [agreed and agreed[1] for agreed in agreed_at],
            [mirror.state.differs for mirror in mirrors.values()],
            [
                to_nullable(called_at)
                for called_at in (mirror.state.called_at for mirror in mirrors.values())
            ],
        )
    for effect in effects:
        if isinstance(effect, KeepInvitation):
            made = effect.invitation
            await end_invitations(connection, Group(made.group), effect.at)
            await write_invitation(connection, made)
        if isinstance(effect, SpendInvitation):
            done = await connection.execute(
                _SQL["spend_invitation"],
                effect.code_hash,
                effect.request_hash,
                to_datetime(effect.at),
            )
            if done != "UPDATE 1":
                raise LedgerBrokenError("invitation: spent a second time")
