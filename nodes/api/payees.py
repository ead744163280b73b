"""Finding whom to pay, and choosing by what to be found."""

import msgspec
from aiohttp import web

from nodes import payee_store
from nodes.payee_store import FoundBy
from nodes.payees import PayeeAnswer, Payees
from protocol.address import read_address, read_group
from protocol.peer.access_store import Caller
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import (
    caller_of,
    json_response,
    read_json,
    read_query,
)
from protocol.peer.web.routes import Route

_PRIVACY = "/api/v1/account/privacy"


class PayeesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a name, 2 to 80 characters, and the group; the own one if none."""

    name: str
    group: str | None = None


class PayeesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Up to 10 who chose to be found by name, the best matches first."""

    payees: list[PayeeAnswer]


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what others find the caller's name.

    ``nothing``: not at all; ``address``: by whoever knows the address; ``name``: by
    anyone in the federation who looks for the name. Who knows the address can pay
    in any case, and whoever is paid sees the payer's name.
    """

    found_by: FoundBy


_privacy_decoder = msgspec.json.Decoder(Privacy)


class PayeeApi:
    """Finding, and being found.

    Args:
        payees: looks for others.
        database: keeps the caller's own choice.
    """

    def __init__(self, payees: Payees, database: Database) -> None:
        self._payees = payees
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/payees",
                handler=self.get_payees,
                told="Members whose name holds these letters, if they allow it.",
                scope="read",
                query=PayeesQuery,
                answer=PayeesAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/payees/{address}",
                handler=self.get_payee,
                told="Name, group and unit of whoever has this address.",
                scope="read",
                answer=PayeeAnswer,
            ),
            Route(
                method="GET",
                path=_PRIVACY,
                handler=self.get_privacy,
                told="By what others find the caller's name.",
                scope="read",
                answer=Privacy,
            ),
            Route(
                method="PATCH",
                path=_PRIVACY,
                handler=self.patch_privacy,
                told="Choose by what others find the caller's name.",
                # Reading programs get tokens too, and must not lay anyone open.
                scope="pay",
                body=Privacy,
                answer=Privacy,
            ),
        ]

    async def get_payees(self, request: web.Request) -> web.Response:
        """Look for members by name."""
        query = read_query(request, PayeesQuery)
        own = self._payees.own
        group = own if query.group is None else read_group(query.group)
        found = await self._payees.find_name(caller_of(request), query.name, group)
        return json_response(PayeesAnswer(payees=found))

    async def get_payee(self, request: web.Request) -> web.Response:
        """Look for the one who has an address."""
        account, group = read_address(request.match_info["address"])
        return json_response(
            await self._payees.find_account(caller_of(request), account, group)
        )

    async def get_privacy(self, request: web.Request) -> web.Response:
        """Say by what the caller is found."""
        return json_response(await self.privacy(caller_of(request)))

    async def privacy(self, caller: Caller) -> Privacy:
        """Say by what somebody is found."""
        async with self._database.readers.acquire() as connection:
            found_by = await payee_store.read_found_by(
                connection, caller.account_id or ""
            )
        if found_by is None:
            raise _no_account()
        return Privacy(found_by)

    async def patch_privacy(self, request: web.Request) -> web.Response:
        """Keep by what the caller wants to be found; it counts at once."""
        asked = await read_json(request, _privacy_decoder)
        await self.keep_privacy(caller_of(request), asked)
        return json_response(asked)

    async def keep_privacy(self, caller: Caller, wanted: Privacy) -> None:
        """Keep by what somebody wants to be found."""
        self._payees.check_may_change()
        async with self._database.desk.acquire() as connection:
            is_there = await payee_store.write_found_by(
                connection, caller.account_id or "", wanted.found_by
            )
        if not is_there:
            raise _no_account()


def _no_account() -> Problem:
    return Problem(404, "not-found", "You have no account in this group.")
