"""The simulator's language of stories, spoken to real processes.

What a line does is told in ``tests.simulator.scenario``; here members ask over HTTP,
servers die of SIGKILL and the network loses what a ``LossyLine`` loses. Time cannot be
moved, so ``clock`` waits until all is quiet, and where something sleeps or is cut off,
for a moment.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from protocol.unit import Amount, quote_for_payer
from tests.federation.callers import ENDED, Answer, AwayError, Order
from tests.federation.lossy_line import LossyLine
from tests.federation.servers import wait_for
from tests.federation.world import Federation
from tests.simulator.scenario import NOISE, RATES, UNITS

_WAIT_S = 10.0
#: Where nothing can become quiet: as long as a message takes, and more.
_MOMENT_S = 1.0


@dataclass
class _Wish:
    payer: str
    order: Order
    told: str = "unknown"
    code: str = ""
    transfer_id: str = ""


class RealStory:
    """A real federation that does what a text says.

    Args:
        federation: with the groups and members of the simulator's stories.
        line: between its nodes and its hub.
    """

    def __init__(self, federation: Federation, line: LossyLine) -> None:
        self.federation = federation
        self.line = line
        self._wishes: list[_Wish] = []
        self._asleep: set[str] = set()
        self._changed: set[str] = set()
        self._dying: list[threading.Thread] = []
        self._lines = {
            address: len(entries) for address, entries in self._entries().items()
        }
        self._positions = self._positions_now()

    def play(self, text: str) -> None:
        """Do what a text says, line by line."""
        for line in text.splitlines():
            words = [w for w in line.partition("#")[0].split() if w not in NOISE]
            if words and words[0] == "clock":
                self._pass()
            elif words:
                subject, verb, *rest = words
                deed: Callable[..., None] = getattr(self, f"_{verb}")
                deed(subject, *rest)

    # What came of it.

    def rest(self) -> None:
        """Put everything right and wait until it has come to rest."""
        self.line.mend()
        for name in sorted(self._asleep):
            self._wakes(name)
        for thread in self._dying:
            thread.join()
        self.federation.heal()
        self.federation.wait_compared()
        for wish in self._wishes:
            if wish.transfer_id:
                self.federation.member(wish.payer).wait_end(wish.transfer_id)
        for address in self._changed:
            self._patch(address, floor=-1000, ceiling=1000, frozen=False)
        # It compares all ledgers with all that was ever answered.
        self.federation.audit()

    def outcomes(self) -> list[tuple[str, ...]]:
        """Give of each order what was told, and how it ended: state and code."""
        found = []
        for wish in self._wishes:
            ended = "", ""
            if wish.transfer_id:
                told = self.federation.member(wish.payer).transfer(wish.transfer_id)
                ended = told["state"], told["code"] or ""
            found.append((wish.payer, wish.told, wish.code, *ended))
        return found

    def entries(self) -> dict[str, list[int]]:
        """Give of each account what this story moved, smallest first."""
        return {
            address: sorted(entries[self._lines[address] :])
            for address, entries in self._entries().items()
            if entries[self._lines[address] :]
        }

    def positions(self) -> dict[str, int]:
        """Give how this story moved the groups' positions, milliseconds."""
        return {
            group: position - self._positions[group]
            for group, position in self._positions_now().items()
        }

    def _entries(self) -> dict[str, list[int]]:
        """Give what every entry moved, by account, oldest first."""
        return {
            member.address: [one["amount"] for one in reversed(member.entries())]
            for node in self.federation.nodes.values()
            for member in node.members.values()
        }

    def _positions_now(self) -> dict[str, int]:
        groups = self.federation.groups()
        return {name: group["position"] for name, group in groups.items()}

    # Time.

    def _pass(self) -> None:
        is_apart = bool(self._asleep or self.line.cut)
        until = time.monotonic() + (_MOMENT_S if is_apart else _WAIT_S)
        while time.monotonic() < until and not self._is_quiet():
            time.sleep(0.02)
        for thread in self._dying:
            thread.join()

    def _is_quiet(self) -> bool:
        with contextlib.suppress(AwayError):
            return not self.line.losses and all(
                self.federation.member(wish.payer).transfer(wish.transfer_id)["state"]
                in ENDED
                for wish in self._wishes
                if wish.transfer_id
            )
        return False

    # Members.

    def _pays(self, payer: str, payee: str, amount: str, unit: str, *how: str) -> None:
        own, theirs = payer.partition("@")[2], payee.partition("@")[2]
        units = int(amount)
        if unit.removesuffix("s") != UNITS[theirs]:
            quoted, _ = quote_for_payer(Amount(units), RATES[own], RATES[theirs])
            assert quoted is not None
            units = quoted.payee_amount
        deliver = "when_reachable" if "reachable" in how else "now"
        self._ask(payer, self.federation.order(payee, units, deliver=deliver))

    def _gives(self, payer: str, _back: str, amount: str, _unit: str) -> None:
        paid = next(one for one in self._wishes if one.order.refund_of is None)
        order = self.federation.order(
            paid.payer, int(amount), refund_of=paid.transfer_id
        )
        self._ask(payer, order)

    def _ask(self, payer: str, order: Order) -> None:
        wish = _Wish(payer, order)
        self._wishes.append(wish)
        with contextlib.suppress(AwayError):
            self._note(wish, self.federation.member(payer).pay(order))

    def _asks(self, _member: str, *_again: str) -> None:
        wish = self._wishes[-1]
        answer = self.federation.member(wish.payer).pay_surely(wish.order)
        self._note(wish, answer)

    def _note(self, wish: _Wish, answer: Answer) -> None:
        if answer.status == 201:
            if not wish.transfer_id:
                member = self.federation.member(wish.payer)
                self.federation.note(member, wish.order, answer)
            wish.told, wish.transfer_id = "ok", answer.told["id"]
        elif answer.status == 422:
            wish.told, wish.code = "refused", answer.told["code"]
        else:
            # "Ask again under the same key": as if nothing had been said.
            assert answer.status == 503, answer

    def _cancels(self, _member: str) -> None:
        wish = self._wishes[-1]
        self.federation.member(wish.payer).cancel_surely(wish.transfer_id)

    # Treasurers and the regional admin.

    def _limits(
        self, who: str, what: str, floor: str, _dots: str, ceiling: str
    ) -> None:
        """Limits are reckoned from where she stands: every story begins at zero."""
        assert who == "treasurer", "groups' limits are whole hours over HTTP"
        stands = self.federation.member(what).account()["balance"]
        self._patch(what, floor=stands + int(floor), ceiling=stands + int(ceiling))

    def _patch(self, address: str, **changes: object) -> None:
        self._changed = self._changed | {address}
        account, _, group = address.partition("@")
        treasurer = self.federation.nodes[group].treasurer
        assert treasurer is not None
        answer = treasurer.ask("PATCH", f"/api/v1/members/{account}", changes)
        assert answer.status == 200, answer

    def _freezes(self, who: str, what: str) -> None:
        if who == "admin":
            self._decide(what, "freeze", "frozen")
        else:
            self._patch(what, frozen=True)

    def _releases(self, who: str, what: str) -> None:
        if who == "admin":
            self._decide(what, "release", "active")
        else:
            self._patch(what, frozen=False)

    def _decide(self, group: str, verb: str, state: str) -> None:
        answer = self.federation.admin.ask("POST", f"/api/v1/groups/{group}/{verb}")
        assert answer.status == 200, answer
        awake = [
            node.treasurer
            for name, node in self.federation.nodes.items()
            if name not in self._asleep and node.treasurer is not None
        ]

        def is_known() -> bool:
            return all(
                {one["group"]: one["state"] for one in _groups(caller)}[group] == state
                for caller in awake
            )

        wait_for(is_known, f"{group} to be known as {state}", _WAIT_S)

    # Trouble.

    def _loses(self, sender: str, what: str, to: str = "hub", times: str = "1") -> None:
        self.line.losses += [(sender, to, what)] * int(times)

    def _crashes(self, name: str, when: str = "", step: str = "") -> None:
        server = self.federation.server(name)
        if not when:
            server.restart()
            return
        server.restart(kill_at=f"{step}:{when}")
        self.federation.wait_compared()

        def come_back() -> None:
            server.wait_killed()
            server.start()
            server.wait_ready()

        self._dying.append(threading.Thread(target=come_back))
        self._dying[-1].start()

    def _sleeps(self, name: str) -> None:
        self._asleep.add(name)
        self.federation.server(name).kill()

    def _wakes(self, name: str) -> None:
        self._asleep.discard(name)
        server = self.federation.server(name)
        server.start()
        server.wait_ready()

    def _hears(self, name: str, *_nothing: str) -> None:
        self.line.cut["hub", name] += 1

    def _speaks(self, name: str, *_void: str) -> None:
        self.line.cut[name, "hub"] += 1

    def _reconnects(self, name: str) -> None:
        del self.line.cut["hub", name], self.line.cut[name, "hub"]


def _groups(caller: object) -> list[dict[str, str]]:
    answer = caller.ask("GET", "/api/v1/groups")  # type: ignore[attr-defined]
    assert answer.status == 200, answer
    found: list[dict[str, str]] = answer.told
    return found
