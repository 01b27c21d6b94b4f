"""Counts requests for Prometheus. Labels hold only a request's route and how it ended."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from nomyo.serve.access_log import Answered
from nomyo.serve.proxy.slots import Slots

__all__ = ["CONTENT_TYPE", "Metrics"]

# A model takes from a tenth of a second to minutes.
_BUCKETS_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """Counts in a registry of its own, so that several proxies in one process do not mix.

    Args:
        slots: Knows the requests under way and waiting.
    """

    def __init__(self, slots: Slots) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "nomyo_proxy_requests", "Answers by route and status.", ["route", "status"], registry=registry
        )
        self._errors = Counter(
            "nomyo_proxy_errors", "Requests not served, by the error's code.", ["code"], registry=registry
        )
        self._received = Counter("nomyo_proxy_received_bytes", "Bytes of requests' bodies.", registry=registry)
        self._sent = Counter("nomyo_proxy_sent_bytes", "Bytes of answers' bodies.", registry=registry)
        self._seconds = Histogram(
            "nomyo_proxy_request_seconds",
            "From a request to the end of its answer.",
            ["route"],
            registry=registry,
            buckets=_BUCKETS_S,
        )
        at_work = Gauge("nomyo_proxy_in_flight", "Requests at the router now.", registry=registry)
        at_work.set_function(lambda: slots.at_work)
        waiting = Gauge(
            "nomyo_proxy_waiting", "Requests that arrive, wait or are being answered now.", registry=registry
        )
        waiting.set_function(lambda: slots.inside - slots.at_work)

    def note(self, answered: Answered) -> None:
        """Count an answer."""
        self._requests.labels(answered.path, str(answered.status)).inc()
        self._received.inc(answered.bytes_in)
        self._sent.inc(answered.bytes_out)
        self._seconds.labels(answered.path).observe(answered.seconds)

    def note_error(self, code: str) -> None:
        """Count a request that was not served."""
        self._errors.labels(code).inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)
