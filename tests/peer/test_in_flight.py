"""What changes while payments are under way binds only what is not yet held.

Four payments stand at four places when an account is frozen, limited or a group
stopped: one only ordered, one offered, one accepted, one decided and not yet told.
Limits are checked when a hold is placed, never when it posts.
"""

from collections.abc import Awaitable, Callable

import pytest

from protocol import envelope
from protocol.address import HUB, Group
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.link import Taking
from protocol.messages import ItemRefused, read_item, write_line
from protocol.peer.batch import Arrival, Stale
from protocol.transfer import State
from tests.peer.federation import Federation, NewDatabase, Server, federation, order
from tests.peer.makers import in_state
from tests.peer.test_hostile import asked, send_to_hub
from tests.protocol.makers import FEDERATION, ID, MECHELEN, OOSTENDE, prepare

#: Where the four payments stand, by key; each has passed the places after its own.
PLACES = ("decided", "accepted", "offered", "ordered")
Change = Callable[[Federation], Awaitable[None]]


async def hear(server: Server, sender: Group, raw: bytes) -> None:
    """Let a server take what another one said."""
    house = server.clerk.house
    body = envelope.open_body(raw, house.keyring, FEDERATION, house.own)
    assert not isinstance(await server.clerk.take(Arrival(sender, body)), Stale)


async def to_hub(
    federated: Federation, group: Group, *, is_only_thanks: bool = False
) -> None:
    """Carry what a node has to say, or only its cover, and not yet the answer."""
    clerk = federated.nodes[group].clerk
    await clerk.may_speak(HUB)
    raw = clerk.speak(HUB)
    if is_only_thanks:
        raw = raw.split(b"\n", 1)[0] + b"\n"
    await hear(federated.hub, group, raw)


async def to_node(federated: Federation, group: Group) -> None:
    """Carry what the hub has to say to a node."""
    await federated.hub.clerk.may_speak(group)
    await hear(federated.nodes[group], HUB, federated.hub.clerk.speak(group))


async def stand_everywhere(federated: Federation) -> None:
    """Bring a payment to each of the four places.

    A server seals what is new once all before is acknowledged, so that each wait of
    one payment keeps the next one where it is.
    """
    payer = federated.nodes[OOSTENDE]
    for key in ("decided", "accepted"):
        await payer.clerk.take(order(key))
        await to_hub(federated, OOSTENDE)
        await to_node(federated, MECHELEN)
        await to_node(federated, OOSTENDE)
        await to_hub(federated, MECHELEN, is_only_thanks=True)
    await payer.clerk.take(order("offered"))
    await to_hub(federated, OOSTENDE)
    await payer.clerk.take(order("ordered"))
    # Only now the hub hears of the first accept: it decides, and has told nobody.
    await to_hub(federated, MECHELEN)


async def states(server: Server) -> list[State | None]:
    found = [await server.transfer(order(key).transfer_id) for key in PLACES]
    return [one.state if one else None for one in found]


def on_account(group: Group, changes: str) -> Change:
    """A treasurer's or regional admin's word about an account."""

    async def change(federated: Federation) -> None:
        node = federated.nodes.get(group, federated.hub)
        await node.change(f"UPDATE account SET {changes}")

    return change


def on_group(group: Group) -> Change:
    """The regional admin freezes a group."""

    async def change(federated: Federation) -> None:
        house = federated.hub.clerk.house
        house.directory = in_state(house.directory, group, "frozen")  # type: ignore[attr-defined]

    return change


def marie(changes: str) -> Change:
    return on_account(OOSTENDE, f"{changes} WHERE account_id = 'marie'")


def bob(changes: str) -> Change:
    return on_account(MECHELEN, f"{changes} WHERE account_id = 'bob'")


@pytest.mark.parametrize(
    ("change", "refused", "code"),
    [
        # Whoever has ordered has held: her own limits bind her next order only.
        (marie("frozen = true"), 0, None),
        (marie("floor = 0"), 0, None),
        (bob("frozen = true"), 2, RefusalCode.PAYEE_CANNOT_RECEIVE),
        (bob("ceiling = 0"), 2, RefusalCode.PAYEE_CANNOT_RECEIVE),
        # Of 12 ketjes 6 are held: there is room for one payment of 3 more.
        (bob("ceiling = 9"), 1, RefusalCode.PAYEE_CANNOT_RECEIVE),
        (bob("ceiling = 8"), 2, RefusalCode.PAYEE_CANNOT_RECEIVE),
        (on_group(OOSTENDE), 1, RefusalCode.GROUP_FROZEN),
        (on_group(MECHELEN), 1, RefusalCode.GROUP_FROZEN),
        (
            on_account(HUB, f"floor = 0 WHERE account_id = '{OOSTENDE}'"),
            1,
            RefusalCode.PAYER_GROUP_FLOOR,
        ),
        (
            on_account(HUB, f"ceiling = 0 WHERE account_id = '{MECHELEN}'"),
            1,
            RefusalCode.PAYEE_GROUP_CEILING,
        ),
    ],
)
async def test_a_change_binds_only_what_is_not_held(
    new_database: NewDatabase, change: Change, refused: int, code: RefusalCode | None
) -> None:
    async with federation(new_database) as federated:
        payer, payee = federated.nodes[OOSTENDE], federated.nodes[MECHELEN]
        await stand_everywhere(federated)
        ordered, accepted = State.ORDERED, State.ACCEPTED
        assert await states(payer) == [ordered] * 4
        assert await states(federated.hub) == [
            *(State.CLEARED, State.OFFERED, State.OFFERED, None)
        ]
        assert await states(payee) == [accepted, accepted, None, None]
        await change(federated)
        await federated.quiet()
        cleared = 4 - refused
        for server in (payer, federated.hub):
            assert await states(server) == [
                *[State.CLEARED] * cleared,
                *[State.REFUSED] * refused,
            ]
        for key in PLACES[cleared:]:
            transfer = await payer.transfer(order(key).transfer_id)
            assert transfer is not None
            assert transfer.code == code
        assert (await payer.balances()).get("marie", 0) == -cleared
        assert (await payee.balances()).get("bob", 0) == 3 * cleared
        assert await federated.unsound() == []


async def test_an_account_frozen_between_price_and_order_is_told_at_once(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        payer = federated.nodes[OOSTENDE]
        await marie("frozen = true")(federated)
        assert await payer.clerk.take(order("a")) is RefusalCode.ACCOUNT_FROZEN
        assert await payer.held() == 0
        await marie("frozen = false")(federated)
        # The same key stands by its answer; a new one is free.
        assert await payer.clerk.take(order("a")) is RefusalCode.ACCOUNT_FROZEN
        await payer.clerk.take(order("b"))
        await federated.quiet()
        assert (await payer.balances())["marie"] == -1
        assert await federated.unsound() == []


async def test_a_node_that_sleeps_through_everything_ends_it_when_it_wakes(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        payer, payee = federated.nodes[OOSTENDE], federated.nodes[MECHELEN]
        await stand_everywhere(federated)
        # Mechelen sleeps; Oostende and the hub start anew, one after the other.
        for server in (federated.hub, payer):
            await server.stop()
            server.house = server.make_house()
            await server.start()
            while await federated.exchange(OOSTENDE):
                if federated.hub.clerk.links[OOSTENDE].has_compared:
                    break
        await federated.exchange(OOSTENDE)
        await federated.exchange(OOSTENDE)
        assert (await states(payer))[0] is State.CLEARED
        assert await states(federated.hub) == [State.CLEARED, *[State.OFFERED] * 3]
        await payee.stop()
        payee.house = payee.make_house()
        await payee.start()
        await federated.quiet()
        assert await states(payer) == [State.CLEARED] * 4
        assert (await payee.balances())["bob"] == 12
        assert await federated.unsound() == []


async def test_one_id_is_one_transfer_whatever_its_sender_says_of_it(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        hub = federated.hub
        first = asked()
        other = asked().replace(b'"milliseconds":', b'"milliseconds":1')
        elsewhere = write_line(prepare(payee_group="gent", checkpoint=None))
        assert len({first, other, elsewhere}) == 3
        said = [first, first, other, first, elsewhere]
        assert await send_to_hub(federated, said, b"") == [Taking.TAKEN]
        held = await hub.ask("SELECT amount, state FROM hold")
        assert [tuple(row) for row in held] == [(180_000, "held")]
        transfer = await hub.transfer(ID)
        assert transfer is not None
        assert transfer.milliseconds == 180_000
        rows = await hub.ask(
            "SELECT line FROM item WHERE direction = 'out' AND peer = $1", OOSTENDE
        )
        told = [read_item(row["line"]) for row in rows]
        refused = [item.code for item in told if isinstance(item, ItemRefused)]
        # The same again is no news; what contradicts it is refused, and kept.
        assert refused == [ItemRefusalCode.ID_REUSED] * 2
