"""Words of the scenario language about what treasurers do on their own ledgers.

    oostende  books        marie -5 jan 5       # by hand; it becomes hand-1
    oostende  books        marie -5 jan 5 as hand-1     # again, under its key
    oostende  spreads      2 to all             # the fund gives it
    oostende  undoes       hand-1
    oostende  undoes       marie:key-1          # a payment of hers
    oostende  shuts        marie                # or: marie to the fund
    oostende  reopens      marie
    oostende  bounds       marie -5 .. same     # or: none
    oostende  bounds_many  marie -5 .. 5 jan none .. same
    oostende  admits       carl -5 .. 5
    oostende  repeats      hand-1

Some of these at one moment, in one batch where the clerk is slow:

    oostende  at_once      undoes hand-1 / undoes hand-1 / shuts jan
"""

from collections.abc import Callable

from tests.simulator import ledger_people
from tests.simulator.ledger_people import LEDGER_DEEDS, Errand
from tests.simulator.scenario import NOISE, Story

_MOMENT_MS = 50


class LedgerStory(Story):
    """A story in which treasurers book, undo and shut."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        verb = name.removeprefix("_")
        if verb not in LEDGER_DEEDS:
            raise AttributeError(name)

        def deed(group: str, *words: str) -> None:
            self._play(group, verb, list(words))
            self.world.run(self.world.now + _MOMENT_MS)

        return deed

    def _at_once(self, group: str, *words: str) -> None:
        """Do several things before the node has looked at the first."""
        deeds: list[list[str]] = [[]]
        for word in words:
            if word == "/":
                deeds.append([])
            else:
                deeds[-1].append(word)
        for verb, *rest in deeds:
            self._play(group, verb, rest)
        self.world.run(self.world.now + _MOMENT_MS)

    def _play(self, group: str, verb: str, words: list[str]) -> None:
        said = [word for word in words if word not in NOISE]
        ledger_people.play_deed(self.people.ledgers, group, verb, said)

    # Questions.

    def errand(self, number: int = -1) -> Errand:
        """Give a treasurer's errand by its number from 1; -1 is the newest."""
        return self.people.ledgers.errands[number - 1 if number > 0 else number]

    def office_told(self) -> list[str]:
        """Give what treasurers were told, oldest first."""
        return [
            f"{one.told} {one.code}" if one.told == "refused" else one.told
            for one in self.people.ledgers.errands
        ]

    def balance(self, address: str) -> int:
        """Give a balance as it stands now, also of the fund."""
        name, _, group = address.partition("@")
        row = self.federation.nodes[group].database.table("account")[name]
        return int(row["balance"])
