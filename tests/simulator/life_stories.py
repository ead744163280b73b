"""Words of the scenario language about groups that leave, and what is shared.

    oostende        wishes    to leave
    admin           begins    oostende to leave     # she has it leave
    admin           stays     oostende              # it stays after all
    admin           declares  oostende left -6      # with minutes that she has seen
    groups          agree     on equal parts        # or: on size, on turnover
    groups          charge    2 percent beyond 0    # of their limit
    admin           tells     oostende by equal parts
    admin           shares    oostende
    ann             asks_for  oostende left -6      # where two must agree
    bea             grants    1
    ann             drops     1                     # what she asked

Groups that agree on other rules have the hub start anew.
"""

from collections.abc import Callable

from clearing.rules import DeclareLeft, NotConsented, NotDecided, NotShared
from nodes.rules import NotWished
from protocol.address import Group
from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.cycle_watch import Row
from tests.simulator.scenario import Story
from tests.simulator.servers import UNKNOWN

#: Long enough for whoever decides alone.
_MOMENT_MS = 50
_PERCENT = 10_000


class LifeStory(Story):
    """A story in which groups leave and share."""

    def __init__(
        self, seed: int = 1, record: Callable[[str], Callable[..., None]] | None = None
    ) -> None:
        super().__init__(seed, record)
        self._rules = "none", 0, 0

    # Deeds.

    def _wishes(self, group: str, *_leave: str) -> None:
        self.people.lives.wish(group, self._listen)
        self._moment()

    def _begins(self, _admin: str, group: str, *_leave: str) -> None:
        self.people.lives.begin(group, self._listen)
        self._moment()

    def _stays(self, _admin: str, group: str) -> None:
        self.people.lives.stay(group, self._listen)
        self._moment()

    def _declares(self, _admin: str, group: str, _left: str, minutes: str) -> None:
        self.people.lives.declare(group, int(minutes) * MINUTE, self._listen)
        self._moment()

    def _agree(self, _groups: str, _on: str, rule: str, *_parts: str) -> None:
        self._rules = rule, *self._rules[1:]
        self._start_anew()

    def _charge(self, _all: str, rate: str, _of: str, _beyond: str, part: str) -> None:
        self._rules = self._rules[0], int(rate) * _PERCENT, int(part) * _PERCENT
        self._start_anew()

    def _start_anew(self) -> None:
        self.people.lives.agree(*self._rules)
        self.world.run(self.world.now + 10 * SECOND)

    def _tells(self, _admin: str, group: str, _by: str, rule: str, *_: str) -> None:
        self.people.lives.tell(group, rule, self._listen)
        self._moment()

    def _shares(self, _admin: str, group: str) -> None:
        self.people.lives.share(group, self._listen)
        self._moment()

    def _asks_for(self, admin: str, group: str, _left: str, minutes: str) -> None:
        position = int(minutes) * MINUTE
        act = DeclareLeft(Group(group), position)
        words = f"left {group} {position}"
        self.people.lives.request(admin, words, act, self._listen)
        self._moment()

    def _grants(self, admin: str, number: str) -> None:
        self.people.lives.consent(admin, int(number), self._listen)
        self._moment()

    def _drops(self, admin: str, number: str) -> None:
        self.people.lives.withdraw(admin, int(number), self._listen)
        self._moment()

    def _listen(self, outcome: object) -> None:
        match outcome:
            case (
                NotDecided(code=code)
                | NotConsented(code=code)
                | NotShared(code=code)
                | NotWished(code=code)
            ):
                self.heard = code.value
            case _:
                self.heard = "unknown" if outcome is UNKNOWN else "done"

    def _moment(self) -> None:
        self.world.run(self.world.now + _MOMENT_MS)

    # Questions.

    def state(self, group: str, at: str = "hub") -> str:
        """Give a group's state as a server's directory has it."""
        state: str = self._server(at).house.directory[Group(group)].state
        return state

    def minutes(self) -> dict[str, float]:
        """Give where groups stand, and the reserve, in minutes; zeros left out."""
        rows = self.federation.hub.database.table("account").values()
        return {
            row["account_id"]: row["balance"] / MINUTE for row in rows if row["balance"]
        }

    def part(self, group: str) -> tuple[float, bool]:
        """Give a group's newest part in minutes, and whether it is booked."""
        rows = list(self._server(group).database.table("shared").values())
        row: Row = rows[-1]
        return row["amount"] / MINUTE, row["log"] is not None

    def parts(self, group: str) -> int:
        """Say of how many sharings a group knows."""
        return len(self._server(group).database.table("shared"))


#: In so much time all that hangs on no payment of three days has ended.
SOON = 5 * MINUTE
assert SOON < HOUR
