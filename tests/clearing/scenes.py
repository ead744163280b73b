"""Hubs as a regional admin may find them, to look at their pages.

What is to be seen is written straight into tables and the clerk's memory: on such a
hub nothing is decided afterwards, and its ledger would pass no audit.
"""

import random

import msgspec

from clearing.house import HubHouse
from clearing.rules import Freeze, Proposal
from protocol.address import Group
from protocol.ledger import TIME_UNIT
from protocol.link import Trouble
from protocol.messages import EntryRate, EntryUnit
from protocol.unit import HOUR
from tests.clearing.browsing import Desk
from tests.peer.federation import Server, admit, order
from tests.peer.makers import UNITS, entry_of, signed
from tests.protocol.makers import OOSTENDE, hash_of

_PLACES = (
    *("aalst", "antwerpen", "bastogne", "bree", "brussel", "charleroi", "dendermonde"),
    *("diest", "eeklo", "eupen", "geel", "gent", "hasselt", "herentals", "ieper"),
    *(
        "kortrijk",
        "leuven",
        "lier",
        "mol",
        "louvain-la-neuve",
        "malmedy",
        "namur",
        "ninove",
    ),
    *("roeselare", "ronse", "spa", "tienen", "tongeren", "tournai", "turnhout"),
    *("verviers", "veurne", "vilvoorde", "waregem", "waver", "wetteren", "zottegem"),
)
_LONG_NAME = "sint-katelijne-waver-en-omgeving"
_TEXTS = {
    "directory": "directory: entry of gent differs from what gent has signed",
    "quota": "gent: 2000 of what it sent was refused in this hour",
}


async def crowd(desk: Desk, groups: int = 40) -> list[str]:
    """Make a hub of so many groups, on which everything is to be seen at once."""
    hub = desk.federated.hub
    first = order("the first")
    await desk.federated.nodes[OOSTENDE].clerk.take(first)
    await desk.federated.quiet()
    names = [*UNITS, _LONG_NAME, *_PLACES][:groups]
    for name in names[2:]:
        unit = EntryUnit("uur", "uren", "u", 0)
        entry = entry_of(Group(name), 3_600_000, unit=unit, name=_title(name))
        await admit(hub, Group(name), entry)
    await _set_positions(hub, names)
    await _let_trade(hub, names, first.transfer_id)
    await hub.clerk.take(Freeze(Group(names[12])))
    await _ask_for_changes(desk, names[14:16])
    _hear_of(hub)
    # One is heard, and yet does not take what was sealed for it this morning.
    await hub.change(
        "INSERT INTO envelope SELECT copied.* FROM envelope AS one,"
        " jsonb_populate_record(one, jsonb_build_object("
        f"'peer', '{names[20]}', 'first', 1, 'count', 2,"
        " 'at', now() - interval '3 hours')) AS copied"
        " WHERE one.peer = 'oostende' AND one.direction = 'out' AND one.first = 1"
    )
    for about, told in _TEXTS.items():
        await hub.change(
            "INSERT INTO alarm (at, about, told)"
            f" VALUES (now() - interval '1 day', '{about}', '{told}')"
        )
    await hub.change(
        "INSERT INTO invitation (code_hash, group_name, floor, ceiling, until)"
        f" VALUES ('x', 'middelburg', {-100 * HOUR}, {250 * HOUR},"
        " now() + interval '6 days')"
    )
    return names


def _title(name: str) -> str:
    title = f"LETS {name.title()}"
    return f"{title} tot aan de Dijle en de Nete" if name == _LONG_NAME else title


async def _set_positions(hub: Server, names: list[str]) -> None:
    """Spread positions between limits; the last one makes the sum zero."""
    draw, together = random.Random(40), 0
    for place, name in enumerate(names):
        limit = draw.choice([20, 100, 250, 1000]) * HOUR
        share = draw.choice([-95, -60, -30, -5, 0, 2, 20, 40, 70, 90])
        balance = limit * share // 100 if place < len(names) - 1 else -together
        together += balance
        await hub.change(
            f"UPDATE account SET balance = {balance}, floor = {-limit},"
            f" ceiling = {limit} WHERE account_id = '{name}'"
            f" AND unit = '{TIME_UNIT}'"
        )


async def _ask_for_changes(desk: Desk, names: list[str]) -> None:
    """Let groups wish for another unit and name: the regional admin has to decide."""
    house = desk.federated.hub.house
    assert isinstance(house, HubHouse)
    for number, name in enumerate(names, start=5):
        before = house.directory[Group(name)].entry
        entry = msgspec.structs.replace(
            before,
            version=before.version + 1,
            name=f"{before.name}, <b>SEL</b>",
            unit=EntryUnit("noot", "noten", "n", 0),
            rates=[*before.rates, EntryRate(2, 180_000)],
        )
        house.proposals[Group(name)] = Proposal(
            group=Group(name),
            number=number,
            line_hash=hash_of(name),
            entry=entry,
            signed=signed(entry),
            at=desk.federated.hub.clock.now(),
        )


async def _let_trade(hub: Server, names: list[str], first: str) -> None:
    """Copy a transfer, for each as if it were between other groups, at other times."""
    draw, copies = random.Random(7), list[str]()
    for payer in names[: len(names) * 3 // 4]:
        for payee in draw.sample(names, min(len(names), 6)):
            is_cleared = draw.random() < 0.9
            length = draw.choice([3, 20, 45, 90, 600, 6000]) * 60_000
            age = draw.choice(["10 seconds", "5 minutes", "3 hours", "2 days"])
            if payee != payer:
                copies.append(_COPY.format_map(locals()))
    await hub.change("".join(copies))


#: What is not named here stays as the first transfer has it.
_COPY = """
INSERT INTO transfer
SELECT copied.*
  FROM transfer AS one,
       jsonb_populate_record(one, jsonb_build_object(
           'transfer_id', gen_random_uuid(),
           'payer_group', '{payer}',
           'payee_group', '{payee}',
           'milliseconds', {length},
           'taken_at', now() - interval '{age}',
           'state', CASE WHEN {is_cleared} THEN 'cleared' ELSE 'offered' END,
           'decided_at', CASE WHEN {is_cleared} THEN now() - interval '{age}' END,
           'decide_by', now() + interval '3 days')) AS copied
 WHERE one.transfer_id = '{first}';
"""


def _hear_of(hub: Server) -> None:
    """Let all links be well but three: silent, behind, and with two histories."""
    clerk = hub.clerk
    now = hub.clock.now()
    for place, (peer, link) in enumerate(clerk.links.items()):
        well = msgspec.structs.replace(
            link, is_named=True, has_given=True, peer_at=now, declared=link.taken
        )
        if place == 5:
            well = msgspec.structs.replace(well, trouble=Trouble.FORK)
        elif place == 7:
            well = msgspec.structs.replace(well, trouble=Trouble.PEER_IS_BEHIND)
        elif place == 9:
            well = msgspec.structs.replace(well, peer_at=now - 3_600_000)
        clerk.links[peer] = well
