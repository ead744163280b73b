"""Finding whom to pay, in the own group and in others, as members see it.

Between the API (and later the pages) and ``inquiries``: it keeps each member's pace
and words what came of it. The own group answers under the same choice of the member
who is looked for, so that nobody is easier to find from nearby.
"""

import msgspec

from nodes import payee_store
from nodes.house import NodeHouse
from nodes.inquiries import Inquiries, TooMany
from nodes.payment_answers import unit_answer
from nodes.rules.inquiries import read_part_of_name
from protocol.address import AccountName, Group, write_address
from protocol.directory import GroupRecord
from protocol.errors import InquiryRefusalCode, RefusalCode
from protocol.inquiry import OPEN_STATES, Inquiry, Payee
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.courier import Courier
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.sign_in import Throttle
from protocol.peer.web.units import UnitAnswer

#: How often one person may look for others in a minute.
PER_MINUTE_MAX = 30
_RETRY_S = "5"


class PayeeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can be paid, as her group names her, and her unit."""

    address: str
    account: str
    group: str
    name: str
    group_name: str
    unit: UnitAnswer


class Payees:
    """Looking for payees.

    Args:
        house: knows the directory.
        clerk: whether this server is open.
        courier: knows whether the hub answers.
        inquiries: asks other groups.
        database: read only here.
        clock: for each person's pace.
    """

    def __init__(
        self,
        house: NodeHouse,
        clerk: Clerk,
        courier: Courier,
        inquiries: Inquiries,
        database: Database,
        clock: Clock,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._courier = courier
        self._inquiries = inquiries
        self._database = database
        self._throttle = Throttle(clock, window_s=60.0)

    async def find_account(
        self, caller: Caller, account: AccountName, group: Group
    ) -> PayeeAnswer:
        """Give the one who has an address.

        Raises:
            Problem: nobody who may be found (404), no such group (404), no answer
                in time (503), or asked too often (429).
        """
        record = self._record(caller, group)
        found = await self._ask(group, Inquiry(account=account, name=None))
        if not found:
            code = RefusalCode.UNKNOWN_ACCOUNT
            raise Problem(404, code, f"Nobody has this address: {code}.", code=code)
        return _answer(record, found[0])

    def check_may_change(self) -> None:
        """Raise ``RestoredError`` while this server, restored, changes nothing."""
        self._clerk.check_may_change()

    async def find_name(
        self, caller: Caller, part: str, group: Group
    ) -> list[PayeeAnswer]:
        """Give those of a group whose name holds ``part``, the best matches first.

        Raises:
            Problem: as for ``find_account``, but nobody found is an empty list.
        """
        asked = Inquiry(account=None, name=read_part_of_name(part))
        record = self._record(caller, group)
        return [_answer(record, payee) for payee in await self._ask(group, asked)]

    @property
    def own(self) -> Group:
        """Our own group."""
        return self._house.own

    def _record(self, caller: Caller, group: Group) -> GroupRecord:
        """Give a group that may be asked, once the caller may ask at all."""
        self._clerk.check_ready()
        wait_s = self._throttle.wait_s(caller.person_id, PER_MINUTE_MAX)
        if wait_s:
            raise _too_many(wait_s)
        if group == self.own:
            return self._house.own_record()
        record = self._house.directory.get(group)
        if record is None:
            code = RefusalCode.UNKNOWN_GROUP
            raise Problem(404, code, f"No group is called {group}.", code=code)
        if record.state not in OPEN_STATES:
            # The hub would not pass the question on, for nobody can pay there now.
            has_left = record.state == "left"
            code = RefusalCode.GROUP_LEFT if has_left else RefusalCode.GROUP_FROZEN
            raise Problem(404, code, f"{group} is {record.state}.", code=code)
        return record

    async def _ask(self, group: Group, asked: Inquiry) -> list[Payee]:
        if group == self.own:
            async with self._database.readers.acquire() as connection:
                return await payee_store.read_payees(connection, asked)
        found: list[Payee] | TooMany | None = None
        if self._courier.is_reachable():
            found = await self._inquiries.ask(group, asked)
        if isinstance(found, TooMany):
            raise _too_many(found.wait_s)
        if found is None:
            code = RefusalCode.PAYEE_UNREACHABLE
            told = f"{group} did not answer in time."
            headers = {"Retry-After": _RETRY_S}
            raise Problem(503, code, told, code=code, headers=headers)
        return found


def _too_many(wait_s: int) -> Problem:
    code = InquiryRefusalCode.TOO_MANY_INQUIRIES
    told = f"Too many inquiries; please wait {wait_s} seconds."
    return Problem(429, code, told, code=code, headers={"Retry-After": str(wait_s)})


def _answer(record: GroupRecord, payee: Payee) -> PayeeAnswer:
    group = Group(record.entry.group)
    return PayeeAnswer(
        address=write_address(AccountName(payee.account), group),
        account=payee.account,
        group=group,
        name=payee.name,
        group_name=record.entry.name,
        unit=unit_answer(record),
    )
