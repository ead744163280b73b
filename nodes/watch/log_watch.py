"""Watches the hub's decision log, so that nobody here has to trust the hub.

Every few seconds it looks whether the checkpoint in the hub's newest cover continues
what this node believed (``log_chain``), and whether what was said on the link is in
that log (``log_comparison``). The first thing that is not so is kept as proof and
people are called (protocol, section 9).

It never holds up the clerk: what proves decisions it writes itself, and what it finds
goes through the clerk. What the hub proves of single decisions is compared with what
it told us of them (``second_decisions``). An
unreachable hub is no liar: what is missing is waited for (``nodes.watch.patience``).
"""

import asyncio
import logging

from nodes.evidence import NodeEvidence
from nodes.house import NodeHouse
from nodes.hub_reader import HubReader
from nodes.rules import Distrust, TellPeople
from nodes.watch.log_chain import HistoryDiffersError, LogChain
from nodes.watch.log_comparison import Comparison
from nodes.watch.log_reader import LogReader
from nodes.watch.patience import Patience
from nodes.watch.second_decisions import OwnProofError, SecondDecisions
from protocol.address import HUB
from protocol.directory import Directory
from protocol.envelope import VerifiedCover
from protocol.errors import OutageError, PeerError
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database

_LOG = logging.getLogger(__name__)
#: One look ends by then; the next goes on where it has come to.
_LOOK_S = 15.0
#: Asking for evidence ends by then.
_ASK_S = 5.0
_WITHHELD = "the hub's log"
_WRONG = "what proves the hub's log"


class LogWatch:
    """Follows the hub's log.

    Args:
        house: what this node knows and believes.
        clerk: makes durable what was found.
        database: read, but for what proves decisions.
        clock: to know how long something has been missing.
        hub_url: where the hub publishes its log.
        evidence: what this node can prove itself.
    """

    def __init__(
        self,
        house: NodeHouse,
        clerk: Clerk,
        database: Database,
        clock: Clock,
        hub_url: str,
        evidence: NodeEvidence,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._clock = clock
        self._hub_url = hub_url
        self._patience = Patience()
        self._chain = LogChain(house, clerk, database, self._patience)
        self._second = SecondDecisions(
            evidence, database, house.federation, self._patience
        )
        self._comparison = Comparison(
            house, database, self._patience, self._chain, self._second
        )
        self._era = house.trust.era
        self._cover: VerifiedCover | None = None
        self._heard_s = float("-inf")
        self._is_told = False

    def note_cover(self, cover: VerifiedCover) -> None:
        """Learn which checkpoint the hub's newest cover names."""
        if self._cover is None or self._cover.payload.at < cover.payload.at:
            self._cover = cover
            self._heard_s = self._clock.monotonic_s()

    # One look, and what may come of it.

    async def look(self) -> None:
        """Look once; what differs is made durable and told to people."""
        trust = self._house.trust
        if trust.era != self._era or self._comparison.read < trust.compared:
            self._era = trust.era
            self._chain.forget()
            self._comparison.forget()
        self._patience.begin_look(self._heard_s)
        if HUB in trust.doubted or self._cover is None:
            return
        self._chain.has_moved = False
        try:
            await self._visit(self._cover, self._house.directory)
        except HistoryDiffersError as error:
            await self._doubt(error)
        except (OutageError, TimeoutError) as error:
            _LOG.info("the hub's log: %s: %s", type(error).__name__, error)
            await self._note_outage()
        except PeerError as error:
            # A cut answer is no lie; one that stays wrong is.
            _LOG.warning("the hub's log: %s", error)
            await self._note_wrong(self._cover, error)
        except Exception:  # noqa: BLE001  whatever it is, the ledger goes on
            _LOG.exception("the hub's log")
            await self._note_outage()
        else:
            self._patience.end(_WRONG)
            await self._note_shown()
            await self._ask_again()

    async def _visit(self, cover: VerifiedCover, directory: Directory) -> None:
        async with asyncio.timeout(_LOOK_S), HubReader(self._hub_url) as hub:
            house = self._house
            reader = LogReader(hub, house.federation, house.hub_public)
            if await self._chain.follow(reader, cover):
                self._comparison.forget()
            await self._chain.check_directory(directory)
            await self._comparison.compare(reader, cover)

    async def _ask_again(self) -> None:
        """Compare what the hub proves of decisions with what it told us of them.

        Apart from the log: whether it has been shown says nothing of this.
        """
        if not self._second.is_waiting or not self._chain.is_directory_same:
            return
        try:
            async with asyncio.timeout(_ASK_S), HubReader(self._hub_url) as hub:
                await self._second.look(hub)
        except HistoryDiffersError as error:
            await self._doubt(error)
            self._second.settle()
        except OwnProofError as error:
            # Whether the hub or our own disk is at fault, people must find out.
            _LOG.error("evidence of ours: %s", error)
            await self._clerk.take(TellPeople(str(error)))
            self._second.settle()
        except (OutageError, TimeoutError) as error:
            _LOG.info("the hub's evidence: %s: %s", type(error).__name__, error)

    async def _doubt(self, error: HistoryDiffersError) -> None:
        told = str(error)
        _LOG.error("doubt about %s: %s", error.about, told)
        await self._clerk.take(
            Distrust(about=error.about, told=told, ours=error.ours, theirs=error.theirs)
        )

    async def _note_wrong(self, cover: VerifiedCover, error: PeerError) -> None:
        if self._patience.is_over(_WRONG):
            told = f"the hub does not prove its log: {error}"
            cover_line = cover.line_1.decode("ascii")
            await self._doubt(HistoryDiffersError(told, cover_line, str(error)))

    async def _note_outage(self) -> None:
        """Tell people when the hub talks to us but does not show its log.

        Nothing is proved of anybody, so offers are taken as before: whoever keeps
        the hub busy with questions must not stop all payments.
        """
        if self._chain.has_moved:
            self._patience.end(_WITHHELD)
        elif self._patience.is_over(_WITHHELD) and not self._is_told:
            self._is_told = True
            told = "the hub has not shown its log for a minute; offers are still taken"
            await self._clerk.take(TellPeople(told))

    async def _note_shown(self) -> None:
        self._patience.end(_WITHHELD)
        if self._is_told:
            self._is_told = False
            await self._clerk.take(TellPeople("the hub shows its log again"))
