"""Shows what proves a cycle: the hub's file, fetched and verified by our own server."""

from typing import NamedTuple

from aiohttp import web

from nodes.api.cycle_proofs import count_words, file_response
from nodes.api.cycles import cycle_number
from nodes.cycle_desk import CycleDesk
from nodes.cycle_proofs import CycleProof, CycleProofs
from protocol.messages import CycleAgree
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.routes import TREASURER, Route

_ONE = "/treasurer/cycles/{cycle}"
#: Of thousands of groups nobody reads a page; the file has all.
_LINES_MAX = 200
#: Letters shown of what was found: a hub may have chosen them.
_WHY_MAX = 300


class Line(NamedTuple):
    """Where a group stood, and what it has signed of that."""

    group: str
    closing: int
    word: str


class ProofPages:
    """The page of a proof, and its file.

    Args:
        pages: shows it.
        proofs: gets and verifies the file.
        desk: knows groups' names.
    """

    def __init__(self, pages: Pages, proofs: CycleProofs, desk: CycleDesk) -> None:
        self._pages = pages
        self._proofs = proofs
        self._desk = desk

    def routes(self) -> list[Route]:
        """List the page, and the file that it leads to."""
        page = Route.page
        return [
            page("GET", f"{_ONE}/proof", self.get_proof, TREASURER),
            page("GET", f"{_ONE}/file.json", self.get_file, TREASURER),
        ]

    async def get_proof(self, request: web.Request) -> web.Response:
        """Get the file anew, and show what it proves."""
        number = cycle_number(request)
        proof = await self._proofs.fetch(number)
        lines = _lines(proof)
        agreed, disputed, witnesses = (0, 0, 0)
        if proof.proven is not None:
            agreed, disputed, witnesses = count_words(proof.proven)
        return self._pages.show(
            request,
            "proof.html",
            number=number,
            proven=proof.proven,
            is_away=proof.is_away,
            why=proof.why[:_WHY_MAX],
            lines=lines[:_LINES_MAX],
            more=max(len(lines) - _LINES_MAX, 0),
            agreed=agreed,
            disputed=disputed,
            witnesses=witnesses,
            group=self._desk.group,
            name_of=self._desk.name_of,
        )

    async def get_file(self, request: web.Request) -> web.Response:
        """Give the file; what proves nothing leads to the page that says why."""
        number = cycle_number(request)
        proof = await self._proofs.fetch(number)
        if proof.proven is None:
            return see_other(f"/treasurer/cycles/{number}/proof")
        return file_response(number, proof.raw)


def _lines(proof: CycleProof) -> list[Line]:
    if proof.proven is None:
        return []
    found = []
    for group, line in proof.proven.lines.items():
        if line.statement is None:
            continue
        word = "silent"
        if line.answer is not None:
            is_yes = isinstance(line.answer, CycleAgree)
            word = "agreed" if is_yes else "disputed"
        found.append(Line(group, line.statement.closing, word))
    return found
