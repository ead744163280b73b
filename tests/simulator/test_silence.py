"""A jump over silence leaves what living through it leaves.

Each silence is passed twice from the same state: once jumped over, once poll by poll
and try by try. Nothing in any database may differ, nor what a clerk knows, nor how a
courier stands; only when a server last dated or read a cover.
"""

from typing import Any

import pytest

from tests.simulator.agenda import DAY
from tests.simulator.scenario import Story
from tests.simulator.servers import Server

_SILENCES = {
    "all have ended": """
        marie@oostende  pays   bob@mechelen  2 blussers
        clock           +1 h
    """,
    "a group sleeps": """
        marie@oostende  pays   bob@mechelen  2 blussers
        mechelen        sleeps
        marie@oostende  pays   bob@mechelen  1 blusser  when reachable
        an@brussel      pays   bob@mechelen  1 zinneke
        clock           +4 d
    """,
    "the hub sleeps": """
        hub             sleeps
        marie@oostende  pays   bob@mechelen  1 blusser  when reachable
        clock           +2 d
    """,
    "a clock is a day off": """
        mechelen        clock  +1 d
        marie@oostende  pays   bob@mechelen  1 blusser  when reachable
        bob@mechelen    pays   an@brussel    1 zinneke  when reachable
        clock           +4 d
    """,
    "a group hears nothing": """
        marie@oostende  pays   bob@mechelen  2 blussers
        mechelen        hears  nothing
        an@brussel      pays   bob@mechelen  1 zinneke
        clock           +2 d
    """,
    "a hub that was put back waits for a group": """
        marie@oostende  pays   bob@mechelen  2 blussers
        clock           +1 min
        hub             backs  up
        mechelen        sleeps
        hub             restores
        clock           +2 d
    """,
    "a link is frozen": """
        hub             backs  up
        marie@oostende  pays   bob@mechelen  2 blussers
        clock           +1 min
        hub             restores  unnoticed
        bob@mechelen    pays   an@brussel    1 zinneke  when reachable
        clock           +2 d
    """,
}


def _known(server: Server) -> Any:
    """Give all that a server has and knows, without the times of covers."""
    tables = {name: dict(table) for name, table in server.database.tables.items()}
    del tables["cover limit"]
    if server.clerk is None:
        return tables
    links = {
        peer: {name: getattr(link, name) for name in link.__struct_fields__}
        for peer, link in server.clerk.links.items()
    }
    for link in links.values():
        link["peer_at"] = link["peer_at"] is not None
    outbound = {peer: list(kept) for peer, kept in server.clerk._outbound.items()}
    return tables, links, outbound, server.clerk._numbered, server.clerk.life


class _Passed:
    """A story after forty silent days."""

    def __init__(self, told: str, *, is_jumped: bool) -> None:
        story = Story().play(told)
        world = story.world
        events, jumped_ms = world.events, world.jumped_ms
        (world.pass_silence if is_jumped else world.run)(world.now + 40 * DAY)
        self.events = world.events - events
        self.jumped_ms = world.jumped_ms - jumped_ms
        nodes = story.federation.nodes.values()
        self.left = (
            world.now,
            {one.name: _known(one) for one in story.federation.servers},
            [node.is_reachable() for node in nodes],
        )


@pytest.mark.parametrize("silence", _SILENCES)
def test_a_jump_over_silence_leaves_what_living_through_it_leaves(silence: str) -> None:
    jumped = _Passed(_SILENCES[silence], is_jumped=True)
    lived = _Passed(_SILENCES[silence], is_jumped=False)
    assert jumped.left == lived.left
    assert jumped.jumped_ms > 30 * DAY and not lived.jumped_ms
    assert jumped.events < lived.events / 3


def test_where_something_is_planned_nobody_jumps_over_it() -> None:
    story = Story()
    happened: list[int] = []
    begin = story.world.now
    for days in (3, 17, 18):
        story.world.later(days * DAY, lambda: happened.append(story.world.now - begin))
    story.world.pass_silence(begin + 30 * DAY)
    assert happened == [3 * DAY, 17 * DAY, 18 * DAY]


def test_who_still_has_something_to_do_lets_nobody_jump() -> None:
    story = Story().play("""
        oostende        speaks  into the void
        clock           +1 min
        oostende        reconnects
        marie@oostende  pays    bob@mechelen  1 blusser  when reachable
    """)
    assert not story.federation.rests()
