"""Rounds in which more wanted the last units than there were: a run's last table."""

from typing import NamedTuple

PLACES = ("payer's node", "hub", "payee's node")


class Round(NamedTuple):
    """One limit, reached by many at once while somebody was killed."""

    limit: str
    places: tuple[str, ...]
    wanted: int
    cleared: int
    lost: int


done: list[Round] = []


def note(one: Round) -> None:
    """Note a round that went as it must: as many cleared as there was room for."""
    assert one.places and set(one.places) <= set(PLACES)
    done.append(one)


def table() -> list[str]:
    """Write one line a limit: how often who was killed, and what became of all."""
    names = (*PLACES, "rounds", "orders", "cleared", "refused", "answers lost")
    lines = [f"{'limit':26}" + "".join(f"{name:>14}" for name in names)]
    for limit in (*sorted({one.limit for one in done}), "all"):
        rounds = [one for one in done if limit in (one.limit, "all")]
        wanted, cleared = (
            sum(one.wanted for one in rounds),
            sum(one.cleared for one in rounds),
        )
        cells = [
            *(sum(place in one.places for one in rounds) for place in PLACES),
            *(len(rounds), wanted, cleared, wanted - cleared),
            sum(one.lost for one in rounds),
        ]
        lines.append(f"{limit:26}" + "".join(f"{cell:14}" for cell in cells))
    lines.append(
        f"{len(done)} rounds, in none of them one more than there was room for"
    )
    return lines
