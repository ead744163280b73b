"""A line between nodes and hub that loses what a test wants lost.

A small HTTP relay in front of the hub: the hub gives its address as its own, so every
node goes through it. It knows a node by who signed the cover, and what is said by the
types of the items behind it, as the simulator's network does. What is lost ends in a
connection that breaks: before the hub has heard the request, or before the node has
heard the answer.
"""

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.simulator.checker import decode
from tests.simulator.world import describe

_HUB, _NOBODY = "hub", ""
_LINK = "/federation/v1/link"
_TIMEOUT_S = 60
#: Headers that a relay passes on, each way.
_PASSED = ("Content-Type", "Prefer", "Retry-After", "Authorization")


class LossyLine:
    """The relay.

    Args:
        hub_port: where the hub really listens.
    """

    def __init__(self, hub_port: int) -> None:
        self._hub_port = hub_port
        self._lock = threading.Lock()
        #: What is to be lost, each once: from, to, and what it must carry.
        self.losses: list[tuple[str, str, str]] = []
        #: Directions that carry nothing now.
        self.cut: Counter[tuple[str, str]] = Counter()
        self.lost = 0
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                line.relay(self)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def mend(self) -> None:
        """Carry everything again."""
        with self._lock:
            self.losses.clear()
            self.cut.clear()

    def relay(self, handler: BaseHTTPRequestHandler) -> None:
        """Pass a request on and its answer back, unless it is to be lost."""
        length = int(handler.headers.get("Content-Length", "0"))
        raw = handler.rfile.read(length)
        node = _sender(raw) if handler.path == _LINK else _NOBODY
        handler.close_connection = True
        if self._is_lost(node, _HUB, raw):
            return
        sent = {
            name: handler.headers[name] for name in _PASSED if name in handler.headers
        }
        hub = http.client.HTTPConnection(
            "127.0.0.1", self._hub_port, timeout=_TIMEOUT_S
        )
        try:
            hub.request(handler.command, handler.path, raw, sent)
            answer = hub.getresponse()
            told = answer.read()
        except (OSError, http.client.HTTPException):
            return
        finally:
            hub.close()
        if not self._is_lost(_HUB, node, told):
            _answer(handler, answer, told)

    def _is_lost(self, origin: str, to: str, raw: bytes) -> bool:
        with self._lock:
            if self.cut[origin, to]:
                self.lost += 1
                return True
            for loss in self.losses:
                if loss[:2] == (origin, to) and loss[2] in describe(raw):
                    self.losses.remove(loss)
                    self.lost += 1
                    return True
            return False


def _sender(raw: bytes) -> str:
    """Say which node signed the cover of a request."""
    return str(decode(raw.partition(b"\n")[0].split(b".")[1])["from"])


def _answer(
    handler: BaseHTTPRequestHandler, answer: http.client.HTTPResponse, told: bytes
) -> None:
    try:
        handler.send_response(answer.status)
        for name in _PASSED:
            if name in answer.headers:
                handler.send_header(name, answer.headers[name])
        handler.send_header("Content-Length", str(len(told)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(told)
    except OSError:
        # The node was killed meanwhile.
        return
