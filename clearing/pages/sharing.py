"""What a group leaves behind: what each other group would take over, and did.

It goes by three steps, as in ``clearing.rules.shares``: a look, which tells nobody; all
are told, which moves nothing; and then the very plan that all were told is decided.
"""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from clearing.api.groups import GroupsApi, PositionAnswer
from clearing.api.shares import SharesAnswer, SharesApi, not_shared
from clearing.consents import Consents
from clearing.pages.desk import may_act
from clearing.rules import Consent, NotShared, ShareDebt, TellShares
from protocol.address import UUID, Group
from protocol.errors import MalformedMessageError, SharingRefusalCode
from protocol.messages import Share
from protocol.peer.web import forms
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route
from protocol.sharing import SharingRule

_LIST = "/sharing"
_OF = "/groups/{group}/sharing"
#: Whose limits no longer matter, or who is away: what such a group has, is left.
GONE = ("left", "frozen")
_DIGITS_MAX = 9


class TellFields(msgspec.Struct, frozen=True):
    """How many plans all had been told on the page with the button."""

    told: str


class DecideFields(msgspec.Struct, frozen=True):
    """Which plan is meant: the id that all were told."""

    plan: str


class Part(msgspec.Struct, frozen=True):
    """What a group takes over, and where that brings it; milliseconds.

    ``after`` is ``None`` where its position is of another time.
    """

    share: Share
    now: int | None
    after: int | None


class SharingPages:
    """Pages about sharing.

    Args:
        pages: shows them.
        shares: knows what would be shared, and what was.
        groups: knows positions.
        consents: has it told and decided, with another admin's word where it needs it.
    """

    def __init__(
        self, pages: Pages, shares: SharesApi, groups: GroupsApi, consents: Consents
    ) -> None:
        self._pages = pages
        self._shares = shares
        self._groups = groups
        self._consents = consents

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", _LIST, self.get_sharing, "admin"),
            page("GET", f"{_LIST}/{{id}}", self.get_one, "admin"),
            page("GET", _OF, self.get_of, "admin"),
            page("POST", f"{_OF}/tell", self.post_tell, "admin", form=_OF),
            page("POST", f"{_OF}/decide", self.post_decide, "admin", form=_OF),
        ]

    async def get_sharing(self, request: web.Request) -> web.Response:
        """Show the agreed rule, who has left something behind, and what was shared."""
        found = await self._groups.groups()
        shared = await self._shares.sharing()
        return self._pages.show(
            request,
            "sharing.html",
            agreed=shared.agreed,
            leaving=[one for one in found.groups if one.state in GONE and one.position],
            shared=shared.shared,
        )

    async def get_one(self, request: web.Request) -> web.Response:
        """Show one sharing, with every group's part."""
        one = await self._shares.one(request.match_info["id"])
        parts = [Part(share, None, None) for share in one.shares]
        return self._pages.show(request, "shared.html", one=one, parts=parts)

    # Of one group.

    async def get_of(self, request: web.Request) -> web.Response:
        """Show what each group would take over, and the next step."""
        return await self._show_of(request, request.match_info["group"])

    async def _show_of(
        self, request: web.Request, name: str, status: int = 200, told: str = ""
    ) -> web.Response:
        found = await self._groups.group(name)
        positions = (await self._groups.groups()).groups
        before = await self._shares.told_of(name)
        foreseen, why_not = await self._foresee(request, name)
        waiting = next((one for one in before if one.state == "told"), None)
        is_outdated = waiting is not None and (
            foreseen is None
            or (foreseen.shares, foreseen.cycle) != (waiting.shares, waiting.cycle)
        )
        shown = foreseen or waiting
        return self._pages.show(
            request,
            "group-sharing.html",
            status=status,
            group=found,
            agreed=self._shares.agreed(),
            why_not=why_not,
            shown=shown,
            parts=[] if shown is None else _parts(shown.shares, positions),
            waiting=waiting,
            is_outdated=is_outdated,
            may_tell=foreseen is not None and (waiting is None or is_outdated),
            before=before,
            told=told,
            saved=request.query.get("saved", ""),
            may_act=may_act(request),
        )

    async def _foresee(
        self, request: web.Request, name: str
    ) -> tuple[SharesAnswer | None, str]:
        """Say what each would take over, or why nothing is shared now."""
        rule = self._shares.agreed().rule
        if rule is None:
            return None, self._pages.say(request, "sharing.no-rule")
        try:
            wanted = SharingRule(rule)
            return await self._shares.foresee(Group(name), wanted), ""
        except Problem as problem:
            if problem.code is None:
                raise
            return None, self._pages.refusal(request, problem)

    async def post_tell(self, request: web.Request) -> web.Response:
        """Tell all groups; pressed twice, they are told once."""
        group = self._groups.known(request.match_info["group"])
        seen = _read_count((await forms.read_form(request, TellFields)).told)
        done = see_other(f"/groups/{group}/sharing?saved=told")
        if len(await self._shares.told_of(group)) > seen:
            return done
        rule = self._shares.agreed().rule
        if rule is None:
            return await self._show_of(request, group, 409)
        order = TellShares(group, SharingRule(rule))
        return await self._take(request, order, done)

    async def post_decide(self, request: web.Request) -> web.Response:
        """Decide the very plan that all were told; pressed twice, it is done once."""
        group = self._groups.known(request.match_info["group"])
        plan = (await forms.read_form(request, DecideFields)).plan
        if not UUID.fullmatch(plan):
            raise MalformedMessageError("plan", plan[:40], "the id of a plan")
        done = see_other(f"/groups/{group}/sharing?saved=decided")
        return await self._take(request, ShareDebt(group, plan), done)

    async def _take(
        self, request: web.Request, order: TellShares | ShareDebt, done: web.Response
    ) -> web.Response:
        """Have it decided, or kept as asked; a no stands above how all is now."""
        outcome = await self._consents.take(order, caller_of(request))
        if isinstance(outcome, Consent):
            return see_other(f"/groups/{order.group}/sharing?saved=asked")
        if not isinstance(outcome, NotShared):
            return done
        if outcome.code is SharingRefusalCode.PLAN_ENDED:
            return done
        problem = not_shared(outcome)
        told = self._pages.refusal(request, problem)
        return await self._show_of(request, order.group, problem.status, told)


def _parts(shares: Sequence[Share], positions: Sequence[PositionAnswer]) -> list[Part]:
    now = {one.group: one.position for one in positions}
    return [
        Part(one, now.get(one.group, 0), now.get(one.group, 0) + one.amount)
        for one in shares
    ]


def _read_count(text: str) -> int:
    """Read how many plans all were told, as the page wrote it."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise MalformedMessageError("told", text[:40], "how many plans all were told")
    return int(text)
