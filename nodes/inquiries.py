"""A node asks other groups for payees' names, and answers what they ask.

Nothing of it passes the clerk or is written anywhere. Questions and answers go
behind the next cover to the hub; answers are read from the database by one worker,
on one connection, so that no flood of questions can starve what members do.
"""

import asyncio
import logging
import secrets
import uuid
from typing import NamedTuple

from nodes import payee_store
from nodes.house import NodeHouse
from nodes.rules import inquiries as rules
from nodes.rules.inquiries import Ends
from protocol.address import HUB, Group
from protocol.envelope import Body
from protocol.errors import OutageError
from protocol.inquiry import (
    ANSWER_S,
    KEPT_S,
    PER_MINUTE_MAX,
    Inquiry,
    InquiryLine,
    Payee,
    SealedAnswer,
    SealedInquiry,
)
from protocol.messages import write_line
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import AWAY, REFUSED, AnyConnection, Database
from protocol.peer.metrics import Metrics
from protocol.peer.web.sign_in import Throttle
from protocol.sealing import NONCE_LENGTH

_LOG = logging.getLogger(__name__)
#: Most questions of others that wait for an answer; more are forgotten.
_WAITING_MAX = 500
_PAUSE_S = 0.5
_OURS = "ours"


class TooMany(NamedTuple):
    """This group has asked others as often as the hub passes on."""

    wait_s: int


class _Asked(NamedTuple):
    group: Group
    inquiry: Inquiry
    answer: "asyncio.Future[list[Payee]]"


class Inquiries:
    """A node's part in inquiries.

    Args:
        house: knows the directory and our sealing key.
        clerk: puts lines behind our covers.
        database: read only here.
        clock: for the pace of questions.
        metrics: what is counted; never who asked about whom.
        answer_s: how long we wait for an answer.
    """

    def __init__(
        self,
        house: NodeHouse,
        clerk: Clerk,
        database: Database,
        clock: Clock,
        metrics: Metrics,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._metrics = metrics
        self._answer_s = answer_s
        self._throttle = Throttle(clock, window_s=60.0)
        #: By id, what we wait for.
        self._asked: dict[str, _Asked] = {}
        self._questions: asyncio.Queue[SealedInquiry] = asyncio.Queue(_WAITING_MAX)

    def _ends(self) -> Ends:
        house = self._house
        return Ends(
            house.sealing_key, house.federation, house.own, house.trusted, house.opens
        )

    async def ask(self, group: Group, asked: Inquiry) -> list[Payee] | TooMany | None:
        """Ask another group; gives ``None`` when no answer came in time.

        Args:
            group: one of the directory, and not our own.
            asked: by account or by name.
        """
        # The hub would drop what is beyond, and we would wait for nothing.
        wait_s = self._throttle.wait_s(_OURS, PER_MINUTE_MAX)
        if wait_s:
            return TooMany(wait_s)
        inquiry_id, nonce = str(uuid.uuid4()), secrets.token_bytes(NONCE_LENGTH)
        line = rules.write_inquiry(self._ends(), group, inquiry_id, asked, nonce)
        answer: asyncio.Future[list[Payee]]
        answer = asyncio.get_running_loop().create_future()
        self._asked[inquiry_id] = _Asked(group, asked, answer)
        try:
            if not self._say(line, self._answer_s):
                return None
            self._clerk.ring(HUB)
            async with asyncio.timeout(self._answer_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._asked[inquiry_id]

    def _say(self, line: InquiryLine, for_s: float) -> bool:
        return self._clerk.say_aside(HUB, write_line(line), for_s)

    def hear(self, body: Body) -> None:
        """Take what stood directly behind the hub's cover; never waits."""
        self._count("left-out", body.left_out)
        for line in body.inquiries:
            if isinstance(line, SealedAnswer):
                self._hear_answer(line)
                continue
            try:
                self._questions.put_nowait(line)
            except asyncio.QueueFull:
                self._count("too-many")

    def _hear_answer(self, line: SealedAnswer) -> None:
        asked = self._asked.get(line.answer)
        if asked is None or asked.group != line.from_ or asked.answer.done():
            self._count("never-asked")
            return
        payees = rules.open_answer(self._ends(), asked.inquiry, line)
        if payees is None:
            self._count("unreadable")
            return
        self._count("taken")
        asked.answer.set_result(payees)

    async def run(self) -> None:
        """Answer what others ask, for as long as the node lives."""
        while True:
            line = await self._questions.get()
            try:
                async with self._database.readers.acquire() as connection:
                    await self._answer(connection, line)
                    while not self._questions.empty():
                        await self._answer(connection, self._questions.get_nowait())
            except (OutageError, TimeoutError, *AWAY) as error:
                _LOG.warning("answering inquiries: %s", error)
                await asyncio.sleep(_PAUSE_S)

    async def _answer(self, connection: AnyConnection, line: SealedInquiry) -> None:
        """Answer one question; one that we cannot believe gets no answer."""
        asked = rules.open_inquiry(self._ends(), line)
        if asked is None:
            self._count("unreadable")
            return
        # The hub keeps this pace too, but it might be one that lies.
        if self._throttle.wait_s(line.from_, PER_MINUTE_MAX):
            self._count("too-many")
            return
        try:
            payees = await payee_store.read_payees(connection, asked)
        except AWAY:
            raise
        except REFUSED as error:
            # One bad question must not end the node. Not the error's own words: they
            # may hold whom somebody looked for.
            _LOG.error("an inquiry could not be answered: %s", type(error).__name__)
            self._count("failed")
            return
        nonce = secrets.token_bytes(NONCE_LENGTH)
        answer = rules.write_answer(self._ends(), line, payees, nonce)
        self._count("answered" if self._say(answer, KEPT_S) else "too-many")
        self._clerk.ring(HUB)

    def _count(self, outcome: str, many: int = 1) -> None:
        self._metrics.inquiries.labels(outcome).inc(many)
