"""A month of made-up trade for the demo, so that both desks have something to show.

One seed gives always the same deeds. They are played within seconds, through the real
servers, so the servers' clocks date them all to today.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from seen import expect, say, verify
from servers import DemoError, wait_for

if TYPE_CHECKING:
    from demo import Federation

Pay = Callable[..., tuple[int, dict]]

SEED = 8
#: Payments in the month, one a day in each of three groups, and in the days after.
MONTH = 90
AFTER = 15
#: So often it is tried to find a deed that takes nobody too far.
TRIES_MAX = 10_000
#: Of so many deeds one is between groups; the others stay at home.
ABROAD_OF = 3
#: How far the month takes any member or group from where it began, minutes.
MEMBER_REACH = 240
#: Who trades in each group, beside those whom the story is about.
TRADERS = 5
LEADING = ("marie", "lies", "bob", "jef", "leila")
GROUP_REACH = 420
#: What people do for each other, and how long it takes, in multiples of 3 minutes:
#: the least time that is a whole number in the unit of each group of the demo.
HELP = (
    ("Fietsband plakken", 21),
    ("Haag scheren", 120),
    ("Soep voor vier", 60),
    ("Oppassen op zaterdagavond", 180),
    ("Gordijnen inkorten", 90),
    ("Hond uitlaten, vier keer", 120),
    ("Computer weer aan de praat", 75),
    ("Frans oefenen", 60),
    ("Naar het ziekenhuis gebracht", 105),
    ("Twee broden", 30),
    ("Muur geschilderd", 240),
    ("Confituur van pruimen", 15),
    ("Kast in elkaar gezet", 66),
    ("Planten water gegeven", 45),
    ("Brief aan de gemeente nagelezen", 36),
    ("Gitaarles", 60),
)


class Deed(NamedTuple):
    """Someone helped someone, and is paid for it.

    Attributes:
        payer: account and group of who was helped.
        payee: account and group of who helped.
        minutes: how long.
        memo: what it was.
    """

    payer: tuple[str, str]
    payee: tuple[str, str]
    minutes: int
    memo: str


def deeds_of(seed: int, people: Mapping[str, Sequence[str]]) -> list[Deed]:
    """Draw the deeds of a month, and of days after it, among members of groups.

    Nobody is taken further than ``MEMBER_REACH``, and no group than ``GROUP_REACH``:
    who has been helped much helps in turn. Few people come to fewer deeds.

    Args:
        seed: the same one gives the same deeds.
        people: accounts of those who trade, by group.
    """
    chance = random.Random(seed)  # noqa: S311 - it draws a story
    minutes_of = {
        (account, group): 0 for group in sorted(people) for account in people[group]
    }
    abroad = dict.fromkeys(people, 0)
    deeds: list[Deed] = []
    for _ in range(TRIES_MAX if minutes_of else 0):
        if len(deeds) == MONTH + AFTER:
            break
        memo, minutes = chance.choice(HELP)
        payer = chance.choice(list(minutes_of))
        is_abroad = len(deeds) % ABROAD_OF == 0
        others = [
            one
            for one in minutes_of
            if one != payer and (one[1] != payer[1]) == is_abroad
        ]
        if not others:
            continue
        payee = chance.choice(others)
        after = (minutes_of[payer] - minutes, minutes_of[payee] + minutes)
        if max(map(abs, after)) > MEMBER_REACH:
            continue
        if is_abroad:
            groups = (abroad[payer[1]] - minutes, abroad[payee[1]] + minutes)
            if max(map(abs, groups)) > GROUP_REACH:
                continue
            abroad[payer[1]], abroad[payee[1]] = groups
        minutes_of[payer], minutes_of[payee] = after
        deeds.append(Deed(payer, payee, minutes, memo))
    return deeds


class Month:
    """Plays a month, ends its cycle, and has the groups make good what is left."""

    def __init__(self, federation: "Federation", pay: Pay) -> None:
        self._federation = federation
        self._pay = pay
        self._hub = federation.staff(federation.hub)
        self._per_hour = {
            group: self._units_per_hour(group) for group in federation.nodes
        }

    def play(self) -> None:
        """Play it once for this data; later only its end, with what there is."""
        state, drawn = self._federation.state, []
        if state.get("month") is None:
            state.put(SEED, "month")
            people = {group: self._traders(group) for group in self._per_hour}
            drawn = deeds_of(SEED, people)
            if drawn:
                self._trade("a month of made-up trade", drawn[:MONTH])
        self._settle(self._close())
        if drawn[MONTH:]:
            self._trade("the days after", drawn[MONTH:])

    def _trade(self, told: str, deeds: Sequence[Deed]) -> None:
        """Play deeds one after the other; only a limit may refuse one."""
        began, refused = time.monotonic(), 0
        for deed in deeds:
            amount, rest = divmod(deed.minutes * self._per_hour[deed.payee[1]], 60)
            if rest:
                raise DemoError(f"{deed.minutes} minutes are no amount: {deed}")
            most = deed.minutes * self._per_hour[deed.payer[1]] // 60
            status, answer = self._pay(
                self._federation.member(*deed.payer),
                "@".join(deed.payee),
                amount,
                wait_s=20,
                payer_amount_max=most,
                memo=deed.memo,
            )
            # A group that comes with much from earlier demos may meet its limit.
            if (answer.get("code") or "").endswith(("floor", "ceiling")):
                refused += 1
                continue
            expect((status, answer), 201, state="cleared", payer_amount=most)
        abroad = sum(deed.payer[1] != deed.payee[1] for deed in deeds)
        took = time.monotonic() - began
        say(
            f"{told} in {took:.1f} s: {len(deeds)} payments,"
            f" {abroad} of them between groups, {refused or 'none'} refused"
        )

    def _units_per_hour(self, group: str) -> int:
        """Ask how many of a group's units an hour is."""
        treasurer = self._federation.staff(self._federation.nodes[group])
        return int(treasurer.get("/api/v1/group/proposal")["rate"]["per_hour"])

    def _traders(self, group: str) -> list[str]:
        """Choose members that have room for a month's trade either way."""
        federation = self._federation
        traders: list[str] = []
        for account in federation.state.get("people", group):
            if account in LEADING or len(traders) == TRADERS:
                continue
            told = federation.member(account, group).get("/api/v1/account")
            reach = MEMBER_REACH * self._per_hour[group] // 60
            floor, ceiling = told["floor"], told["ceiling"]
            if (floor is None or told["balance"] - reach >= floor) and (
                ceiling is None or told["balance"] + reach <= ceiling
            ):
                traders.append(account)
        return traders

    def _close(self) -> int:
        """Every node looks at its own ledger and agrees; anyone can check it all."""
        number = self._hub.get("/api/v1/cycles")["open"]
        path = f"/api/v1/cycles/{number}"
        expect(self._hub.ask("POST", f"{path}/close"), 200, cycle=number)
        expect(self._hub.ask("POST", f"{path}/close"), 409, code="cycle-not-open")

        def have_agreed() -> bool:
            told = self._hub.get(path)
            return told["agreed"] == told["groups"]

        wait_for(have_agreed, "every group to agree with its statement", 20)
        savings = self._hub.get(f"{path}/netting")["savings"]
        made, left = (savings[name]["payments"] for name in ("gross", "novation"))
        known = self._hub.get("/.well-known/interlets")["federation"]
        verified = verify(self._hub.text(f"{path}/file"), known)
        if verified.returncode != 0:
            raise DemoError(f"the cycle file: {verified.stdout}{verified.stderr}")
        say(
            f"the hub closes cycle {number}, all agree by themselves: of {made}"
            f" payments between groups {left} positions are left"
        )
        say("the cycle's file verifies offline in an empty folder")
        return number

    def _settle(self, cycle: int) -> None:
        """Debtor and creditor sign each leg; then every position stands at zero."""
        path = f"/api/v1/cycles/{cycle}"
        answer = self._hub.ask("POST", f"{path}/settle")
        if answer[1].get("code") == "nothing-to-settle":
            say("nothing is owed")
            return
        expect(answer, 200)
        legs = self._hub.get(f"{path}/legs")["legs"]
        for leg in legs:
            self._sign(leg["debtor"], leg["id"], "paid")
            self._sign(leg["creditor"], leg["id"], "received")

        def are_settled() -> bool:
            now = self._hub.get(f"{path}/legs")["legs"]
            return {leg["state"] for leg in now} <= {"settled"}

        wait_for(are_settled, "every leg to be settled", 20)
        positions = self._hub.get("/api/v1/groups")["groups"]
        left = {one["group"]: one["position"] for one in positions if one["position"]}
        if left:
            raise DemoError(f"after the last leg these positions are left: {left}")
        told = ", ".join(
            f"{leg['debtor']} makes good {leg['milliseconds'] / 3_600_000:.2f} h"
            f" to {leg['creditor']}"
            for leg in legs
        )
        say(f"{told}: signed by both, every position is zero")

    def _sign(self, group: str, leg_id: str, word: str) -> None:
        """Sign a leg as soon as the group's node has heard of it."""
        treasurer = self._federation.staff(self._federation.nodes[group])

        def is_here() -> bool:
            legs = treasurer.get("/api/v1/group/legs")["legs"]
            return any(leg["id"] == leg_id for leg in legs)

        wait_for(is_here, f"{group} to hear of its leg", 20)
        told = {"reason": "from the demo"}
        path = f"/api/v1/group/legs/{leg_id}/{word}"
        expect(treasurer.ask("POST", path, told), 200)
