"""The simulator and real processes do the same with the same story.

Each story is played twice: in memory by ``tests.simulator``, and by a hub and three
nodes as processes, on PostgreSQL, over HTTP. What every member was told, how each
payment ended and why, what was booked on each account and how the groups stand must
be equal. What differs, one of the two has wrong.
"""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.federation.conftest import Databases
from tests.federation.lossy_line import LossyLine
from tests.federation.real_story import RealStory
from tests.federation.world import Federation, Group
from tests.simulator.quick_keys import quick_keys
from tests.simulator.scenario import Story

_WIDE = (-1000, 1000)
#: As the simulator's stories have them: blussers of 3 minutes, ketjes of 1, and
#: zinnekes of seven an hour.
_GROUPS = (
    Group("oostende", "blusser", 20, -1000, 1000, {"marie": _WIDE, "jan": _WIDE}),
    Group("mechelen", "ketje", 60, -1000, 1000, {"bob": _WIDE}),
    Group("brussel", "zinneke", 7, -1000, 1000, {"an": _WIDE}),
)

STORIES = {
    "both pay each other": """
        marie@oostende  pays   bob@mechelen    2 blussers
        bob@mechelen    pays   jan@oostende    1 blusser
        an@brussel      pays   bob@mechelen    9 ketjes
        clock           +10 s
    """,
    "a decision is lost": """
        marie@oostende  pays   bob@mechelen  2 blussers
        hub             loses  decision      to oostende
        marie@oostende  pays   bob@mechelen  1 blusser
        clock           +90 s
    """,
    "a refund, and one that is too large": """
        marie@oostende  pays   bob@mechelen  2 blussers
        clock           +5 s
        bob@mechelen    gives  back  1 blusser
        clock           +5 s
        bob@mechelen    gives  back  2 blussers
        clock           +5 s
    """,
    "a cancelled payment": """
        mechelen        sleeps
        marie@oostende  pays     bob@mechelen  2 blussers  when reachable
        clock           +1 min
        marie@oostende  cancels
        clock           +1 min
        mechelen        wakes
        clock           +1 min
    """,
    "a frozen group": """
        admin           freezes  mechelen
        clock           +1 s
        marie@oostende  pays     bob@mechelen  2 blussers
        clock           +1 s
        admin           releases  mechelen
        clock           +1 s
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +5 s
    """,
    "floors and ceilings": """
        treasurer       limits  marie@oostende  -2 .. 100
        treasurer       limits  bob@mechelen    -100 .. 8
        marie@oostende  pays    bob@mechelen    2 blussers
        clock           +5 s
        marie@oostende  pays    jan@oostende    1 blusser
        jan@oostende    pays    bob@mechelen    1 blusser
        clock           +5 s
        jan@oostende    pays    bob@mechelen    2 ketjes
        clock           +5 s
    """,
    "power fails, and she asks again": """
        oostende        crashes  after order
        marie@oostende  pays     bob@mechelen  2 blussers  when reachable
        clock           +10 s
        marie@oostende  asks     again
        clock           +1 min
    """,
    "the hub loses power as it clears": """
        hub             crashes  before accept
        marie@oostende  pays     bob@mechelen  2 blussers  when reachable
        clock           +1 min
    """,
}
MORE_STORIES = {
    "inside a group, without a hub": """
        hub             sleeps
        marie@oostende  pays  jan@oostende  5 blussers
        clock           +1 s
    """,
    "a group sleeps, is paid, and wakes": """
        mechelen        sleeps
        marie@oostende  pays  bob@mechelen  2 blussers  when reachable
        clock           +1 h
        hub             crashes
        clock           +1 h
        mechelen        wakes
        clock           +2 min
    """,
    "what does not divide": """
        an@brussel      pays   bob@mechelen  1 ketje
        marie@oostende  pays   an@brussel    3 blussers
        clock           +5 s
    """,
    "a cancel that comes too late": """
        hub             loses    decision  to oostende
        marie@oostende  pays     bob@mechelen  2 blussers
        clock           +10 s
        marie@oostende  cancels
        clock           +2 min
    """,
    "frozen since, and posted all the same": """
        hub             loses     decision  to mechelen
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +1 s
        treasurer       freezes   bob@mechelen
        clock           +2 min
        marie@oostende  pays      bob@mechelen  1 blusser
        clock           +1 min
    """,
    "everybody crashes": """
        marie@oostende  pays   bob@mechelen  2 blussers  when reachable
        clock           +20 ms
        hub             crashes
        oostende        crashes
        mechelen        crashes
        clock           +5 min
    """,
    "a line that is dead in one direction": """
        oostende        hears       nothing
        marie@oostende  pays        bob@mechelen  2 blussers  when reachable
        clock           +1 min
        oostende        reconnects
        clock           +2 min
        mechelen        speaks      into the void
        marie@oostende  pays        bob@mechelen  1 blusser   when reachable
        clock           +1 min
        mechelen        reconnects
        clock           +2 min
    """,
}


@pytest.fixture(scope="module")
def real(postgres_server: str) -> Iterator[tuple[Federation, LossyLine]]:
    """A federation of its own: its nodes reach the hub by a line that loses things."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interlets-simulated-"))
    databases = Databases(postgres_server, folder)
    (folder / "servers").mkdir()
    federation = Federation(folder / "servers", databases)
    with LossyLine(federation.hub.port) as line:
        config = federation.hub.config
        own = f"http://127.0.0.1:{federation.hub.port}"
        config.write_text(
            config.read_text().replace(
                f'public_url = "{own}"', f'public_url = "{line.url}"'
            )
        )
        try:
            federation.found(_GROUPS)
            yield federation, line
        finally:
            federation.close()
            databases.drop()
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)


def _simulate(text: str) -> tuple[object, ...]:
    """Play it in memory: outcomes, what was booked, how the groups moved."""
    with quick_keys():
        story = Story().play(text)
        story.rest()
    nodes = story.federation.nodes
    outcomes = []
    for wish in story.people.wishes:
        row = nodes[wish.group].database.table("transfer").get(wish.transfer_id)
        ended = (row["state"], row["code"] or "") if row else ("", "")
        payer = f"{wish.member}@{wish.group}"
        outcomes.append((payer, wish.told, wish.code, *ended))
    booked = {
        f"{name}@{group}": sorted(amount for amount, _ in postings.values())
        for group, node in nodes.items()
        for name in node.home.members
        for postings in [node.database.table(("posting", name))]
        if postings
    }
    accounts = story.federation.hub.database.table("account")
    return outcomes, booked, {name: accounts[name]["balance"] for name in nodes}


def _play(text: str, real: tuple[Federation, LossyLine]) -> tuple[object, ...]:
    story = RealStory(*real)
    try:
        story.play(text)
    finally:
        story.rest()
    return story.outcomes(), story.entries(), story.positions()


@pytest.mark.parametrize("name", STORIES)
def test_a_story_ends_alike(name: str, real: tuple[Federation, LossyLine]) -> None:
    assert _play(STORIES[name], real) == _simulate(STORIES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_STORIES)
def test_more_stories_end_alike(name: str, real: tuple[Federation, LossyLine]) -> None:
    assert _play(MORE_STORIES[name], real) == _simulate(MORE_STORIES[name])
