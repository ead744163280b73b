"""Which durable steps were killed, and where: the table that a test run ends with."""

import pytest

from protocol.steps import Step

BEFORE_AND_AFTER = pytest.mark.parametrize("when", ["before", "after"])
#: Where nobody's units move, an ordinary run dies only after: what was kept and not
#: answered is the harder half. The simulator has both, thousands of times.
AFTER = pytest.mark.parametrize(
    "when", [pytest.param("before", marks=pytest.mark.slow), "after"]
)
#: Whose process died; what a command line does is a process of its own.
PLACES = ("payer's node", "hub", "payee's node", "group's node", "command")

done: set[tuple[Step, str, str]] = set()


def note(step: Step, when: str, place: str) -> None:
    """Note a kill that was seen to happen."""
    assert place in PLACES
    done.add((step, when, place))


def table() -> list[str]:
    """Write one line a step, one column a place."""
    lines = [f"{'step':20}" + "".join(f"{place:18}" for place in PLACES)]
    for step in Step:
        cells = [
            " ".join(
                when for when in ("before", "after") if (step, when, place) in done
            )
            for place in PLACES
        ]
        if any(cells):
            lines.append(f"{step:20}" + "".join(f"{cell or '-':18}" for cell in cells))
        else:
            lines.append(f"{step:20}not killed in this run")
    lines.append(f"{len(done)} kills seen, each by SIGKILL at its step")
    return [line.rstrip() for line in lines]
