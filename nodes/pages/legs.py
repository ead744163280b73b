"""What our group makes good to others, or gets from them, and a treasurer's word on it.

A word is typed, looked at, and given, in three pages as an entry by hand is; it can
never be taken back. What it does is decided in ``nodes.rules.legs``.
"""

from typing import Literal, NamedTuple

import msgspec
from aiohttp import web

from nodes.api.cycle_files import CycleFilesApi
from nodes.api.cycles import leg_id_of
from nodes.cycle_desk import CycleDesk
from nodes.pages.cycles import ListFields, read_place
from nodes.pages.typed import check_may_act, is_reason, may_act, new_key, read_key
from nodes.rules import LegState, NotAnswered, OwnLeg, SignLeg
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.web import forms, words
from protocol.peer.web.once import Once
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route
from protocol.strict_json import INTEGER_MAX
from protocol.unit import HOUR

LEGS = "/treasurer/legs"
_ONE = f"{LEGS}/{{id}}"
_CONFIRM = f"{_ONE}/confirm"
_SIZE = 50
_DAY = 24 * HOUR


class SignFields(msgspec.Struct, frozen=True):
    """How it was paid, or where it came in, as typed."""

    reason: str
    key: str


class Parties(NamedTuple):
    """What is ours to say, and both groups' names as people read them."""

    word: Literal["paid", "received"]
    own: str
    other: str


class LegPages:
    """Pages about legs, for a treasurer.

    Args:
        pages: shows them.
        desk: reads.
        clerk: signs.
        clock: says how long something waits.
    """

    def __init__(
        self, pages: Pages, desk: CycleDesk, clerk: Clerk, clock: Clock
    ) -> None:
        self._pages = pages
        self._desk = desk
        self._clerk = clerk
        self._clock = clock
        # The law takes one word; a second click sees the answer to the first.
        self._signed: Once[OwnLeg | NotAnswered] = Once()

    def routes(self) -> list[Route]:
        """List the pages, and the file that they lead to."""
        page, files = Route.page, CycleFilesApi(self._desk)
        return [
            page("GET", LEGS, self.get_legs, TREASURER),
            page("GET", f"{LEGS}.csv", files.get_legs_csv, TREASURER),
            page("GET", _ONE, self.get_leg, TREASURER),
            page("GET", _CONFIRM, self.get_confirm, TREASURER),
            page("POST", _ONE, self.post_leg, TREASURER, form=_CONFIRM),
        ]

    async def get_legs(self, request: web.Request) -> web.Response:
        """Show all legs of ours, newest first."""
        fields = forms.read_address_fields(request, ListFields)
        before = read_place(fields.cursor, "cursor") if fields.cursor else INTEGER_MAX
        found = await self._desk.legs(before, _SIZE)
        more = {"cursor": str(found[-1].item)} if len(found) == _SIZE else {}
        return self._pages.show(
            request,
            "legs.html",
            legs=found,
            name_of=self._desk.name_of,
            group=self._desk.group,
            more=forms.write_fields(LEGS, more) if more else "",
        )

    async def get_leg(self, request: web.Request) -> web.Response:
        """Show how a leg stands, and ask for our word if it is missing."""
        leg = await self._desk.leg(leg_id_of(request))
        fields = forms.read_address_fields(request, SignFields)
        return await self._show(request, leg, fields)

    async def _show(
        self,
        request: web.Request,
        leg: OwnLeg,
        fields: SignFields,
        *,
        told: str = "",
        error: str = "",
    ) -> web.Response:
        ended = self._clock.now() if leg.ended_at is None else leg.ended_at
        return self._pages.show_form(
            request,
            "leg.html",
            leg=leg,
            who=self._parties(leg),
            days=max(ended - leg.at, 0) // _DAY,
            signer=await self._desk.signer(leg),
            fields=fields,
            told=told,
            error=error,
            saved=request.query.get("saved", ""),
            may_act=may_act(request),
        )

    def _parties(self, leg: OwnLeg) -> Parties:
        other = leg.creditor if self._is_ours(leg) else leg.debtor
        return Parties(
            self._word(leg),
            self._desk.name_of(self._desk.group),
            self._desk.name_of(other),
        )

    def _is_ours(self, leg: OwnLeg) -> bool:
        """Say whether it is we who make it good."""
        return leg.debtor == self._desk.group

    def _word(self, leg: OwnLeg) -> Literal["paid", "received"]:
        return "paid" if self._is_ours(leg) else "received"

    async def get_confirm(self, request: web.Request) -> web.Response:
        """Show what a word says and does before it is given."""
        check_may_act(request)
        leg = await self._desk.leg(leg_id_of(request))
        fields = forms.read_address_fields(request, SignFields)
        if leg.state is not LegState.OPEN:
            return see_other(f"{LEGS}/{leg.leg_id}")
        if not is_reason(fields.reason):
            return await self._show(
                request, leg, fields, error=self._why(request, fields)
            )
        kept = {"reason": fields.reason}
        return self._pages.show(
            request,
            "confirm-leg.html",
            leg=leg,
            who=self._parties(leg),
            fields=fields,
            carried=kept | {"key": new_key()},
            change=forms.write_fields(f"{LEGS}/{leg.leg_id}", kept),
        )

    def _why(self, request: web.Request, fields: SignFields) -> str:
        kind = "reason-long" if fields.reason.strip() else "reason-missing"
        return self._pages.say(request, f"treasurer.{kind}")

    async def post_leg(self, request: web.Request) -> web.Response:
        """Give our word, once."""
        leg = await self._desk.leg(leg_id_of(request))
        fields = await forms.read_form(request, SignFields)
        key = read_key(fields.key)
        if not is_reason(fields.reason):
            return await self._show(
                request, leg, fields, error=self._why(request, fields)
            )
        person = caller_of(request).person_id
        order = SignLeg(
            leg_id=leg.leg_id, word=self._word(leg), author=person, reason=fields.reason
        )
        found = await self._signed.do(person, key, lambda: self._sign(order))
        if isinstance(found, NotAnswered):
            told = words.refusal(found.code, request[VISIT].language)
            now = await self._desk.leg(leg.leg_id)
            return await self._show(request, now, SignFields("", ""), told=told)
        return see_other(f"{LEGS}/{leg.leg_id}?saved=signed")

    async def _sign(self, order: SignLeg) -> OwnLeg | NotAnswered:
        outcome = await self._clerk.take(order)
        assert isinstance(outcome, OwnLeg | NotAnswered)
        return outcome
