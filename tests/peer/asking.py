"""A federation in one process whose servers ask each other for payees' names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clearing.inquiries import Inquiries as HubInquiries
from nodes import payee_store
from nodes.inquiries import Inquiries, TooMany
from protocol import envelope
from protocol.address import HUB, Group
from protocol.inquiry import Inquiry, Payee
from protocol.peer.batch import Arrival, Stale
from tests.peer.federation import Federation, NewDatabase, federation
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE

#: A slow disk must not decide what a test says.
PATIENT_S = 60.0
BOB = Payee(account="bob", name="Bob")


def by_account(account: str) -> Inquiry:
    return Inquiry(account=account, name=None)


def by_name(name: str) -> Inquiry:
    return Inquiry(account=None, name=name)


class Asking:
    """A federation whose servers ask each other, carried until a test says stop.

    Attributes:
        wire: every body that the hub took or gave.

    Args:
        federated: hub and nodes.
        answer_s: how long a node waits for an answer.
    """

    def __init__(self, federated: Federation, answer_s: float) -> None:
        self.federated = federated
        hub = federated.hub
        self.hub = HubInquiries(
            hub.house,  # type: ignore[arg-type]
            hub.clerk,
            hub.clock,
            hub.metrics,
        )
        self.nodes = {
            group: Inquiries(
                node.house,  # type: ignore[arg-type]
                node.clerk,
                node.database,
                node.clock,
                node.metrics,
                answer_s,
            )
            for group, node in federated.nodes.items()
        }
        self.wire: list[bytes] = []

    async def exchange(self, group: Group) -> None:
        """Carry one request and its answer, as the courier does."""
        node, hub = self.federated.nodes[group], self.federated.hub
        await node.clerk.may_speak(HUB)
        request = node.clerk.speak(HUB)
        body = envelope.open_body(request, hub.clerk.house.keyring, FEDERATION, HUB)
        if isinstance(await hub.clerk.take(Arrival(group, body)), Stale):
            return
        self.hub.pass_on(group, body)
        await hub.clerk.may_speak(group)
        answer = hub.clerk.speak(group)
        self.wire += [request, answer]
        body = envelope.open_body(answer, node.clerk.house.keyring, FEDERATION, group)
        if not isinstance(await node.clerk.take(Arrival(HUB, body)), Stale):
            self.nodes[group].hear(body)

    async def carry(self) -> None:
        while True:
            for group in self.nodes:
                await self.exchange(group)
                await asyncio.sleep(0.001)

    async def set_found_by(self, group: Group, account: str, found_by: str) -> None:
        async with self.federated.nodes[group].database.desk.acquire() as connection:
            known: payee_store.FoundBy = found_by  # type: ignore[assignment]
            assert await payee_store.write_found_by(connection, account, known)

    async def ask(self, asked: Inquiry) -> list[Payee] | TooMany | None:
        """Let Oostende ask Mechelen."""
        return await self.nodes[OOSTENDE].ask(MECHELEN, asked)


@asynccontextmanager
async def asking(
    new_database: NewDatabase, answer_s: float = PATIENT_S
) -> AsyncIterator[Asking]:
    async with federation(new_database) as federated:
        made = Asking(federated, answer_s)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(node.run()) for node in made.nodes.values()]
        tasks.append(loop.create_task(made.carry()))
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in done), done
