"""Whose word is needed: asks for it, gives it, and shows what waits.

With one admin nothing is ever asked. With two and more, an act that is dangerous
(``clearing.rules.dangers``) is kept as asked, and done at another admin's word. Which
it is, the clerk decides on what is so then; here it is told who the admins are.
"""

from typing import NamedTuple

from clearing.house import HubHouse
from clearing.rules import (
    ACTS,
    AskConsent,
    Consent,
    ConsentState,
    GiveConsent,
    NotConsented,
    WithdrawConsent,
    fits,
)
from protocol.errors import ConsentRefusalCode
from protocol.instant import Instant
from protocol.peer import access_store
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import AnyConnection, Database
from protocol.peer.web.problems import Problem

#: The role of whoever may decide at a hub, and what her sign-ins allow.
ADMIN, SCOPES = "admin", ("admin", "read")


class Admins(NamedTuple):
    """Who the regional admins are, by person."""

    names: dict[str, str]

    @property
    def are_two(self) -> bool:
        """Say whether one may be asked for another's word."""
        return len(self.names) > 1


async def read_admins(connection: AnyConnection, now: Instant) -> Admins:
    """Give all who are admins now."""
    staff = await access_store.read_staff(connection, now)
    return Admins(
        {
            one.person_id: one.name
            for one in staff
            if one.role == ADMIN and one.removed_at is None
        }
    )


class Consents:
    """What needs another admin's word.

    Args:
        house: knows what was asked.
        clerk: decides.
        database: says who the admins are.
        clock: the wall clock.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, database: Database, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock

    async def _admins(self) -> Admins:
        async with self._database.readers.acquire() as connection:
            return await read_admins(connection, self._clock.now())

    async def name(self, by: Caller) -> str:
        """Give the name of an admin; "" for one who is none any more."""
        return (await self._admins()).names.get(by.person_id, "")

    async def take(self, order: object, by: Caller, code_hash: str = "") -> object:
        """Have an order decided, or keep it as asked: then a ``Consent`` comes back.

        Args:
            order: any of the regional admin's.
            by: whose it is.
            code_hash: of the code that an invitation is made with.

        Raises:
            Problem: it needs two admins, and she is none (403).
        """
        act = next((order for kind in ACTS.values() if isinstance(order, kind)), None)
        if act is None:
            return await self._clerk.take(order)
        admins = await self._admins()
        own = admins.names.get(by.person_id, "")
        outcome = await self._clerk.take(
            AskConsent(act, own, frozenset(admins.names.values()), code_hash)
        )
        if isinstance(outcome, NotConsented):
            raise _no_admin()
        return outcome

    async def give(self, number: int, by: Caller, code_hash: str = "") -> object:
        """Give what was asked a word; gives the ``Consent``, or why it is not done.

        Args:
            number: of what was asked.
            by: whose word it is.
            code_hash: of the code that an invitation is made with.

        Raises:
            Problem: nothing is asked under this number, or her word does not count.
        """
        admins = await self._admins()
        names = frozenset(admins.names.values())
        order = GiveConsent(number, _name(admins, by), names, code_hash)
        return _told(await self._clerk.take(order))

    async def withdraw(self, number: int, by: Caller) -> object:
        """Take back what was asked, by oneself or another; raises as ``give``."""
        admins = await self._admins()
        return _told(await self._clerk.take(WithdrawConsent(number, _name(admins, by))))

    def all(self) -> list[Consent]:
        """Give all that was ever asked, newest first."""
        self._clerk.check_ready()
        found = self._house.consents.values()
        return sorted(found, key=lambda one: -one.number)

    def waits(self, consent: Consent) -> bool:
        """Say whether another admin may still give her word."""
        return consent.waits(self._clock.now())

    def is_outdated(self, consent: Consent) -> bool:
        """Say whether its group changed since it was asked, so that no word fits."""
        is_asked = consent.state is ConsentState.ASKED
        return is_asked and not fits(self._house.directory, consent)


def _name(admins: Admins, by: Caller) -> str:
    """Name who asks; one who is an admin no more gives no word that counts."""
    name = admins.names.get(by.person_id)
    if name is None:
        raise _no_admin()
    return name


def _no_admin() -> Problem:
    code = ConsentRefusalCode.NOT_AN_ADMIN
    return Problem(403, "not-an-admin", f"Refused: {code}.", code=code)


def _told(outcome: object) -> object:
    if isinstance(outcome, NotConsented):
        code = outcome.code
        status = 404 if code is ConsentRefusalCode.NO_SUCH_CONSENT else 409
        extra: dict[str, object] = {"number": outcome.number}
        told = f"Refused: {code}."
        raise Problem(status, "not-consented", told, code=code, extra=extra)
    return outcome
