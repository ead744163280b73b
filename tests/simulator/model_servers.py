"""The servers of the small exhaustive model: real clerks whose states have numbers.

``model`` looks at every order in which a tiny federation can act. What a server does
hangs only on its own state and on what it is given, so each pair of them is tried
once, on the real clerk, house, rules and stores, and remembered: a state is a number,
a message is a number, and a step of the whole federation is a look into a table.

Two states are one when their tables and what their links know are equal. Left out of
that, since only their order counts and the model keeps that order itself: the times
of covers (``peer_at``, the limit up to which covers may be dated). Left out as well
is what a server only remembers so as not to read it again.
"""

import copy
import hashlib
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from clearing import app as hub_app
from clearing.house import Due
from clearing.rules.view import Positions
from nodes.rules import CancelWish, Order, Ordered
from protocol import envelope
from protocol.address import HUB, AccountName, Group, transfer_id, write_address
from protocol.base64url import write_base64url
from protocol.envelope import Body
from protocol.instant import Instant, read_instant
from protocol.peer import transfer_store
from protocol.peer.batch import Arrival, Work
from protocol.peer.recent import Recent
from protocol.unit import Amount, quote
from tests.protocol.makers import hash_of
from tests.simulator.checker import decode
from tests.simulator.federation import Federation, Node
from tests.simulator.servers import Server, drive

#: Between two moments of the model; longer than a payment *now* may take.
MOMENT_MS = 31_000
#: What of a database only says how covers may be dated.
_TIMES = ("cover limit",)
_MANY = 100


class Payment(NamedTuple):
    """One of the transfers: who pays whom, and how many of the payee's units."""

    payer: str
    group: str
    payee: str
    payee_group: str
    amount: int


class LocalState(NamedTuple):
    """How a server stands: what lasts, and what a crash would take from it."""

    tables: Mapping[Any, Any]
    clerk: Any


class Message(NamedTuple):
    """What one server has said to another; who gets it opens it once."""

    origin: str
    to: str
    raw: bytes


class Messages:
    """Everything that was ever said, each wording once, whenever it was said."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.bodies: list[Body | None] = []
        self._numbers: dict[bytes, int] = {}

    def number(self, origin: str, to: str, raw: bytes) -> int:
        """Number what was said; the times of its cover make no other message."""
        line_1, _, rest = raw.partition(b"\n")
        cover = decode(line_1.split(b".")[1])
        del cover["at"], cover["peer_at"]
        key = b"\n".join((origin.encode(), msgspec.json.encode(cover), rest))
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.said)
            self.said.append(Message(origin, to, raw))
            self.bodies.append(None)
        return found


def _forked(thing: Any) -> Any:
    """Copy an object so far that what its own methods change is not shared."""
    forked = copy.copy(thing)
    for name, value in vars(thing).items():
        if type(value) is dict:
            forked.__dict__[name] = {
                key: list(one) if type(one) is list else one
                for key, one in value.items()
            }
        elif type(value) is list:
            forked.__dict__[name] = list(value)
        elif isinstance(value, Recent):
            forked.__dict__[name] = Recent(_MANY)
        elif isinstance(value, Positions):
            # Its lists are arrays, which only grow.
            kept = copy.copy(value)
            for column, arrays in vars(value).items():
                if type(arrays) is dict:
                    kept.__dict__[column] = {
                        one: all_[:] for one, all_ in arrays.items()
                    }
            forked.__dict__[name] = kept
    return forked


class _Digests:
    """Names what tables hold by a number; each row is written down only once."""

    def __init__(self) -> None:
        #: By the row's id; the row is kept, so that no other gets its id.
        self._rows: dict[tuple[Any, Any, int], tuple[Any, int]] = {}

    def number(self, tables: Mapping[Any, Any]) -> int:
        """Give the sum of all rows' hashes; their order does not count."""
        known, total = self._rows, 0
        for name, table in tables.items():
            if name in _TIMES:
                continue
            for key, row in table.items():
                found = known.get((name, key, id(row)))
                if found is None:
                    said = repr((name, key, row)).encode()
                    digest = hashlib.blake2b(said, digest_size=16).digest()
                    found = row, int.from_bytes(digest, "big")
                    known[name, key, id(row)] = found
                total += found[1]
        return total


class Party:
    """One server, and all that it can do from each of its states.

    Args:
        server: joined and started; from now on only the model moves it.
        messages: shared by all.
        look: told of every new state and of the one that it came from.
    """

    def __init__(
        self,
        server: Server,
        messages: Messages,
        look: Callable[["Party", int, int | None], None],
    ) -> None:
        self.server = server
        self.name = server.name
        self.states: list[LocalState] = []
        self.runs = 0
        self._messages = messages
        self._look = look
        self._digests = _Digests()
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._known: dict[tuple[Any, ...], Any] = {}
        self._beginning = server.world.now
        server.after_batch = lambda: None

    def first(self) -> int:
        """Number the state in which the server stands now."""
        return self._save(None)

    def _load(self, state: int, moment: int) -> Any:
        self.runs += 1
        found = self.states[state]
        server = self.server
        server.world.now = self._beginning + moment * MOMENT_MS
        server.database.restore(found.tables)
        server.clerk = clerk = _forked(found.clerk)
        clerk.house = _forked(clerk.house)
        return clerk

    def _save(self, before: int | None) -> int:
        server = self.server
        clerk: Any = server.clerk
        assert clerk is not None, "nothing crashes inside of the model's steps"
        tables = server.database.snapshot()
        known = tuple(
            msgspec.structs.replace(link, peer_at=None)
            for _, link in sorted(clerk.links.items())
        )
        mirrored = getattr(clerk.house, "mirrored", None)
        key = self._digests.number(tables), known, clerk.life, mirrored
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.states)
            self.states.append(LocalState(tables, clerk))
            self._look(self, number, before)
        return number

    def _once(self, key: tuple[Any, ...], work: Callable[[], Any]) -> Any:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = work()
        return found

    # What a server can do.

    def take(self, state: int, message: int, moment: int) -> int:
        """Take a message that is not older than one that was taken before."""
        return self._once(  # type: ignore[no-any-return]
            ("take", state, message, moment),
            lambda: self._take(state, message, moment),
        )

    def _take(self, state: int, message: int, moment: int) -> int:
        clerk = self._load(state, moment)
        origin = self._messages.said[message].origin
        body = self._messages.bodies[message]
        if body is None:
            house = clerk.house
            raw = self._messages.said[message].raw
            body = envelope.open_body(raw, house.keyring, house.federation, house.own)
            self._messages.bodies[message] = body
        before = Instant(read_instant(body.cover.payload.at) - 1)
        link = clerk.links[origin]
        clerk.links[origin] = msgspec.structs.replace(link, peer_at=before)
        self._carry_out(Work(Arrival(Group(origin), body)))
        return self._save(state)

    def speak(self, state: int, peer: str, moment: int) -> tuple[int, int]:
        """Say to a peer what there is to say now; gives state and message."""
        return self._once(  # type: ignore[no-any-return]
            ("speak", state, peer, moment), lambda: self._speak(state, peer, moment)
        )

    def _speak(self, state: int, peer: str, moment: int) -> tuple[int, int]:
        clerk = self._load(state, moment)
        drive(clerk.may_speak(peer))
        raw = clerk.speak(peer)
        self.server.world.spoken(self.server, peer, raw)
        return self._save(state), self._messages.number(self.name, peer, raw)

    def order(
        self, state: int, payment: Payment, key: str, moment: int
    ) -> tuple[int, str]:
        """Let a member order under a key; gives state and what she is told."""
        return self._once(  # type: ignore[no-any-return]
            ("order", state, key, moment),
            lambda: self._order(state, payment, key, moment),
        )

    def _order(
        self, state: int, payment: Payment, key: str, moment: int
    ) -> tuple[int, str]:
        clerk = self._load(state, moment)
        house, draw = clerk.house, random.Random(key)
        quoted = quote(
            Amount(payment.amount),
            house.directory[Group(payment.group)].rate,
            house.directory[Group(payment.payee_group)].rate,
        )
        assert quoted is not None
        order = Order(
            transfer_id=self.id_of(payment, key),
            payer=payment.payer,
            name=payment.payer.title(),
            payee=payment.payee,
            payee_group=Group(payment.payee_group),
            payee_amount=Amount(payment.amount),
            payer_amount_max=quoted.payer_amount,
            memo="",
            deliver="now",
            salt=write_base64url(draw.randbytes(16)),
            nonce=draw.randbytes(24),
            hub_now=self.server.clock.now(),
            is_hub_reachable=True,
            caller=payment.payer,
            key=key,
            body_hash=hash_of(repr(payment)),
        )
        work = self._carry_out(Work(order))
        is_ok = isinstance(work.outcome, Ordered)
        return self._save(state), "ok" if is_ok else str(work.outcome)

    def id_of(self, payment: Payment, key: str) -> str:
        """Name the transfer of an order."""
        payer = write_address(AccountName(payment.payer), Group(payment.group))
        clerk: Any = self.server.clerk
        return transfer_id(clerk.house.federation, payer, key)

    def cancel(self, state: int, transfer: str, moment: int) -> int:
        """Let the payer call a transfer off."""

        def work() -> int:
            self._load(state, moment)
            self._carry_out(Work(CancelWish(transfer_id=transfer)))
            return self._save(state)

        return self._once(("cancel", state, transfer, moment), work)  # type: ignore[no-any-return]

    def sweep(self, state: int, moment: int) -> int:
        """Let the sweeper look for what is late, and the clerk decide on it."""

        def work() -> int:
            clerk = self._load(state, moment)
            for wanted in self._overdue(clerk):
                self._carry_out(Work(wanted))
            return self._save(state)

        return self._once(("sweep", state, moment), work)  # type: ignore[no-any-return]

    def _overdue(self, clerk: Any) -> list[object]:
        now, server = self.server.clock.now(), self.server
        if isinstance(server, Node):
            late = server.read(
                lambda connection: transfer_store.read_late(
                    connection, now, clerk.links[HUB].acknowledged, _MANY
                )
            )
            return [CancelWish(transfer_id=one) for one in late]
        links = clerk.links.values()
        due = server.read(
            lambda connection: transfer_store.read_due(
                connection,
                now,
                _MANY,
                hub_app.silent_groups(links),
                hub_app.groups_ahead(links),
            )
        )
        return [Due(due)] if due else []

    def restart(self, state: int, starts: int, moment: int) -> int:
        """Lose power and what was in memory, and start again."""

        def work() -> int:
            self._load(state, moment)
            server = self.server
            server.clerk = None
            server.world.draw = random.Random(f"{self.name} {starts}")
            # Not what a node's courier and a hub's pollers would do at a start.
            Server.start(server)
            return self._save(state)

        return self._once(("restart", state, starts, moment), work)  # type: ignore[no-any-return]

    def _carry_out(self, work: Work) -> Work:
        clerk: Any = self.server.clerk
        drive(clerk.carry_out([work]))
        return work


def parties_of(
    federation: Federation, look: Callable[[Party, int, int | None], None]
) -> dict[str, Party]:
    """Make the model's parties of a federation that has come to rest."""
    messages = Messages()
    return {server.name: Party(server, messages, look) for server in federation.servers}
