"""What a member decides about herself: who finds her, and where she is signed in."""

from typing import get_args

import msgspec
from aiohttp import web

from nodes.api.payees import PayeeApi, Privacy
from nodes.payee_store import FoundBy
from protocol.errors import MalformedMessageError
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web import forms
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route
from protocol.peer.web.sessions import PROFILE, profile_values


class VisibilityFields(msgspec.Struct, frozen=True):
    """By what she wants to be found."""

    found_by: str


class ProfilePages:
    """A member's own choices.

    Args:
        pages: shows them.
        payees: keeps who finds her.
        database: keeps her sessions.
        clock: the wall clock.
    """

    def __init__(
        self, pages: Pages, payees: PayeeApi, database: Database, clock: Clock
    ) -> None:
        self._pages = pages
        self._payees = payees
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", PROFILE, self.get_profile, "read"),
            page(
                "POST",
                f"{PROFILE}/visibility",
                self.post_visibility,
                "pay",
                form=PROFILE,
            ),
        ]

    async def get_profile(self, request: web.Request) -> web.Response:
        """Show what she has decided, and where she is signed in."""
        caller = caller_of(request)
        found_by = None
        if caller.account_id is not None:
            found_by = (await self._payees.privacy(caller)).found_by
        return self._pages.show(
            request,
            "member-profile.html",
            found_by=found_by,
            choices=get_args(FoundBy),
            may_choose="pay" in caller.scopes,
            **await profile_values(request, self._database, self._clock),
        )

    async def post_visibility(self, request: web.Request) -> web.Response:
        """Keep by what she wants to be found."""
        fields = await forms.read_form(request, VisibilityFields)
        try:
            wanted = msgspec.convert({"found_by": fields.found_by}, Privacy)
        except msgspec.ValidationError:
            expected = f"one of {', '.join(get_args(FoundBy))}"
            raise MalformedMessageError("found_by", fields.found_by, expected) from None
        await self._payees.keep_privacy(caller_of(request), wanted)
        return see_other(f"{PROFILE}?saved=visibility")
