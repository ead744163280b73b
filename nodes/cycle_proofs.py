"""Gets the hub's file that proves how a cycle was closed, and looks whether it does.

So nobody in the group must trust the regional admin, or ask her for it. The hub may be
slow, away or lie: what it sends is bounded, verified as ``interlets-verify`` does it,
and compared with what the hub has told this node before.
"""

import asyncio

import msgspec

from nodes import cycle_store
from nodes.house import NodeHouse
from nodes.hub_reader import HubReader
from nodes.rules import OwnCycle, stated_in
from protocol.address import HUB, Group
from protocol.cycle_file import CYCLE_LENGTH_MAX, ProvenCycle, verify_cycle_file
from protocol.cycle_request import CycleRequest, write_cycle_request
from protocol.errors import NotSignedError, OutageError, PeerError
from protocol.instant import write_instant
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem

#: A hub of many groups verifies each signature before it answers.
_ANSWER_S = 40.0
#: One group's line: an entry, a statement, an answer and a cover, each at its longest.
_LINE_LENGTH_MAX = 48 * 1024
#: What a file has beside its lines.
_REST_LENGTH_MAX = 256 * 1024
#: Whoever comes while so many wait is told to come back.
_WAITING_MAX = 4


class CycleProof(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle file from the hub, and what it proves.

    Attributes:
        raw: the file as it came; empty when none did.
        proven: what it proves; ``None``: nothing.
        why: what speaks against it, or why there is none.
        is_away: the hub could not answer now.
    """

    raw: bytes = b""
    proven: ProvenCycle | None = None
    why: str = ""
    is_away: bool = False


class CycleProofs:
    """Gets cycle files, one at a time.

    Args:
        house: signs, and knows who we are.
        clerk: knows the hub's time.
        database: read only here.
        hub_url: where the hub is.
        answer_s: how long to wait for it.
    """

    def __init__(
        self,
        house: NodeHouse,
        clerk: Clerk,
        database: Database,
        hub_url: str,
        answer_s: float = _ANSWER_S,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._hub_url = hub_url
        self._answer_s = answer_s
        # A file may be long: never two of them in memory.
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def fetch(self, cycle: int) -> CycleProof:
        """Get the file of a cycle, and verify it.

        Raises:
            OutageError: this server is not open.
            Problem: 429, others wait for theirs already.
        """
        self._clerk.check_ready()
        if self._waiting >= _WAITING_MAX:
            told = "Others wait for such a file already; please try again in a moment."
            raise Problem(429, "proofs-run", told, headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            async with self._turn:
                return await self._fetch(cycle)
        finally:
            self._waiting -= 1

    async def _fetch(self, cycle: int) -> CycleProof:
        house = self._house
        groups = len(house.directory) + 1
        longest = min(CYCLE_LENGTH_MAX, _REST_LENGTH_MAX + groups * _LINE_LENGTH_MAX)
        request = self._request(cycle)
        try:
            async with HubReader(self._hub_url, self._answer_s) as hub:
                raw = await hub.ask("cycle-file", request, longest)
        except OutageError as error:
            return CycleProof(why=str(error), is_away=True)
        except PeerError as error:
            return CycleProof(why=str(error))
        async with self._database.readers.acquire() as connection:
            known = await cycle_store.read_cycles_named(connection, [cycle])
        try:
            # In a thread: each group's signature is verified, and members are served.
            proven = await asyncio.to_thread(verify_cycle_file, raw, house.federation)
            _check_own(proven, cycle, known.get(cycle), house.own)
        except PeerError as error:
            return CycleProof(why=str(error))
        return CycleProof(raw=raw, proven=proven)

    def _request(self, cycle: int) -> str:
        house = self._house
        request = CycleRequest(
            v=1,
            federation=house.federation,
            group=house.own,
            cycle=cycle,
            at=write_instant(self._clerk.peer_now(HUB)),
        )
        return write_cycle_request(request, house.own_key)


def _check_own(
    proven: ProvenCycle, cycle: int, own: OwnCycle | None, group: Group
) -> None:
    """Compare what a file proves with what the hub has told us on the link.

    Raises:
        NotSignedError: the hub says one thing here, and another there.
    """
    decision = proven.decision
    if decision.cycle != cycle:
        raise NotSignedError(f"cycle: {decision.cycle}, and {cycle} was asked for")
    if own is None:
        return
    found = (decision.log, decision.number)
    if found != (own.name.log, own.name.number):
        ours = f"{own.name.log}/{own.name.number}"
        raise NotSignedError(f"decision: {found[0]}/{found[1]}, not {ours} as told us")
    line = proven.lines.get(group)
    if own.line is not None and (line is None or line.statement != stated_in(own)):
        raise NotSignedError("statement: of us, another than we were told")
