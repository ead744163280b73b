"""A node that lies: it signs and sends what no honest node would.

It keeps an honest ledger and an honest link, since otherwise nobody would listen to
it, and puts lies at the end of its envelopes: prepares again, or changed under the same
id, or in another group's name; answers to offers that are not its own; decisions;
what nobody can read; a wrong mirror. It may harm its own group, and no other.
"""

import random
from collections.abc import Iterator

from nodes.house import NodeHouse
from nodes.member_store import Membership
from nodes.rules import NodeView
from protocol.effects import Effects, SendItem, View
from protocol.instant import Instant, write_instant
from protocol.messages import (
    Mirror,
    TransferAccept,
    TransferCancel,
    TransferDecision,
    TransferPrepare,
    TransferRefuse,
    line_hash,
    write_line,
)
from protocol.peer.key_files import ServerKeys
from tests.simulator.agenda import HOUR
from tests.simulator.federation import Federation

_NOBODYS = "0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"


class LyingHouse(NodeHouse):
    """An honest house with a lie at the end of many envelopes."""

    def __init__(
        self, keys: ServerKeys, membership: Membership, federation: Federation
    ) -> None:
        super().__init__(keys, membership)
        self._federation = federation
        self._node = federation.nodes[membership.group]
        self._draw: random.Random = federation.world.draw

    def decide(self, view: View, wanted: object, now: Instant) -> Iterator[Effects]:
        """Shrug at answers to lies that no honest node has ever to decide on."""
        try:
            yield from super().decide(view, wanted, now)
        except AssertionError:
            yield Effects(None, ())

    def before_sealing(self, view: View, peer: str) -> Effects | None:
        """End the envelope with a lie instead of a mirror."""
        draw, of_cycles = self._draw, self._of_cycles()
        if of_cycles is not None:
            return Effects(None, [SendItem(peer, of_cycles)])
        if not self._node.lies_left or draw.random() < 0.5:
            return super().before_sealing(view, peer)
        self._node.lies_left -= 1
        assert isinstance(view, NodeView)
        lines = [self._lie(view) for _ in range(draw.randint(1, 3))]
        world = self._federation.world
        world.count("lie")
        for line in lines:
            world.tell("{} lies: {}", self.own, line[:70])
        return Effects(None, [SendItem(peer, line) for line in lines])

    def _of_cycles(self) -> bytes | None:
        lies = self._node.cycle_lies
        return None if lies is None else lies.lie(self.own)

    def _lie(self, view: NodeView) -> bytes:
        draw = self._draw
        hub = self._federation.hub.database.table("transfer")
        id_ = self._some_id(list(hub))
        prepare = hub[id_]["prepare"] if hub else ""
        prepare = prepare or line_hash(b"")
        match draw.randint(0, 8):
            case 0:
                return self._said_before()
            case 1 | 2:
                return self._prepare(view, id_)
            case 3:
                return write_line(TransferAccept(id=id_, prepare=prepare))
            case 4:
                refuse = TransferRefuse(
                    id=id_, prepare=prepare, code="payee-cannot-receive"
                )
                return write_line(refuse)
            case 5:
                return write_line(TransferCancel(id=id_))
            case 6:
                decision = TransferDecision(
                    log=view.life,
                    number=0,
                    at=write_instant(Instant(self._federation.world.now)),
                    id=id_,
                    prepare=prepare,
                    answer=None,
                    outcome="cleared",
                    code=None,
                )
                return write_line(decision)
            case 7:
                log, number = view.newest or (view.life, 0)
                return write_line(Mirror(log=log, number=number, balance=12345))
            case _:
                return draw.choice((b"{}", b"nothing", b'{"type":"transfer.rob"}'))

    def _some_id(self, known: list[str]) -> str:
        """Name a transfer of anybody's; best one that is still on its way."""
        draw = self._draw
        undecided = list(self._federation.hub.database.table("undecided"))
        if undecided and draw.random() < 0.7:
            return draw.choice(undecided)
        return draw.choice(known) if known else _NOBODYS

    def _said_before(self) -> bytes:
        node = self._federation.nodes[self.own]
        said = list(node.database.table(("item", "hub", "out")).values())
        asked = [line for line in said if b'"transfer.prepare"' in line]
        return self._draw.choice(asked or said or [b"{}"])

    def _prepare(self, view: NodeView, id_: str) -> bytes:
        """Ask for what nobody ordered: an id of somebody's, or of nobody."""
        draw = self._draw
        groups = list(view.directory) or [self.own]
        payer = self.own if draw.random() < 0.7 else draw.choice(groups)
        if draw.random() < 0.5:
            id_ = id_[:-4] + f"{draw.randrange(16**4):04x}"
        payee = draw.choice(groups)
        prepare = TransferPrepare(
            id=id_,
            payer_group=payer,
            payee_group=payee,
            milliseconds=draw.choice((1, HOUR, 40 * HOUR, 10**14)),
            payer_rate=1,
            payee_rate=1,
            decide_by=write_instant(Instant(self._federation.world.now + HOUR)),
            refund_of=None,
            checkpoint=None,
            content=line_hash(b"a lie"),
        )
        return write_line(prepare)


def make_liar(federation: Federation, group: str) -> None:
    """Let a group's node lie from its next start on."""
    node = federation.nodes[group]
    node.house_of = lambda keys, joined: LyingHouse(keys, joined, federation)
