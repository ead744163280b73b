"""The group's unit and rate, and what it has asked the hub to change."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import export_store
from nodes.proposals import Proposals
from nodes.rules import Proposal, ProposalState, Wish
from protocol.errors import ItemRefusalCode
from protocol.instant import write_instant, write_nullable
from protocol.peer.database import Database
from protocol.peer.web.problems import language_of
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import Route
from protocol.peer.web.units import RateAnswer, UnitAnswer
from protocol.peer.web.words import Language, refusal
from protocol.unit import DECIMALS_MAX, PER_HOUR_MAX


class UnitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be otherwise; what is left out stays.

    ``per_hour`` is the whole units that an hour is worth; ``decimals`` can never
    change, and is refused when it is another than now.
    """

    per_hour: Annotated[int, Meta(ge=1, le=PER_HOUR_MAX)] | None = None
    decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)] | None = None
    name: str | None = None
    unit: str | None = None
    plural: str | None = None
    symbol: str | None = None


class ProposalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the group asked for: waiting, approved or refused.

    ``told`` says in the reader's language what a refusal means.
    """

    number: int
    version: int
    state: str
    name: str
    unit: UnitAnswer
    rate: RateAnswer
    at: str
    answered_at: str | None
    told: str | None


class OwnUnitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The unit and rate that count now, and the group's newest proposal, if any."""

    group: str
    version: int
    name: str
    unit: UnitAnswer
    rate: RateAnswer
    proposal: ProposalAnswer | None


class PastUnitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A unit and rate that counted from ``since``, when the hub decided it."""

    version: int
    since: str
    name: str
    unit: UnitAnswer
    rate: RateAnswer


class UnitsAnswer(msgspec.Struct, frozen=True):
    """Every unit and rate that the group has had; the last is what counts."""

    units: list[PastUnitAnswer]


_decoder = msgspec.json.Decoder(UnitRequest)


class UnitApi:
    """The unit and rate, as the treasurer sees and changes them.

    Args:
        proposals: what the group has asked for.
        database: read only here.
    """

    def __init__(self, proposals: Proposals, database: Database) -> None:
        self._proposals = proposals
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/group/proposal",
                handler=self.get_proposal,
                told="The unit and rate that count, and what was asked of the hub.",
                scope="treasurer",
                answer=OwnUnitAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/group/proposal",
                handler=self.post_proposal,
                told="Ask the hub for another rate, or other words for the unit;"
                " it takes the place of what waits. 200 when all is so already.",
                scope="treasurer",
                body=UnitRequest,
                answer=OwnUnitAnswer,
                status=202,
                also=(200,),
            ),
            Route(
                method="GET",
                path="/api/v1/group/units",
                handler=self.get_units,
                told="Every unit and rate that the group has had, from when on.",
                scope="treasurer",
                answer=UnitsAnswer,
            ),
        ]

    async def get_proposal(self, request: web.Request) -> web.Response:
        """Give what counts, and what was asked."""
        return json_response(self.own_unit(language_of(request)))

    async def post_proposal(self, request: web.Request) -> web.Response:
        """Ask the hub; the same wish again is the same proposal."""
        asked = await read_json(request, _decoder)
        wish = Wish(**msgspec.structs.asdict(asked))
        author = caller_of(request).person_id
        proposal = await self._proposals.ask(wish, author)
        answer = self.own_unit(language_of(request))
        return json_response(answer, 200 if proposal is None else 202)

    async def get_units(self, _request: web.Request) -> web.Response:
        """Give former units and rates, and what counts now."""
        async with self._database.readers.acquire() as connection:
            units = await export_store.read_units(connection)
        return json_response(
            UnitsAnswer(
                [
                    PastUnitAnswer(
                        version=one.version,
                        since=one.since,
                        name=one.name,
                        unit=UnitAnswer.of(one.unit),
                        rate=RateAnswer.of(one.rate, one.unit.decimals),
                    )
                    for one in units
                ]
            )
        )

    def own_unit(self, language: Language) -> OwnUnitAnswer:
        """Give what counts, and what was asked, as answers show it."""
        entry = self._proposals.own_record().entry
        newest = self._proposals.newest()
        return OwnUnitAnswer(
            group=entry.group,
            version=entry.version,
            name=entry.name,
            unit=UnitAnswer.of(entry.unit),
            rate=RateAnswer.of(entry.rates[-1], entry.unit.decimals),
            proposal=None if newest is None else _proposal(newest, language),
        )


def _proposal(proposal: Proposal, language: Language) -> ProposalAnswer:
    told = None
    if proposal.state is ProposalState.REFUSED:
        told = refusal(ItemRefusalCode.NOT_APPROVED, language)
    entry = proposal.entry
    return ProposalAnswer(
        number=proposal.number,
        version=entry.version,
        state=proposal.state.value,
        name=entry.name,
        unit=UnitAnswer.of(entry.unit),
        rate=RateAnswer.of(entry.rates[-1], entry.unit.decimals),
        at=write_instant(proposal.at),
        answered_at=write_nullable(proposal.answered_at),
        told=told,
    )
