"""A group moves in over HTTP: one zip, looked at first, then booked all at once."""

from typing import Literal

import msgspec
from aiohttp import web

from nodes.house import NodeHouse
from nodes.imports.plan import Choices
from nodes.moving import SENT_LENGTH_MAX, Moved, Moving, is_same, worded
from nodes.payment_answers import unit_answer
from protocol.peer.command_line import DataError
from protocol.peer.web.problems import Problem, ProblemAnswer
from protocol.peer.web.requests import (
    caller_of,
    json_response,
    read_body,
    read_query,
)
from protocol.peer.web.routes import Route
from protocol.peer.web.units import UnitAnswer

_Choice = Literal["true", "false"]
_ZIP = "application/zip"


class ImportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to bring a group in; each choice as the command's option of the same name.

    ``dry_run`` changes nothing, and is what happens when it is left out.
    """

    dry_run: _Choice = "true"
    without_history: _Choice = "false"
    without_balances: _Choice = "false"
    difference_to_fund: _Choice = "false"
    keep_beyond_limits: _Choice = "false"
    encoding: Literal["utf-8", "windows-1252"] = "utf-8"


class ImportRow(msgspec.Struct, frozen=True):
    """What becomes of one row of members."""

    file: str
    line: int
    code: str
    told: str


class ImportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was brought in, or would be; amounts are minor units.

    ``imported`` says whether anything was, ``told`` why not.
    """

    imported: bool
    told: str | None
    members: int
    skipped: int
    transactions: int
    transactions_that_move_nothing: int
    opening_balances: int
    fund: int
    remarks: list[str]
    rows: list[ImportRow]
    unit: UnitAnswer


class ImportProblem(ProblemAnswer, frozen=True, kw_only=True, omit_defaults=True):
    """Why nothing was brought in: every row that cannot be used, the first fifty."""

    findings: list[str] = msgspec.field(default_factory=list)


class MovingApi:
    """The import, for a treasurer.

    Args:
        moving: looks and books.
        house: knows the own unit.
    """

    def __init__(self, moving: Moving, house: NodeHouse) -> None:
        self._moving = moving
        self._house = house

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="POST",
                path="/api/v1/group/import",
                handler=self.post_import,
                told="Bring a group in from a zip (application/zip, at most"
                f" {SENT_LENGTH_MAX // 2**20} MiB): eLAND's, or users.csv and maybe"
                " transactions.csv and balances.csv of eLAS. All or nothing, once.",
                scope="treasurer",
                query=ImportQuery,
                answer=ImportAnswer,
                problem=ImportProblem,
            )
        ]

    async def post_import(self, request: web.Request) -> web.Response:
        """Say what would become of every row, or bring all of them in."""
        asked = read_query(request, ImportQuery)
        if request.content_type != _ZIP:
            told = f"Found {request.content_type}; expected {_ZIP}."
            raise Problem(415, "unsupported-media-type", told)
        data = await read_body(request, SENT_LENGTH_MAX)
        try:
            moved = await self._moving.move(
                data,
                Choices(
                    with_history=asked.without_history == "false",
                    without_balances=asked.without_balances == "true",
                    to_fund=asked.difference_to_fund == "true",
                    beyond_limits=asked.keep_beyond_limits == "true",
                ),
                asked.encoding,
                caller_of(request).person_id,
                is_trial=asked.dry_run == "true",
            )
        except DataError as error:
            findings = str(error).splitlines()
            told = f"Nothing was imported. {findings[0]}"
            extra: dict[str, object] = {"findings": findings}
            raise Problem(422, "not-imported", told, extra=extra) from None
        return json_response(self._answer(moved))

    def _answer(self, moved: Moved) -> ImportAnswer:
        plan, refusal = moved.plan, moved.refusal
        order = plan.order
        assert order is not None, "findings have been told"
        told = None if moved.run else "nothing yet; for all of it say dry_run=false"
        if refusal is not None:
            told = worded(refusal)
            if not is_same(refusal, order):
                raise Problem(409, "not-imported", f"Imported: {told}.")
        return ImportAnswer(
            imported=moved.run is not None,
            told=told,
            members=len(order.members),
            skipped=len(plan.lines) - len(order.members),
            transactions=len(order.past),
            transactions_that_move_nothing=plan.skipped,
            opening_balances=len(order.opening),
            fund=plan.fund,
            remarks=list(plan.remarks),
            rows=[
                ImportRow(line.place.file, line.place.line, line.code, line.told)
                for line in plan.lines
            ],
            unit=unit_answer(self._house.own_record()),
        )
