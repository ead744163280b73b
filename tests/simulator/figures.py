"""What many seeds amount to: counted here, printed by runs and by every test run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulator.agenda import DAY
from tests.simulator.swarm import Result

_YEAR_MS = 365 * DAY
#: The name under which a test hands its seed's figures to the end of the run.
PROPERTY = "simulated"


@dataclass
class Figures:
    """Sums over seeds.

    Attributes:
        node_ms: how long all nodes of all seeds lived together, in simulated time.
        jumped_ms: the part of it that was jumped over, since nothing could change.
        cpu_s: what it took one core.
    """

    seeds: int = 0
    events: int = 0
    inputs: int = 0
    looks: int = 0
    node_ms: int = 0
    jumped_ms: int = 0
    cpu_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count one seed."""
        self.seeds += 1
        self.events += result.events
        self.inputs += result.inputs
        self.looks += result.looks
        self.node_ms += result.node_ms
        self.jumped_ms += result.jumped_ms
        self.cpu_s += result.cpu_s
        self.faults += result.faults
        self.told += result.told

    def as_property(self) -> dict[str, Any]:
        """Give it in a shape that passes from one process to another."""
        return vars(self) | {"faults": dict(self.faults), "told": dict(self.told)}

    def add_property(self, given: dict[str, Any]) -> None:
        """Count what another process has counted."""
        for name, value in given.items():
            if isinstance(value, dict):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def lines(self, seconds: float | None = None) -> list[str]:
        """Tell it; with the time that has passed, when that is known."""
        passed = "" if seconds is None else f" in {seconds:,.0f} s"
        rate = self.events / max(self.cpu_s, 0.001)
        lines = [
            f"seeds       {self.seeds:>12,}  {passed}",
            f"node-years  {self.node_ms / _YEAR_MS:>12,.1f}   of them"
            f" {self.jumped_ms / _YEAR_MS:,.1f} jumped over, where all rested",
            f"events      {self.events:>12,}   {rate:,.0f} a second of one core",
            f"inputs      {self.inputs:>12,}   decided by clerks",
            f"commits     {self.looks:>12,}   each looked at by the checker",
            "orders      "
            + ", ".join(f"{n:,} {word}" for word, n in self.told.most_common()),
        ]
        for fault, times in self.faults.most_common():
            lines.append(f"fault       {times:>12,}   {fault}")
        return lines


def table(reports: Sequence[Any]) -> list[str]:
    """Tell what the seeds of a whole test run amount to; nothing without any."""
    figures = Figures()
    for report in reports:
        for name, given in getattr(report, "user_properties", ()):
            if name == PROPERTY and report.when == "call":
                figures.add_property(given)
    return figures.lines() if figures.seeds else []
