"""The hub's file that proves how a cycle was closed, fetched and verified here."""

from typing import Literal

import msgspec
from aiohttp import web

from nodes.api.cycles import cycle_number
from nodes.cycle_proofs import CycleProof, CycleProofs
from protocol.cycle_file import MEDIA_TYPE, CycleFile, ProvenCycle, describe_cycle
from protocol.messages import CycleAgree, CycleDispute
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import TREASURER, Route

_ONE = "/api/v1/group/cycles/{cycle}"
_RETRY_AFTER_S = "60"


class CycleProofAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub's file about a cycle proves.

    ``verdict``: it is ``proved``; it is ``wrong``, since something in it does not hold
    or is other than the hub has told us; or the hub is ``away``. ``why`` says of the
    last two what was found. ``agreed`` and ``disputed`` of ``groups`` have signed so,
    and ``witnesses`` that they were shown the same log. ``told`` is what the file
    says of itself, in English.
    """

    cycle: int
    verdict: Literal["proved", "wrong", "away"]
    why: str | None
    groups: int
    agreed: int
    disputed: int
    witnesses: int
    told: list[str]


class CycleProofsApi:
    """The handlers, one method each.

    Args:
        proofs: gets them.
    """

    def __init__(self, proofs: CycleProofs) -> None:
        self._proofs = proofs

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path=f"{_ONE}/proof",
                handler=self.get_proof,
                told="Get the hub's cycle file, and say whether it proves the cycle.",
                scope=TREASURER,
                answer=CycleProofAnswer,
            ),
            Route(
                method="GET",
                path=f"{_ONE}/file",
                handler=self.get_file,
                told="The hub's cycle file, once it is verified: 409 when it is wrong,"
                " 503 while the hub is away.",
                scope=TREASURER,
                answer=CycleFile,
                media_type=MEDIA_TYPE,
            ),
        ]

    async def get_proof(self, request: web.Request) -> web.Response:
        """Say what the file proves."""
        number = cycle_number(request)
        proof = await self._proofs.fetch(number)
        return json_response(_answer(number, proof))

    async def get_file(self, request: web.Request) -> web.Response:
        """Give the file, if it proves the cycle."""
        number = cycle_number(request)
        proof = await self._proofs.fetch(number)
        if proof.is_away:
            headers = {"Retry-After": _RETRY_AFTER_S}
            raise Problem(503, "outage", proof.why, headers=headers)
        if proof.proven is None:
            told = f"What the hub sent does not prove cycle {number}: {proof.why}"
            raise Problem(409, "cycle-not-proved", told)
        return file_response(number, proof.raw)


def file_response(cycle: int, raw: bytes) -> web.Response:
    """Answer with a cycle file, to be kept."""
    return web.Response(
        body=raw,
        headers={
            "Content-Type": MEDIA_TYPE,
            "Content-Disposition": f'attachment; filename="cycle-{cycle}.json"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def count_words(proven: ProvenCycle) -> tuple[int, int, int]:
    """Count who has agreed, who disputes, and who was shown the same log."""
    lines = proven.lines.values()
    return (
        sum(isinstance(line.answer, CycleAgree) for line in lines),
        sum(isinstance(line.answer, CycleDispute) for line in lines),
        sum(line.is_witness for line in lines),
    )


def _answer(cycle: int, proof: CycleProof) -> CycleProofAnswer:
    proven = proof.proven
    if proven is None:
        return CycleProofAnswer(
            cycle=cycle,
            verdict="away" if proof.is_away else "wrong",
            why=proof.why,
            groups=0,
            agreed=0,
            disputed=0,
            witnesses=0,
            told=[],
        )
    agreed, disputed, witnesses = count_words(proven)
    return CycleProofAnswer(
        cycle=cycle,
        verdict="proved",
        why=None,
        groups=proven.decision.groups,
        agreed=agreed,
        disputed=disputed,
        witnesses=witnesses,
        told=describe_cycle(proven),
    )
