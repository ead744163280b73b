"""Hubs as a regional admin may find them, to look at their pages.

What is to be seen is written straight into tables and the clerk's memory: on such a
hub nothing is decided afterwards, and its ledger would pass no audit.
"""

import random
import uuid
from types import SimpleNamespace
from typing import Any

import msgspec

from clearing.house import HubHouse
from clearing.rules import (
    Agreed,
    Freeze,
    Leg,
    Proposal,
    SetCap,
    SetWarning,
)
from protocol.address import Group
from protocol.cycle import LATE_MS
from protocol.effects import SaveTransfer
from protocol.instant import Instant
from protocol.ledger import TIME_UNIT
from protocol.link import Trouble
from protocol.messages import EntryRate, EntryUnit
from protocol.peer import transfer_store
from protocol.sharing import ChargeRule, SharingRule
from protocol.transfer import Role, State, Transfer
from protocol.unit import HOUR
from tests.clearing.browsing import Desk
from tests.peer.federation import Server, admit
from tests.peer.makers import entry_of, signed
from tests.protocol.makers import hash_of

_PLACES = (
    "aalst antwerpen bastogne bree brussel charleroi dendermonde diest eeklo eupen geel"
    " gent hasselt herentals ieper kortrijk leuven lier louvain-la-neuve malmedy mol"
    " namur ninove roeselare ronse spa tienen tongeren tournai turnhout verviers veurne"
    " vilvoorde waregem waver wetteren zottegem"
)
_LONG_NAME = "sint-katelijne-waver-en-omgeving"
_TEXTS = {
    "directory": "directory: entry of gent differs from what gent has signed",
    "quota": "gent: 2000 of what it sent was refused in this hour",
}


async def crowd(desk: Desk, groups: int = 40) -> list[str]:
    """Let so many groups join an empty hub, and everything be seen at once."""
    hub = desk.federated.hub
    names = ["mechelen", "oostende", _LONG_NAME, *_PLACES.split()][:groups]
    for name in names:
        unit = EntryUnit("uur", "uren", "u", 0)
        entry = entry_of(Group(name), 3_600_000, unit=unit, name=_title(name))
        await admit(hub, Group(name), entry)
    await _set_positions(hub, names)
    await _let_trade(hub, names)
    await hub.clerk.take(Freeze(Group(names[12])))
    await _ask_for_changes(desk, names[14:16])
    _hear_of(hub)
    await _agree_on_limits(desk, names)
    await _let_lag(hub, names[20])
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


async def _let_trade(hub: Server, names: list[str]) -> None:
    """Write transfers of the last weeks, some of them not decided yet."""
    draw, now, found = random.Random(7), hub.clock.now(), dict[str, Transfer]()
    for payer in names[: len(names) * 3 // 4]:
        for payee in draw.sample(names, min(len(names), 6)):
            is_cleared = draw.random() < 0.9
            milliseconds = draw.choice([3, 20, 45, 90, 600, 6000]) * 60_000
            at = Instant(now - draw.choice([10, 300, 10_800, 172_800]) * 1000)
            transfer = Transfer(
                transfer_id=str(uuid.UUID(int=draw.getrandbits(128))),
                role=Role.HUB,
                state=State.CLEARED if is_cleared else State.OFFERED,
                payer_group=payer,
                payee_group=payee,
                milliseconds=milliseconds,
                payer_rate=1,
                payee_rate=1,
                decide_by=Instant(now + 259_200_000),
                prepare="",
                content="",
                taken_at=at,
                decided_at=at if is_cleared else None,
            )
            if payee != payer:
                found[transfer.transfer_id] = transfer
    view: Any = SimpleNamespace(transfers=found)
    effects = [SaveTransfer(one) for one in found.values()]
    async with hub.database.desk.acquire() as connection:
        await transfer_store.write(connection, view, effects)


async def _let_lag(hub: Server, name: str) -> None:
    """Let what is sealed for a group be some hours old: it has not taken it."""
    turn = "ALTER TABLE envelope {} TRIGGER USER"
    await hub.change(
        f"{turn.format('DISABLE')};"
        " UPDATE envelope SET at = now() - interval '3 hours'"
        f" WHERE peer = '{name}' AND direction = 'out'; {turn.format('ENABLE')}"
    )


async def _agree_on_limits(desk: Desk, names: list[str]) -> None:
    """Let some pairs have a cap, a leg wait too long, and rules be agreed on."""
    hub = desk.federated.hub
    house = hub.house
    assert isinstance(house, HubHouse)
    why = {"author": "@admin", "reason": "agreed at the spring meeting of all groups"}
    for place in range(3):
        payer, payee = Group(names[place]), Group(names[place + 1])
        most = (place + 1) * 7 * HOUR // 2
        await hub.clerk.take(SetCap(payer=payer, payee=payee, milliseconds=most, **why))
    await hub.clerk.take(SetWarning(percent=75, **why))
    house.agreed = Agreed(SharingRule.SIZE, ChargeRule(rate=20_000, threshold=500_000))
    leg = Leg(
        leg_id=str(uuid.UUID(int=14)),
        cycle=1,
        place=0,
        at=Instant(hub.clock.now() - LATE_MS - HOUR),
        debtor=names[2],
        creditor=names[14],
        milliseconds=5 * HOUR,
    )
    house.legs[leg.leg_id] = leg


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
