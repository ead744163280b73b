"""What the queries of a node's watch and of the hub's published log answer in memory.

Beside ``memory_queries``, which answers what every simulated server asks: these are
asked only where nodes watch the hub's log (``lying_hub``).
"""

from collections.abc import Sequence
from typing import Any

from tests.simulator.memory_database import MemoryDatabase, Row, answers

_TRUST = "nodes.trust_store"
_PROOF = "nodes.proof_store"
_LOG = "clearing.log_store"
_DIRECTORY = "protocol.peer.directory_store"


@answers(_TRUST, "read_after")
def _read_after(database: MemoryDatabase, after: int, most: int) -> list[Row]:
    items = database.table(("item", "hub", "in"))
    numbers = range(after + 1, min(after + most, len(items)) + 1)
    return [{"number": number, "line": items[number]} for number in numbers]


@answers(_TRUST, "read_before")
def _read_before(database: MemoryDatabase, up_to: int, most: int) -> list[Row]:
    items = database.table(("item", "hub", "in"))
    newest = min(up_to, len(items))
    numbers = range(newest, max(0, newest - most), -1)
    return [{"number": number, "line": items[number]} for number in numbers]


@answers(_TRUST, "read_envelope")
def _read_envelope(database: MemoryDatabase, number: int, direction: str) -> list[Row]:
    envelopes = database.table(("envelope", "hub", direction))
    items = database.table(("item", "hub", direction))
    first = max((one for one in envelopes if one <= number), default=None)
    if first is None:
        return []
    row = envelopes[first]
    lines = [items[one] for one in range(first, first + row["count"])]
    return [{"first": first, "line_1": row["line_1"], "lines": lines}]


@answers(_PROOF, "insert_checkpoints")
def _insert_checkpoints(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for log, size, note in zip(*columns, strict=True):
        if (log, size) not in database.table("proven checkpoint"):
            database.put("proven checkpoint", (log, size), note)


@answers(_PROOF, "insert_proofs")
def _insert_proofs(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for id_, *proof in zip(*columns, strict=True):
        if id_ not in database.table("proof"):
            database.put("proof", id_, tuple(proof))


@answers(_PROOF, "read_proof")
def _read_proof(database: MemoryDatabase, id_: str) -> list[Row]:
    found = database.table("proof").get(id_)
    if found is None:
        return []
    item, log, size, path = found
    note = database.table("proven checkpoint")[log, size]
    return [{"item": item, "log": log, "size": size, "path": path, "note": note}]


@answers(_DIRECTORY, "read_version")
def _read_version(database: MemoryDatabase) -> list[Row]:
    return [{"count": len(database.table("directory"))}]


@answers(_LOG, "read_note")
def _read_note(database: MemoryDatabase, log: str, size: int) -> list[Row]:
    signed = database.table("checkpoint")
    newest = max((one for found, one in signed if found == log), default=0)
    found = signed.get((log, size or newest))
    return [] if found is None else [{"note": found[1]}]


@answers(_LOG, "read_signed")
def _read_signed(database: MemoryDatabase, log: str, sizes: Sequence[int]) -> list[Row]:
    signed = database.table("checkpoint")
    return [
        {"size": size, "root": signed[log, size][0]}
        for size in sizes
        if (log, size) in signed
    ]


@answers(_LOG, "read_leaves")
def _read_leaves(
    database: MemoryDatabase, log: str, first: int, last: int
) -> list[Row]:
    return [
        {"line": line}
        for (found, number), (_, line) in database.table("decision").items()
        if found == log and first <= number <= last
    ]


@answers(_LOG, "read_tile_hashes")
def _read_tile_hashes(
    database: MemoryDatabase, log: str, level: int, first: int, last: int
) -> list[Row]:
    tiles = database.table("tile")
    return [
        {"hash": tiles[log, level, index]}
        for index in range(first, last + 1)
        if (log, level, index) in tiles
    ]


@answers("clearing.witness_store", "read_best")
def _read_best(_database: MemoryDatabase, *_values: Any) -> list[Row]:
    """Nobody asks here for witnesses, so none were ever kept."""
    return []
