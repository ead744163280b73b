"""The group's own keys: digits to compare, and the button that changes them.

Recovery stays a command on the server: who needs it may have lost these pages too.
"""

import msgspec
from aiohttp import web

from nodes.api.own_keys import OwnKeysApi
from nodes.pages.typed import check_may_act, is_reason, may_act
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route

KEYS = "/treasurer/keys"
_CONFIRM = f"{KEYS}/confirm"
_VERSION_DIGITS = 9


class KeysFields(msgspec.Struct, frozen=True):
    """Why keys are changed, and the version of the entry that she saw."""

    reason: str
    version: str


class OwnKeysPages:
    """Pages about the group's keys, for a treasurer.

    Args:
        pages: shows them.
        api: says which keys count, and changes them.
    """

    def __init__(self, pages: Pages, api: OwnKeysApi) -> None:
        self._pages = pages
        self._api = api

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", KEYS, self.get_keys, TREASURER),
            page("GET", _CONFIRM, self.get_confirm, TREASURER),
            page("POST", KEYS, self.post_keys, TREASURER, form=_CONFIRM),
        ]

    async def get_keys(self, request: web.Request) -> web.Response:
        """Show the keys that count, and how the last change went."""
        fields = forms.read_address_fields(request, KeysFields)
        return self._show(request, fields)

    def _show(
        self,
        request: web.Request,
        fields: KeysFields,
        *,
        told: str = "",
        error: str = "",
    ) -> web.Response:
        return self._pages.show_form(
            request,
            "own-keys.html",
            own=self._api.standing(),
            fields=fields,
            told=told,
            error=error,
            may_act=may_act(request),
        )

    async def get_confirm(self, request: web.Request) -> web.Response:
        """Ask once more before keys are changed."""
        check_may_act(request)
        fields = forms.read_address_fields(request, KeysFields)
        if not is_reason(fields.reason):
            return self._show(request, fields, error=self._why(request, fields))
        own = self._api.standing()
        kept = {"reason": fields.reason}
        return self._pages.show(
            request,
            "confirm-keys.html",
            own=own,
            fields=fields,
            # The entry has another version afterwards: a second click changes nothing.
            carried=kept | {"version": str(own.version)},
            change=forms.write_fields(KEYS, kept),
        )

    def _why(self, request: web.Request, fields: KeysFields) -> str:
        kind = "reason-long" if fields.reason.strip() else "reason-missing"
        return self._pages.say(request, f"treasurer.{kind}")

    async def post_keys(self, request: web.Request) -> web.Response:
        """Change keys, once: a version that counts no more changes nothing."""
        fields = await forms.read_form(request, KeysFields)
        version = _read_version(fields.version)
        if not is_reason(fields.reason):
            return self._show(request, fields, error=self._why(request, fields))
        own = self._api.standing()
        newest = own.renewal
        if newest is not None and newest.version == version + 1:
            # The first click of two has asked for these very keys.
            return see_other(KEYS)
        try:
            person = caller_of(request).person_id
            await self._api.change(version, person, fields.reason)
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            return self._show(request, fields, told=told)
        return see_other(KEYS)


def _read_version(text: str) -> int:
    """Read the version of the entry, as a page of ours wrote it."""
    is_version = text.isascii() and text.isdigit() and len(text) <= _VERSION_DIGITS
    if not is_version or int(text) < 1:
        raise MalformedMessageError("version", text, "a version as the page wrote it")
    return int(text)
