"""The hub's part in its audit: whose keys count, and what else holds."""

from clearing import (
    audit_cycles,
    audit_leaving,
    audit_limits,
    audit_log,
    audit_shares,
    audit_store,
    audit_transfers,
    audit_witnesses,
)
from clearing.audit_log import LogWalk
from clearing.log_store import Identity
from protocol.address import HUB, FederationId
from protocol.directory import (
    entry_key,
    hub_publics,
    keyring,
    read_hub_statement,
)
from protocol.keyring import KeyPeriod
from protocol.peer import directory_store
from protocol.peer.audit import MakePlan, Plan, read_directory
from protocol.peer.audit_store import Walk
from protocol.peer.audit_streams import Parties
from protocol.peer.database import AnyConnection


def plan_of(identity: Identity) -> MakePlan:
    """Give the plan of the hub that is so."""
    federation = FederationId(identity.federation)
    statement = read_hub_statement(identity.statement, federation)
    own = KeyPeriod(HUB, entry_key(statement.keys, "signing"))
    publics = hub_publics(statement)

    async def make_plan(connection: AnyConnection) -> Plan:
        directory, findings = await read_directory(connection, federation)
        changes = await directory_store.read_lines(connection)
        decisions = Walk(
            audit_store.DECISIONS_NAME,
            audit_store.DECISIONS_TOLD,
            audit_store.walk_decisions,
        )
        transfers = Walk(
            audit_transfers.NAME, audit_transfers.TOLD, audit_transfers.walk
        )
        log = LogWalk(federation, own.public)
        keys = keyring(directory, [own])
        return Plan(
            parties=Parties(federation, HUB, keys),
            checks=[
                *audit_store.checks(directory),
                *audit_cycles.CHECKS,
                audit_leaving.check_of(changes),
                *audit_shares.CHECKS,
            ],
            walks=[
                decisions,
                transfers,
                Walk(audit_log.NAME, audit_log.TOLD, log.walk),
                audit_cycles.walk_of(federation),
                audit_witnesses.walk_of(federation, keys),
                *audit_limits.walks_of(federation, publics),
            ],
            findings=findings,
        )

    return make_plan
