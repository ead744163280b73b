"""What waits for another admin's word, over HTTP."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from clearing.api.invitations import InvitationAnswer, InvitationsApi
from clearing.api.limits import not_decided
from clearing.api.shares import not_shared
from clearing.consents import Consents
from clearing.invitations import new_code
from clearing.rules import Consent, ConsentState, NotDecided, NotShared
from protocol.instant import write_instant, write_nullable
from protocol.joining import hash_code
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, json_response
from protocol.peer.web.routes import Route

_number_decoder = msgspec.json.Decoder(
    Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}\Z")]
)
#: Most that are shown: what is older has long ended.
_SHOWN_MAX = 200


class ConsentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A dangerous act that an admin asked for, exactly, and what became of it.

    ``state`` is ``asked``, ``done``, ``withdrawn``, ``lapsed``, or ``outdated``: its
    group is not as it was. ``invitation`` is shown only to whose word has made it.
    """

    number: int
    act: dict[str, str | int | bool]
    asked_by: str
    asked_at: str
    lapses_at: str
    state: str
    ended_by: str | None
    ended_at: str | None
    invitation: InvitationAnswer | None = None


class ConsentsAnswer(msgspec.Struct, frozen=True):
    """What was asked, newest first."""

    consents: list[ConsentAnswer]


class ConsentsApi:
    """The handlers, one method each.

    Args:
        consents: asks, gives and shows.
        invitations: shows an invitation that a word has made.
    """

    def __init__(self, consents: Consents, invitations: InvitationsApi) -> None:
        self._consents = consents
        self._invitations = invitations

    def routes(self) -> list[Route]:
        """List what regional admins and their programs ask."""
        path = "/api/v1/consents"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.get_consents,
                told="Dangerous acts that wait for another admin's word, or did.",
                scope="admin",
                answer=ConsentsAnswer,
            ),
            Route(
                method="POST",
                path=f"{path}/{{number}}/give",
                handler=self.post_give,
                told="Give what another admin asked your word: it is done, if the"
                " rules allow it now.",
                scope="admin",
                answer=ConsentAnswer,
            ),
            Route(
                method="POST",
                path=f"{path}/{{number}}/withdraw",
                handler=self.post_withdraw,
                told="Take back what was asked, or say no to it.",
                scope="admin",
                answer=ConsentAnswer,
            ),
        ]

    async def get_consents(self, _request: web.Request) -> web.Response:
        """Give what was asked, newest first."""
        return json_response(ConsentsAnswer(self.answers()))

    def answers(self) -> list[ConsentAnswer]:
        """Give what was asked, as answers show it."""
        return [self._answer(one) for one in self._consents.all()[:_SHOWN_MAX]]

    async def post_give(self, request: web.Request) -> web.Response:
        """Give a word; the same word again is the same."""
        return json_response(await self.hear(request, "give"))

    async def post_withdraw(self, request: web.Request) -> web.Response:
        """Take back what was asked."""
        return json_response(await self.hear(request, "withdraw"))

    async def hear(self, request: web.Request, word: str) -> ConsentAnswer:
        """Hear an admin's word on what the request names, as answers show it."""
        number, by = _number(request), caller_of(request)
        code = new_code()
        if word == "give":
            outcome = await self._consents.give(number, by, hash_code(code))
        else:
            outcome = await self._consents.withdraw(number, by)
        if isinstance(outcome, NotDecided):
            raise not_decided(outcome)
        if isinstance(outcome, NotShared):
            raise not_shared(outcome)
        assert isinstance(outcome, Consent)
        answer = self._answer(outcome)
        if answer.act["act"] != "invite":
            return answer
        made = await self._invitations.made_with(code)
        return msgspec.structs.replace(answer, invitation=made)

    def _answer(self, one: Consent) -> ConsentAnswer:
        return ConsentAnswer(
            number=one.number,
            act=msgspec.json.decode(one.act, type=dict[str, str | int | bool]),
            asked_by=one.asked_by,
            asked_at=write_instant(one.asked_at),
            lapses_at=write_instant(one.lapses_at),
            state=self._state(one),
            ended_by=one.ended_by,
            ended_at=write_nullable(one.ended_at),
        )

    def _state(self, one: Consent) -> str:
        """Name what became of it; what waits for nothing more is not asked."""
        if one.state is ConsentState.ASKED and not self._consents.waits(one):
            return "lapsed"
        return "outdated" if self._consents.is_outdated(one) else one.state.value


def _number(request: web.Request) -> int:
    text = request.match_info["number"]
    try:
        return int(_number_decoder.decode(msgspec.json.encode(text)))
    except msgspec.MsgspecError:
        raise Problem(404, "not-found", "There is nothing by this number.") from None
