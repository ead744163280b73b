"""The groups that members may pay, as this node folds the hub's directory."""

import msgspec
from aiohttp import web

from nodes.house import NodeHouse
from protocol.address import Group
from protocol.directory import GroupRecord, check_digits
from protocol.peer.clerk import Clerk
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import Route
from protocol.peer.web.units import RateAnswer, UnitAnswer


class GroupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group, and the digits that two treasurers compare by telephone.

    ``digits_before`` is there while nobody has vouched for the keys that the hub now
    gives the group: ours are still those of before, and nothing is traded with it.
    """

    group: str
    name: str
    state: str
    unit: UnitAnswer
    rate: RateAnswer
    digits: str
    digits_before: str | None


class DirectoryApi:
    """The directory.

    Args:
        house: folds it.
        clerk: says whether it is known yet.
    """

    def __init__(self, house: NodeHouse, clerk: Clerk) -> None:
        self._house = house
        self._clerk = clerk

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/groups",
                handler=self.get_directory,
                told="All groups of the federation, with the digits of their keys.",
                scope="read",
                answer=list[GroupAnswer],
            )
        ]

    async def get_directory(self, _request: web.Request) -> web.Response:
        """Give all groups, in name order."""
        self._clerk.check_ready()
        directory = self._house.directory
        return json_response(
            [self._answer(directory[one]) for one in sorted(directory)]
        )

    def _answer(self, record: GroupRecord) -> GroupAnswer:
        entry = record.entry
        before = self._house.trusted[Group(entry.group)]
        is_waiting = before is not record
        return GroupAnswer(
            group=entry.group,
            name=entry.name,
            state=record.state,
            unit=UnitAnswer.of(entry.unit),
            rate=RateAnswer.of(entry.rates[-1], entry.unit.decimals),
            digits=self._digits(record),
            digits_before=self._digits(before) if is_waiting else None,
        )

    def _digits(self, record: GroupRecord) -> str:
        return check_digits(self._house.federation, record.entry)
