"""Words of the scenario language about cycles (``scenario``).

    admin           closes  cycle 1
    admin           settles cycle 1
    admin           settles cycle 1 without brussel  # which carries its own forward
    oostende        signs   paid      to mechelen
    mechelen        signs   received  from oostende
    admin           voids   oostende to mechelen     # calls off their leg
    somebody        alters  oostende                 # its newest posting, by hand
    somebody        mends   oostende
    oostende        checks  cycle 1                  # its treasurer has it looked at
    oostende        disputes cycle 1                 # wrongly: its program reads badly
    calendar        looks   weekly

A leg is meant by its parties: the newest of these.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from clearing.rules import CycleRefused
from nodes.rules import AnswerStatement, NotAnswered
from protocol.cycle import Figures
from tests.simulator.cycle_reckoning import FIGURES
from tests.simulator.servers import UNKNOWN

if TYPE_CHECKING:
    from tests.simulator.federation import Federation
    from tests.simulator.members import People
    from tests.simulator.world import World

#: Long enough for whoever decides alone; others answer later.
_MOMENT_MS = 50


class CycleWords:
    """What a story says of cycles, and may ask about them.

    Attributes:
        heard: what the regional admin or a treasurer was told last.
    """

    federation: "Federation"
    people: "People"
    world: "World"

    def __init__(self) -> None:
        self.heard = ""

    # Deeds.

    def _closes(self, _admin: str, *cycle: str) -> None:
        self.people.cycles.close(int(cycle[-1]), self._hear)
        self._wait()

    def _settles(self, _admin: str, _cycle: str, cycle: str, *but: str) -> None:
        self.people.cycles.settle(int(cycle), self._hear, but[1:])
        self._wait()

    def _voids(self, _admin: str, debtor: str, creditor: str) -> None:
        cycle = self._newest("hub", debtor, creditor)
        self.people.cycles.void(debtor, creditor, cycle, self._hear)
        self._wait()

    def _signs(self, group: str, word: Any, other: str) -> None:
        parties = (group, other) if word == "paid" else (other, group)
        cycle = self._newest(group, *parties) or self._newest(group, *parties[::-1])
        self.people.cycles.sign(group, word, other, cycle, self._hear)
        self._wait()

    def _checks(self, group: str, *cycle: str) -> None:
        self.people.cycles.check(group, int(cycle[-1]))
        self._wait()

    def _disputes(self, group: str, *cycle: str) -> None:
        number = int(cycle[-1])
        stated = self.statement(group, number)
        figures = Figures(**{name: stated[name] for name in FIGURES})
        wrong = msgspec.structs.replace(
            figures, opening=figures.opening + 1, closing=figures.closing + 1
        )
        answer = AnswerStatement(cycle=number, figures=wrong)
        self.federation.nodes[group].submit(answer, lambda _: None)
        self._wait()

    def _looks(self, _calendar: str, span: Any) -> None:
        self.people.cycles.look_at_calendar(span)
        self._wait()

    def _alters(self, _somebody: str, group: str) -> None:
        assert self.people.cycles.alter(group), "nothing was booked there yet"

    def _mends(self, _somebody: str, group: str) -> None:
        self.people.cycles.mend(group)

    def _hear(self, outcome: object) -> None:
        match outcome:
            case CycleRefused(code=code) | NotAnswered(code=code):
                self.heard = code.value
            case _:
                self.heard = "unknown" if outcome is UNKNOWN else "done"

    def _wait(self) -> None:
        self.world.run(self.world.now + _MOMENT_MS)

    def _newest(self, server: str, debtor: str, creditor: str) -> int:
        found = [leg["cycle"] for leg in self._legs(server, debtor, creditor)]
        return max(found, default=0)

    def _legs(self, server: str, debtor: str, creditor: str) -> list[dict[str, Any]]:
        federation = self.federation
        one = federation.hub if server == "hub" else federation.nodes[server]
        return [
            leg
            for leg in one.database.table("leg").values()
            if (leg["debtor"], leg["creditor"]) == (debtor, creditor)
        ]

    # Questions.

    def statement(self, group: str, cycle: int) -> dict[str, Any]:
        """Give what the hub states to a group, and what it said to that."""
        row = self.federation.hub.database.table("statement")[cycle, group]
        stated: dict[str, Any] = msgspec.json.decode(row["line"])
        return stated | {"state": row["state"], "difference": row["difference"]}

    def answers(self, cycle: int) -> dict[str, str]:
        """Give what each group has said to its statement, as the hub has it."""
        rows = self.federation.hub.database.table("statement").items()
        return {group: row["state"] for (one, group), row in rows if one == cycle}

    def leg(self, server: str, debtor: str, creditor: str) -> str:
        """Say how the newest leg of these stands at a server, with why it is void."""
        legs = self._legs(server, debtor, creditor)
        if not legs:
            return "none"
        return " ".join(filter(None, (legs[-1]["state"], legs[-1]["code"])))

    def legs(self, server: str = "hub") -> dict[tuple[str, str], int]:
        """Give milliseconds of all legs by their parties."""
        federation = self.federation
        one = federation.hub if server == "hub" else federation.nodes[server]
        rows = one.database.table("leg").values()
        return {(leg["debtor"], leg["creditor"]): leg["milliseconds"] for leg in rows}

    def positions(self) -> dict[str, int]:
        """Give where each group stands, zeros left out."""
        accounts = self.federation.hub.database.table("account")
        return {
            group: accounts[group]["balance"]
            for group in self.federation.nodes
            if accounts[group]["balance"]
        }

    def alarms(self, server: str) -> list[str]:
        """Give what a server has told its people about cycles."""
        federation = self.federation
        one = federation.hub if server == "hub" else federation.nodes[server]
        rows = one.database.table("alarm").values()
        return [told for _, about, told in rows if about == "cycle"]
