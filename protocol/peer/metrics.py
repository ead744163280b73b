"""What a server counts about itself, as ``/metrics`` shows it.

One ``Metrics`` per running server, with a registry of its own: several servers in
one test process must not add to each other's numbers. Labels come from short lists
that we know (kinds, codes, routes, linked peers), never from what a stranger sent.
"""

from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_COMMIT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)


class Metrics:
    """Counters, gauges and histograms of one server; each attribute is one of them."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._link_states: dict[str, str] = {}

        def counter(name: str, told: str, *labels: str) -> Counter:
            return Counter(f"interlets_{name}", told, labels, registry=registry)

        def gauge(name: str, told: str, *labels: str) -> Gauge:
            return Gauge(f"interlets_{name}", told, labels, registry=registry)

        self.batches = counter("batches", "Batches that the clerk began.")
        self.commits = counter("commits", "Batches that are durable.")
        self.batch_size = Histogram(
            "interlets_batch_size",
            "Inputs in a batch.",
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "interlets_commit_seconds",
            "Seconds from the start of a batch until it was durable.",
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        self.inputs = counter("inputs", "Inputs that the clerk decided.", "kind")
        self.refusals = counter("refusals", "Lawful noes.", "code")
        self.alarms = counter(
            "alarms",
            "What people must look at, and what was one too many.",
            "about",
            "outcome",
        )
        self.waiting = gauge("waiting", "Inputs that wait for the clerk.")
        self.envelopes = counter("envelopes", "Envelopes taken and sealed.", "outcome")
        self.inquiries = counter(
            "inquiries", "Inquiries and answers that came behind covers.", "outcome"
        )
        self.requests = counter(
            "http_requests", "HTTP requests answered.", "route", "status"
        )
        self.audit_findings = gauge(
            "audit_findings", "Findings of the newest audit; 0 on a sound ledger."
        )
        self.audit_at = gauge(
            "audit_timestamp_seconds", "When the newest audit was, seconds since 1970."
        )
        self.audit_seconds = gauge("audit_seconds", "How long the newest audit took.")
        self._link_state = gauge(
            "link_state", "1 for the state that a link is in.", "peer", "state"
        )

    def set_link_state(self, peer: str, state: str) -> None:
        """Show ``state`` for the link with ``peer``, in place of the one before."""
        before = self._link_states.get(peer)
        if before is not None and before != state:
            self._link_state.remove(peer, before)
        self._link_states[peer] = state
        self._link_state.labels(peer, state).set(1)

    def render(self) -> bytes:
        """Everything, in the text form named by ``CONTENT_TYPE``."""
        return generate_latest(self._registry)
