"""A node's part in its audit: whose keys count, under which rates, what else holds."""

from nodes import audit_keys, audit_proofs, audit_store, audit_trust, trust_store
from nodes.member_store import Membership
from protocol.address import HUB, FederationId, Group
from protocol.directory import (
    entry_key,
    keyring,
    read_entry,
    read_hub_statement,
    trusted,
)
from protocol.keyring import KeyPeriod
from protocol.peer.audit import MakePlan, Plan, read_directory
from protocol.peer.audit_streams import Parties
from protocol.peer.database import AnyConnection


def plan_of(joined: Membership) -> MakePlan:
    """Give the plan of the node that has joined so."""
    federation, own = FederationId(joined.federation), Group(joined.group)
    statement = read_hub_statement(joined.statement, federation)
    hub = entry_key(statement.keys, "signing")
    entry = read_entry(joined.entry, federation)

    async def make_plan(connection: AnyConnection) -> Plan:
        directory, findings = await read_directory(connection, federation)
        known = trusted(directory, (await trust_store.read(connection)).accepted)
        others = [KeyPeriod(HUB, hub)]
        record = directory.get(own)
        if record is None:
            # Between joining and the hub's first items only we know our own entry.
            others.append(KeyPeriod(own, entry_key(entry.keys, "signing")))
        rates = entry.rates if record is None else record.entry.rates
        return Plan(
            parties=Parties(federation, own, keyring(known, others)),
            checks=audit_store.checks(rates, own),
            walks=[
                audit_trust.walk_of(federation, hub),
                audit_keys.walk_of(federation),
                audit_proofs.walk_of(federation, statement),
            ],
            worths=await audit_store.read_worths(connection, rates),
            findings=findings,
        )

    return make_plan
