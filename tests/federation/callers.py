"""People who use a server over HTTP, as stubborn as a good program should be.

A member's program keeps the key of an order until it knows what became of it, and
asks again under that key when an answer is lost. ``Member.pay`` tries once;
``Member.pay_surely`` does not give up.
"""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

ENDED = ("cleared", "refused")
#: More than anything costs here, so that only tests of prices meet this bound.
ANY_PRICE = 10**9
_TIMEOUT_S = 40


class AwayError(Exception):
    """Nobody answered: what became of the request is not known."""


class Answer(NamedTuple):
    """Status and JSON of an answer, whatever the status."""

    status: int
    told: dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """Someone with a token, or without, who asks one server."""

    port: int
    token: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Ask once; raises ``AwayError`` when no whole answer comes."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
        try:
            line.request(method, path, raw, sent)
            response = line.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"))
        except (OSError, http.client.HTTPException) as error:
            raise AwayError(f"{method} {path}: {error!r}") from error
        finally:
            line.close()

    def ask_surely(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        within_s: float = 60,
    ) -> Answer:
        """Ask again and again until there is an answer other than "try later"."""
        headers = {} if key is None else {"Idempotency-Key": key}
        until = time.monotonic() + within_s
        told: object = None
        while time.monotonic() < until:
            try:
                told = answer = self.ask(method, path, body, headers=headers)
                if answer.status != 503:
                    return answer
            except AwayError as error:
                told = error
            time.sleep(0.05)
        raise AssertionError(f"{method} {path} was never answered: {told}")

    def get(self, path: str, **headers: str) -> dict[str, Any]:
        """Get what must be there."""
        status, told = self.ask("GET", path, headers=headers)
        if status == 503:
            # A server that has just started says "ask again", as it should.
            raise AwayError(f"GET {path}: {told}")
        assert status == 200, f"GET {path}: {status} {told}"
        return told


class Stream:
    """Server-sent events of a member, read one after the other."""

    def __init__(self, caller: Caller, known: str | None = None) -> None:
        sent = {"Authorization": f"Bearer {caller.token}"}
        if known is not None:
            sent["Last-Event-ID"] = known
        self._line = http.client.HTTPConnection(
            "127.0.0.1", caller.port, timeout=_TIMEOUT_S
        )
        self._line.request("GET", "/api/v1/events", headers=sent)
        self._response = self._line.getresponse()
        assert self._response.status == 200, self._response.read()
        #: The id of the newest event read.
        self.known = known

    def next(self) -> tuple[str, dict[str, Any]]:
        """Give name and JSON of the next event; ``AwayError`` when it ended."""
        fields: dict[str, str] = {}
        while True:
            try:
                raw = self._response.readline()
            except (OSError, http.client.HTTPException) as error:
                raise AwayError(f"events: {error!r}") from error
            if not raw:
                raise AwayError("events: the stream has ended")
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                self.known = fields["id"]
                return fields["event"], json.loads(fields["data"])

    def until_account(self) -> list[dict[str, Any]]:
        """Give the payments up to the next figures of the account, and these."""
        found = []
        while True:
            name, told = self.next()
            found.append(told)
            if name == "account":
                return found

    def close(self) -> None:
        self._response.close()
        self._line.close()


@dataclass(frozen=True)
class Order:
    """What a member wants: the same bytes under the same key in every try."""

    key: str
    to: str
    payee_amount: int
    payer_amount_max: int = ANY_PRICE
    memo: str = ""
    deliver: str = "when_reachable"
    refund_of: str | None = None

    @property
    def body(self) -> bytes:
        fields: dict[str, object] = {
            "to": self.to,
            "payee_amount": self.payee_amount,
            "payer_amount_max": self.payer_amount_max,
            "memo": self.memo,
            "deliver": self.deliver,
        }
        if self.refund_of is not None:
            fields["refund_of"] = self.refund_of
        return json.dumps(fields).encode()


@dataclass(frozen=True)
class Member(Caller):
    """A member with an account, signed in."""

    address: str = ""

    def account(self) -> dict[str, Any]:
        return self.get("/api/v1/account")

    def entries(self) -> list[dict[str, Any]]:
        """Her whole history, newest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while cursor is not None:
            page = self.get(f"/api/v1/entries?page_size=200{cursor}")
            found += page["entries"]
            cursor = page["cursor"] and f"&cursor={page['cursor']}"
        return found

    def pay(self, order: Order, *, wait_s: int = 0) -> Answer:
        """Try once; raises ``AwayError``."""
        headers = {"Idempotency-Key": order.key}
        if wait_s:
            headers["Prefer"] = f"wait={wait_s}"
        return self.ask("POST", "/api/v1/transfers", raw=order.body, headers=headers)

    def pay_surely(self, order: Order, *, within_s: float = 60) -> Answer:
        """Ask under the same key until there is an answer other than "try later"."""
        until = time.monotonic() + within_s
        while True:
            try:
                answer = self.pay(order)
            except AwayError as error:
                told: object = error
            else:
                if answer.status != 503:
                    return answer
                told = answer
            assert time.monotonic() < until, f"{order} was never answered: {told}"
            time.sleep(0.05)

    def cancel_surely(self, transfer_id: str, *, within_s: float = 60) -> Answer:
        """Wish to cancel, again and again until the node has answered."""
        until = time.monotonic() + within_s
        told: object = None
        while time.monotonic() < until:
            try:
                told = answer = self.ask("DELETE", f"/api/v1/transfers/{transfer_id}")
                if answer.status != 503:
                    return answer
            except AwayError as error:
                told = error
            time.sleep(0.05)
        raise AssertionError(f"cancelling was never answered: {told}")

    def transfer(self, transfer_id: str, *, wait_s: int = 0) -> dict[str, Any]:
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return self.get(f"/api/v1/transfers/{transfer_id}", **headers)

    def wait_end(self, transfer_id: str, *, within_s: float = 30) -> dict[str, Any]:
        """Wait until a transfer has ended, through every restart of the node."""
        until = time.monotonic() + within_s
        told: object = None
        while time.monotonic() < until:
            try:
                told = transfer = self.transfer(transfer_id, wait_s=5)
            except AwayError as error:
                told = error
                time.sleep(0.05)
            else:
                if transfer["state"] in ENDED:
                    return transfer
        raise AssertionError(f"transfer {transfer_id} did not end: {told}")
