"""What the demo plays, told from outside: payments, refusals, a kill, an audit.

Every step is seen to happen over HTTP, as members and staff see it, or the story
fails in words. Who starts the servers is ``demo``.
"""

import queue
import signal
import threading
import time
from typing import TYPE_CHECKING

from month import Month
from seen import expect, say, verify
from servers import Api, DemoError, Server, wait_for

if TYPE_CHECKING:
    from demo import Federation

ENDED = ("cleared", "refused")


class Story:
    """What the demo plays: each step is seen to happen, or it fails."""

    def __init__(self, federation: "Federation") -> None:
        self.federation = federation
        self.marie = federation.member("marie", "oostende")
        self.lies = federation.member("lies", "oostende")
        self.bob = federation.member("bob", "mechelen")
        self.jef = federation.member("jef", "brussel")
        self.leila = federation.member("leila", "brussel")
        self._key = time.time_ns()

    def play(self) -> None:
        """Play the whole story."""
        self.pay_back()
        self.marie_sees_whom_she_pays()
        paid = self.marie_pays_bob()
        self.marie_keeps_a_receipt(paid)
        self.bob_refunds_a_part(paid)
        self.bob_listens()
        self.refused_at_maries_floor()
        self.refused_at_the_groups_floor()
        self.refused_for_nobody()
        self.bob_asks_and_marie_pays()
        self.jef_pays_in_another_unit()
        self.mechelen_dies_and_comes_back()
        self.marie_calls_a_payment_off()
        self.brussel_sleeps_and_wakes()
        self.a_month_goes_by()

    def pay(
        self, payer: Api, to: str, amount: int, *, wait_s: int, **more: object
    ) -> tuple[int, dict]:
        """Order a payment under an own key; ``amount`` is in the payee's unit."""
        self._key += 1
        body = {"to": to, "payee_amount": amount, "payer_amount_max": amount}
        body |= {"memo": "from the demo", **more}
        headers = {"Idempotency_Key": f"demo-{self._key}"}
        if wait_s:
            headers["Prefer"] = f"wait={wait_s}"
        return payer.ask("POST", "/api/v1/transfers", body, **headers)

    def pay_back(self) -> None:
        """Played only when an earlier story left someone below or above her opening."""

        def balance(member: Api) -> int:
            """What an earlier story has left, beside what she came with."""
            told = member.get("/api/v1/account")
            came_with = self.federation.state.get(
                "opening", told["group"], told["account"]
            )
            # A demo that was begun before groups moved in opened everybody at 0.
            return told["balance"] - (came_with or 0)

        for payer, who, to, amount in (
            # A ketje is a third of a garnaal or a blusser.
            (self.leila, "Leïla (Brussel)", "marie@oostende", balance(self.leila) // 3),
            (self.bob, "Bob (Mechelen)", "jef@brussel", -balance(self.jef)),
        ):
            self._return(payer, who, to, amount)
        owed = -balance(self.marie)
        self._return(self.bob, "Bob (Mechelen)", "marie@oostende", owed)

    def _return(self, payer: Api, who: str, to: str, amount: int) -> None:
        if amount > 0:
            most = {"payer_amount_max": 3 * amount}
            answer = self.pay(payer, to, amount, wait_s=20, **most)
            expect(answer, 201, state="cleared")
            say(f"{who} pays {to} {amount} back: cleared")

    def marie_sees_whom_she_pays(self) -> None:
        """Her node asks the other group's; the hub between them cannot read it."""
        path = "/api/v1/payees/{}@mechelen"
        began = time.monotonic()
        answer = self.marie.ask("GET", path.format("bob"))
        took_ms = (time.monotonic() - began) * 1000
        expect(answer, 200, account="bob", group="mechelen")
        told = answer[1]
        nobody = self.marie.ask("GET", path.format("nobody"))
        expect(nobody, 404, code="unknown-account")
        who = f"{told['name']} of {told['group_name']}, {took_ms:.0f} ms"
        say(f"Marie looks up bob@mechelen: {who}; nobody@mechelen: nobody")

    def marie_pays_bob(self) -> str:
        """An hour of help, from one group to another; gives its id."""
        before = self.bob.get("/api/v1/account")["balance"]
        quoted = self.marie.ask(
            "POST",
            "/api/v1/quotes",
            {"to": "bob@mechelen", "amount": 20, "in": "payee"},
        )
        expect(quoted, 200, payer_amount=20, milliseconds=3_600_000)
        began = time.monotonic()
        paid = self.pay(self.marie, "bob@mechelen", 20, wait_s=20)
        took_ms = (time.monotonic() - began) * 1000
        expect(paid, 201, state="cleared", payer_amount=20)
        wait_for(
            lambda: self.bob.get("/api/v1/account")["balance"] == before + 20,
            "Bob's balance to rise by 20",
            10,
        )
        entry = self.bob.get("/api/v1/entries?page_size=1")["entries"][0]
        if (entry["amount"], entry["memo"]) != (20, "from the demo"):
            raise DemoError(f"Bob's history shows {entry}")
        told = f"cleared, {took_ms:.0f} ms"
        say(f"Marie (Oostende) pays Bob (Mechelen) 20 blussers: {told}")
        return paid[1]["id"]

    def marie_keeps_a_receipt(self, paid: str) -> None:
        """Anyone can check it: offline, in an empty folder, trusting no server."""
        path = f"/api/v1/transfers/{paid}/receipt"
        raw = self.marie.text(path)
        hub = Api(self.federation.hub.url).get("/.well-known/interlets")
        verified = verify(raw, hub["federation"])
        if verified.returncode != 0 or "Marie" not in verified.stdout:
            raise DemoError(f"the receipt: {verified.stdout}{verified.stderr}")
        forged = verify(raw.replace("from the demo", "for a castle"), hub["federation"])
        if forged.returncode != 1:
            raise DemoError(f"a forged receipt: {forged.stdout}{forged.stderr}")
        say(
            "Marie's receipt verifies offline in an empty folder; a forged one does not"
        )

    def bob_refunds_a_part(self, paid: str) -> None:
        """It took a quarter less: what is over goes back, and no more than it was."""
        path = f"/api/v1/transfers/{paid}"
        expect((200, self.bob.get(path)), 200, refunded=0, refundable=20)
        more = {"refund_of": paid, "payer_amount_max": 20}
        part = self.pay(self.bob, "marie@oostende", 5, wait_s=20, **more)
        expect(part, 201, state="cleared", refund_of=paid, milliseconds=900_000)
        wait_for(
            lambda: self.marie.get(path)["refunded"] == 900_000,
            "Marie to see what came back",
            10,
        )
        expect((200, self.bob.get(path)), 200, refunded=900_000, refundable=15)
        beyond = self.pay(self.bob, "marie@oostende", 16, wait_s=0, **more)
        expect(beyond, 422, code="refund-too-large")
        say(
            "Bob refunds Marie 5 garnalen of it: cleared; 16 more: refused, 15 are left"
        )
        steps = [step["step"] for step in self.marie.get(path)["steps"]]
        if steps != ["ordered", "sent", "decided", "booked"]:
            raise DemoError(f"Marie's payment took the steps {steps}")

    def bob_listens(self) -> None:
        """Bob's open page shows a payment by itself, and what it missed."""
        heard: queue.Queue[tuple[float, str, str, dict]] = queue.Queue()

        def listen() -> None:
            for identity, name, told in self.bob.events():
                heard.put((time.monotonic(), identity, name, told))
                if name == "payment" and told["state"] in ENDED:
                    return

        page = threading.Thread(target=listen, daemon=True)
        page.start()
        _, start, name, _ = heard.get(timeout=10)
        if name != "account":
            raise DemoError(f"Bob's stream begins with {name}")
        paid = self.pay(self.marie, "bob@mechelen", 1, wait_s=20)
        answered = time.monotonic()
        expect(paid, 201, state="cleared")
        page.join(10)
        at, _, name, told = list(heard.queue)[-1]
        if (name, told["id"], told["amount"]) != ("payment", paid[1]["id"], 1):
            raise DemoError(f"Bob heard of {name} {told}")
        if at - answered > 1:
            raise DemoError(f"Bob heard of it {at - answered:.1f} s late")
        missed = next(told for _, name, told in self.bob.events(start) if "id" in told)
        if (missed["id"], missed["state"]) != (paid[1]["id"], "cleared"):
            raise DemoError(f"coming back, Bob is told of {missed}")
        say("Bob listens while Marie pays him 1 blusser: shown within a second")

    def refused_at_maries_floor(self) -> None:
        """One unit more than Marie has."""
        beyond = self.marie.get("/api/v1/account")["available"] + 1
        answer = self.pay(self.marie, "bob@mechelen", beyond, wait_s=0)
        expect(answer, 422, code="payer-floor")
        say(f"Marie tries {beyond} blussers: refused at her floor")

    def refused_at_the_groups_floor(self) -> None:
        """Lies has no floor of her own, but her group has one at the hub."""
        group = self.federation.position("oostende")
        beyond = (group["position"] - group["floor"]) // 180_000 + 1
        answer = self.pay(self.lies, "bob@mechelen", beyond, wait_s=20)
        expect(answer, 201, state="refused", code="payer-group-floor")
        say(f"Lies tries {beyond} blussers: refused at Oostende's floor, by the hub")

    def refused_for_nobody(self) -> None:
        """The other group says that nobody has this address."""
        answer = self.pay(self.marie, "nobody@mechelen", 1, wait_s=20)
        expect(answer, 201, state="refused", code="unknown-account")
        say("Marie tries nobody@mechelen: refused, nobody has this address")

    def bob_asks_and_marie_pays(self) -> None:
        """Bob hands a link on; Marie opens it at her own node."""
        asked = self.bob.ask("POST", "/api/v1/asks", {"amount": 5, "memo": "Brood"})
        expect(asked, 201)
        link = asked[1]["link"]
        opened = self.marie.ask("POST", "/api/v1/asks/open", {"ask": link})
        expect(opened, 200, to="bob@mechelen", name="Bob Peeters", amount=5)
        quoted = opened[1]["quote"]
        price = f"{quoted['payer_amount']} {quoted['payer_unit']['plural']}"
        order = {"payer_amount_max": quoted["payer_amount"], "memo": opened[1]["memo"]}
        paid = self.pay(self.marie, opened[1]["to"], 5, wait_s=20, **order)
        expect(paid, 201, state="cleared", memo="Brood")
        # One letter in the middle of what Mechelen signed.
        middle = len(link) // 2
        other = "A" if link[middle] != "A" else "B"
        forged = link[:middle] + other + link[middle + 1 :]
        answer = self.marie.ask("POST", "/api/v1/asks/open", {"ask": forged})
        if not 400 <= answer[0] < 500:
            raise DemoError(f"a link with one letter changed: {answer}")
        say(f"Bob asks 5 blussers with a link; Marie sees {price}, pays: cleared")

    def jef_pays_in_another_unit(self) -> None:
        """60 ketjes an hour, 20 blussers an hour: nothing is gained or lost."""
        asked = {"to": "bob@mechelen", "amount": 5, "in": "payer"}
        quoted = self.jef.ask("POST", "/api/v1/quotes", asked)
        expect(quoted, 200, payee_amount=1, payer_amount=3)
        nearest = [one["payer_amount"] for one in quoted[1]["nearest"]]
        if nearest != [3, 6]:
            raise DemoError(f"5 ketjes: the nearest exact amounts are {nearest}")
        asked["amount"] = 1
        quoted = self.jef.ask("POST", "/api/v1/quotes", asked)
        expect(quoted, 422, code="amount-too-small")
        most = {"payer_amount_max": 3}
        paid = self.pay(self.jef, "bob@mechelen", 1, wait_s=20, **most)
        expect(paid, 201, state="cleared", payer_amount=3, milliseconds=180_000)
        say("Jef (Brussel) pays Bob 1 blusser for 3 ketjes: cleared")

    def mechelen_dies_and_comes_back(self) -> None:
        """Kill -9 in the middle of a payment; it ends, and rightly."""
        mechelen = self.federation.nodes["mechelen"]
        mechelen.signal(signal.SIGSTOP)
        status, answer = self.pay(self.marie, "bob@mechelen", 10, wait_s=0)
        if status != 201:
            raise DemoError(f"the fourth payment: {status} {answer}")
        path = f"/api/v1/transfers/{answer['id']}"
        wait_for(
            lambda: self.marie.get(path)["state"] == "sent", "the hub to take it", 10
        )
        mechelen.signal(signal.SIGKILL)
        if self.marie.get(path)["state"] in ENDED:
            raise DemoError("the fourth payment was decided without Mechelen")
        mechelen.start()
        mechelen.wait_ready()
        ended = self.marie.get(path, Prefer="wait=30")
        if ended["state"] != "cleared":
            raise DemoError(f"the fourth payment ended {ended}")
        say(
            "Mechelen is killed with -9 in the middle of a payment, comes back: cleared"
        )

    def marie_calls_a_payment_off(self) -> None:
        """While nothing is decided, the payer may call her payment off."""
        mechelen = self.federation.nodes["mechelen"]
        mechelen.signal(signal.SIGSTOP)
        status, answer = self.pay(self.marie, "bob@mechelen", 5, wait_s=0)
        if status != 201:
            raise DemoError(f"the payment to call off: {status} {answer}")
        path = f"/api/v1/transfers/{answer['id']}"
        ended = self.marie.ask("DELETE", path, Prefer="wait=20")
        mechelen.signal(signal.SIGCONT)
        expect(ended, 202, state="refused", code="cancelled")
        held = self.marie.get("/api/v1/account")["held"]
        if held != 0:
            raise DemoError(f"Marie still has {held} held")
        say("Marie calls a payment off while Mechelen stands still: nothing is booked")

    def brussel_sleeps_and_wakes(self) -> None:
        """A payment *when reachable* waits for a group that is away."""
        brussel = self.federation.nodes["brussel"]
        brussel.stop()
        more = {"deliver": "when_reachable", "payer_amount_max": 2}
        status, answer = self.pay(self.marie, "leila@brussel", 6, wait_s=0, **more)
        if status != 201:
            raise DemoError(f"the payment when reachable: {status} {answer}")
        path = f"/api/v1/transfers/{answer['id']}"
        wait_for(
            lambda: self.marie.get(path)["state"] == "sent", "the hub to take it", 10
        )
        brussel.start()
        brussel.wait_ready()
        ended = self.marie.get(path, Prefer="wait=30")
        if ended["state"] != "cleared":
            raise DemoError(f"the payment when reachable ended {ended}")
        say("Brussel is stopped, paid when reachable, started: cleared")

    def a_month_goes_by(self) -> None:
        """Trade, a cycle's end, and what is left made good."""
        Month(self.federation, self.pay).play()

    def audit(self) -> None:
        """Every ledger sums to zero, and every mirror equals its position."""
        federation = self.federation
        hub = federation.staff(federation.hub)

        def is_quiet() -> bool:
            told = hub.get("/api/v1/groups")
            waits = [told, *map(ledger_of, federation.nodes.values())]
            return all(one["undecided"] == 0 for one in waits) and all(
                group["is_mirrored"] for group in told["groups"]
            )

        def ledger_of(node: Server) -> dict:
            return federation.staff(node).get("/api/v1/group")

        wait_for(is_quiet, "every node to mirror its position", 20)
        told = hub.get("/api/v1/groups")
        if told["sum"] != 0:
            raise DemoError(f"the hub's positions sum to {told['sum']}")
        for group in told["groups"]:
            node = federation.nodes[group["group"]]
            ledger = ledger_of(node)
            if (ledger["unit_sum"], ledger["time_sum"], ledger["undecided"]) != (
                0,
                0,
                0,
            ):
                raise DemoError(f"{node.name}'s ledger: {ledger}")
            if ledger["clearing"] != -group["position"]:
                raise DemoError(f"{node.name}: {ledger} but at the hub {group}")
            hours = group["position"] / 3_600_000
            told = f"position {hours:+.2f} h, mirrored"
            say(f"{group['name']}: ledger sums to zero, {told}")
        say("positions sum to zero")
        for server in federation.servers:
            self.hear_auditor(server)
        processes = {server.process.pid for server in federation.servers}
        say(f"a process each: {', '.join(map(str, sorted(processes)))}")

    def hear_auditor(self, server: Server) -> None:
        """A server recomputes its own ledger, and verifies what it has stored."""
        staff = self.federation.staff(server)
        answers = []

        def is_audited() -> bool:
            status, answer = staff.ask("GET", "/api/v1/audit")
            # Its nightly audit may be running just now.
            if status not in (200, 429):
                raise DemoError(f"the audit of {server.name}: {status} {answer}")
            answers.append(answer)
            return status == 200

        wait_for(is_audited, f"the audit of {server.name}", 60)
        audit = answers[-1]
        if not audit["is_sound"]:
            raise DemoError(f"{server.name}: {audit['findings']}")
        worths = [one["milliseconds"] / 1000 for one in audit["worths"]]
        if any(worth < 0 for worth in worths):
            raise DemoError(f"{server.name}: conversions are worth {worths}")
        told = f"{len(audit['checks'])} checks hold, none found anything"
        if worths:
            told += (
                f"; conversions are worth {', '.join(f'{one:g} s' for one in worths)}"
            )
        say(f"{server.name} audited itself: {told}")
