"""Statements of cycles beside our own ledger, and looking again after a dispute.

Agreement is given without anybody (``nodes.watch.cycle_watch``); people come in only
where the two differ. What one group makes good to another is ``legs``.
"""

from typing import NamedTuple

import msgspec
from aiohttp import web

from nodes.api.cycle_files import CycleFilesApi
from nodes.api.cycles import cycle_number
from nodes.cycle_desk import CycleDesk
from nodes.cycle_sheet import CycleSheet, ToldEntry
from nodes.pages.typed import is_reason, may_act, new_key, read_key
from nodes.rules import CycleState, NotAnswered, OwnCycle, stated_in
from nodes.watch.cycle_watch import CycleWatch
from protocol.cycle import Figures, figures_of
from protocol.errors import MalformedMessageError
from protocol.messages import CycleMove, CycleStatement
from protocol.peer.web import figures as writing
from protocol.peer.web import forms, words
from protocol.peer.web.once import Once
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route
from protocol.strict_json import INTEGER_MAX

CYCLES = "/treasurer/cycles"
_ONE = f"{CYCLES}/{{cycle}}"
_CHECK = f"{_ONE}/check"
_CYCLES_SIZE = 20
_MOVES_SIZE = 50
_WAITS = 20
_PLACE_DIGITS = 15
#: Figures in their order; all but ``count`` are hours.
_SHOWN = ("opening", "debits", "credits", "count", "closing")


class ListFields(msgspec.Struct, frozen=True):
    """From where on cycles are listed."""

    cursor: str


class MoveFields(msgspec.Struct, frozen=True):
    """From which place on a cycle's moves are listed."""

    first: str


class CheckFields(msgspec.Struct, frozen=True):
    """Why our own ledger shall be looked at again."""

    reason: str
    key: str


class FigureRow(NamedTuple):
    """One figure as the hub states it and as our ledger has it, in words."""

    name: str
    hubs: str | None
    owns: str
    differs: bool


class Version(NamedTuple):
    """One side's move where two lists part, with what our ledger tells of it."""

    side: str
    amount: str
    move: CycleMove | None
    entry: ToldEntry | None


class CyclePages:
    """Pages about cycles, for a treasurer.

    Args:
        pages: shows them.
        desk: reads.
        watch: looks at our own ledger again.
    """

    def __init__(self, pages: Pages, desk: CycleDesk, watch: CycleWatch) -> None:
        self._pages = pages
        self._desk = desk
        self._watch = watch
        # Each look is noted with its reason; two clicks are one.
        self._looked: Once[OwnCycle | NotAnswered] = Once()

    def routes(self) -> list[Route]:
        """List the pages, and the files that they lead to."""
        page, files = Route.page, CycleFilesApi(self._desk)
        return [
            page("GET", CYCLES, self.get_cycles, TREASURER),
            page("GET", f"{CYCLES}.csv", files.get_cycles_csv, TREASURER),
            page("GET", _ONE, self.get_cycle, TREASURER),
            page("POST", _CHECK, self.post_check, TREASURER, form=_ONE),
            page("GET", f"{_ONE}/statement.csv", files.get_cycle_statement, TREASURER),
            page("GET", f"{_ONE}/figures.csv", files.get_cycle_figures, TREASURER),
            page("GET", f"{_ONE}/camt053.xml", files.get_cycle_camt053, TREASURER),
        ]

    async def get_cycles(self, request: web.Request) -> web.Response:
        """Show what waits, and all cycles that have ended."""
        fields = forms.read_address_fields(request, ListFields)
        before = read_place(fields.cursor, "cursor") if fields.cursor else INTEGER_MAX
        # One more, for when the oldest of these began.
        found = await self._desk.cycles(before, _CYCLES_SIZE + 1)
        shown, ends = found[:_CYCLES_SIZE], {one.cycle: one.at for one in found}
        more = {"cursor": str(shown[-1].cycle)} if len(found) > _CYCLES_SIZE else {}
        return self._pages.show(
            request,
            "cycles.html",
            cycles=[(one, ends.get(one.cycle - 1), _stated(one)) for one in shown],
            waits=await self._desk.waits(_WAITS),
            name_of=self._desk.name_of,
            group=self._desk.group,
            more=forms.write_fields(CYCLES, more) if more else "",
            may_act=may_act(request),
        )

    async def get_cycle(self, request: web.Request) -> web.Response:
        """Show a statement beside what our own ledger says."""
        return await self._show(request, cycle_number(request), CheckFields("", ""))

    async def _show(
        self,
        request: web.Request,
        number: int,
        fields: CheckFields,
        *,
        told: str = "",
        error: str = "",
    ) -> web.Response:
        wanted = forms.read_address_fields(request, MoveFields)
        first = max(read_place(wanted.first, "first"), 1) if wanted.first else 1
        sheet = await self._desk.sheet(number)
        moves = await self._desk.moves(sheet, first, _MOVES_SIZE)
        own, stated = sheet.own, _stated(sheet.own)
        write = self._pages.figures(request)
        rows = _rows(write, stated, sheet.figures)
        return self._pages.show(
            request,
            "cycle.html",
            own=own,
            sheet=sheet,
            stated=stated,
            rows=rows,
            comparison=_comparison(own, stated, sheet.figures, rows),
            versions=await self._versions(own, write),
            moves=moves,
            legs=await self._desk.legs_of(number),
            name_of=self._desk.name_of,
            group=self._desk.group,
            earlier=_moves_from(number, first - _MOVES_SIZE) if first > 1 else "",
            later=_later(sheet, number, first),
            fields=fields,
            key=fields.key or new_key(),
            told=told,
            error=error,
            saved=request.query.get("saved", ""),
            may_act=may_act(request),
        )

    async def _versions(self, own: OwnCycle, write: writing.Figures) -> list[Version]:
        """Give both sides' move where the lists part, if that is known."""
        found = own.difference
        if found is None or own.state is not CycleState.DISPUTED:
            return []
        moves = (found.hubs, found.nodes)
        amounts = [0 if move is None else move.amount for move in moves]
        texts = _beside(write, *amounts)
        versions = []
        for side, amount, move in zip(("hub", "own"), texts, moves, strict=True):
            known = None if move is None else await self._desk.entry(move.id)
            versions.append(Version(side, amount, move, known))
        return versions

    async def post_check(self, request: web.Request) -> web.Response:
        """Have our own ledger looked at again, once."""
        number = cycle_number(request)
        fields = await forms.read_form(request, CheckFields)
        if not is_reason(fields.reason):
            kind = "reason-long" if fields.reason.strip() else "reason-missing"
            error = self._pages.say(request, f"treasurer.{kind}")
            return await self._show(request, number, fields, error=error)
        key, person = read_key(fields.key), caller_of(request).person_id
        found = await self._looked.do(
            person, key, lambda: self._watch.check(number, person, fields.reason)
        )
        if isinstance(found, NotAnswered):
            language = request[VISIT].language
            told = words.refusal(found.code, language, {"cycle": number})
            return await self._show(request, number, CheckFields("", ""), told=told)
        return see_other(f"{CYCLES}/{number}?saved={found.state.value}")


def _stated(own: OwnCycle) -> CycleStatement | None:
    return None if own.line is None else stated_in(own)


def read_place(text: str, field: str) -> int:
    """Read a place in a list, as a page of ours wrote it."""
    is_place = text.isascii() and text.isdigit() and len(text) <= _PLACE_DIGITS
    if not is_place:
        raise MalformedMessageError(field, text, "a place in the list")
    return msgspec.convert(int(text), int)


def _moves_from(number: int, first: int) -> str:
    return f"{CYCLES}/{number}?first={max(first, 1)}#moves"


def _later(sheet: CycleSheet, number: int, first: int) -> str:
    behind = first + _MOVES_SIZE
    return _moves_from(number, behind) if behind <= len(sheet.moves) else ""


def _rows(
    write: writing.Figures, stated: CycleStatement | None, owns: Figures
) -> list[FigureRow]:
    """Put the hub's figures beside ours."""
    hubs = None if stated is None else figures_of(stated)
    rows = []
    for name in _SHOWN:
        ours = getattr(owns, name)
        theirs = ours if hubs is None else getattr(hubs, name)
        if name == "count":
            texts = write.number(theirs), write.number(ours)
        else:
            texts = _beside(write, theirs, ours)
        told = None if hubs is None else texts[0]
        rows.append(FigureRow(name, told, texts[1], theirs != ours))
    return rows


def _beside(write: writing.Figures, theirs: int, ours: int) -> tuple[str, str]:
    """Write two times, to the millisecond where they would look alike and are not."""
    texts = write.hours(theirs), write.hours(ours)
    rounded = {text.removeprefix("± ") for text in texts}
    if theirs == ours or len(rounded) == 2:
        return texts
    return f"{write.number(theirs)}\u00a0ms", f"{write.number(ours)}\u00a0ms"


def _comparison(
    own: OwnCycle, stated: CycleStatement | None, owns: Figures, rows: list[FigureRow]
) -> str:
    """Say what the figures do not show by themselves, if anything."""
    is_same = stated is None or figures_of(stated) == owns
    match own.state:
        case CycleState.AGREED:
            return "" if is_same else "changed-since"
        case CycleState.DISPUTED if is_same:
            return "now-same"
        case CycleState.DISPUTED:
            return "" if any(row.differs for row in rows) else "moves-differ"
        case _:
            return ""
