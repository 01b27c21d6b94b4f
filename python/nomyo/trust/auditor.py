"""Writes the evidence of a client's calls into its audit log, before their answers are handed out.

There is one line for each package that was sealed, and for each call that failed before. A call that was a mistake (a
payload that is not JSON, say) has none: nothing of it left. No line has content: an error is named by its class, since
its words may quote a prompt, and the model only if that was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from nomyo import _core
from nomyo._printable import printable
from nomyo.errors import ConfigurationError, DisposedError
from nomyo.exchange.call import Call
from nomyo.exchange.driver import compute
from nomyo.exchange.effects import Compute, Flow, UseFiles, Wait
from nomyo.exchange.evidence import Evidence, Exchanged
from nomyo.exchange.settings import Settings
from nomyo.responses import SecureResponse
from nomyo.trust.audit_log import Fault, audit_log_at

T = TypeVar("T")

CANCELLED: Final = "cancelled"
_LONGEST_CHARS: Final = 256
_LONGEST_URL_CHARS: Final = 2048


class Auditor:
    """The evidence of one client; a `Recorder`.

    Args:
        settings: The client's.
        path: Its `audit_log`.
    """

    def __init__(self, settings: Settings, path: str) -> None:
        self._path = path
        self._log = audit_log_at(path)
        self._router = settings.base_url[:_LONGEST_URL_CHARS]
        self._shows_model = settings.audit_model
        self._requires_locks = settings.secure_memory == "require"

    def recorded(self, call: Call, flow: Flow[T]) -> Flow[T]:
        """Do what `Recorder.recorded` says. If the log failed before, nothing is sent until it can be written again."""
        checked = self._log.check()
        if checked is not None:
            self._raise_of((yield from _outcome(checked)), sent=False)
        return (yield from self._call(call, flow))

    def opened(self, call: Call, opening: Flow[T]) -> Flow[T]:
        """Do what `Recorder.opened` says."""
        answer, writing = yield Compute(partial(self._open_and_write, call, opening))
        fault: Fault = (yield from _outcome(writing)) if isinstance(writing, Future) else writing
        if fault is not None and isinstance(answer, SecureResponse):
            answer.close()
        self._raise_of(fault, sent=True)
        opened: T = answer
        return opened

    def ended(self) -> Flow[None]:
        """Do what `Recorder.ended` says."""
        yield UseFiles(self._log.sync)

    def hurry(self) -> None:
        """Do what `Recorder.hurry` says."""
        self._log.hurry()

    def _open_and_write(self, call: Call, opening: Flow[T]) -> tuple[T, Future[Fault] | Fault]:
        answer = compute(opening)
        if call.evidence is None or not call.evidence.claim():  # the call was cancelled, and its line says so
            return answer, None
        return answer, self._log.write(self._lines(call, call.evidence, None))

    def _call(self, call: Call, flow: Flow[T]) -> Flow[T]:
        evidence = call.evidence = Evidence()
        try:
            return (yield from flow)
        except Exception as raised:  # noqa: BLE001 - raised below, outside of this block
            error = raised
        except BaseException:  # the caller was cancelled or interrupted, here or in the driver: nobody waits
            if evidence.claim():
                self._log.queue(self._lines(call, evidence, CANCELLED))
            raise
        try:
            fault = yield from self._written(call, evidence, error)
            self._raise_of(fault, sent=bool(evidence.exchanged))
            raise error
        finally:
            del error  # it refers to this frame: without this, a cycle would keep the payload alive

    def _written(self, call: Call, evidence: Evidence, error: Exception) -> Flow[Fault]:
        """Write the lines of a call that failed, if nothing else has."""
        if not evidence.exchanged and isinstance(error, (ValueError, TypeError, DisposedError)):
            return None
        if not evidence.claim():
            return None
        return (yield from _outcome(self._log.queue(self._lines(call, evidence, type(error).__name__))))

    def _lines(self, call: Call, evidence: Evidence, error: str | None) -> list[Mapping[str, Any]]:
        """Return the contents of a call's lines; a megabyte of a package and its answer takes a millisecond."""
        facts = self._facts(call, evidence.began_s, error)
        if not evidence.exchanged:
            return [facts | _NOTHING_SEALED]
        # The others were sealed for a key that the router had replaced; the caller got no error of them.
        *refused, last = evidence.exchanged
        return [*(_line(facts | {"error": None}, each) for each in refused), _line(facts, last)]

    def _facts(self, call: Call, began_s: float, error: str | None) -> dict[str, Any]:
        model = call.payload.get("model")
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "took_s": round(time.monotonic() - began_s, 3),
            "router": self._router,
            "payload_id": call.payload_id[:_LONGEST_CHARS],  # a header's value, which `Call.check` has seen
            "tier": None if call.security_tier is None else str(call.security_tier),
            **({"model": printable(model, _LONGEST_CHARS)} if self._shows_model and isinstance(model, str) else {}),
            "error": error,
            "memory": self._memory(),
        }

    def _memory(self) -> dict[str, Any]:
        status = _core.memory_status()
        return {
            "locked_bytes": status["locked_bytes"],
            "unlocked_bytes": status["unlocked_bytes"],
            "required": self._requires_locks,
            "refused_calls": _core.refused_calls(),
        }

    def _raise_of(self, fault: Fault, *, sent: bool) -> None:
        """Raise what a failure of the log means for the caller."""
        if fault is None:
            return
        became = "the answer is not handed out" if sent else "nothing was sent"
        raise ConfigurationError(f"audit_log: {self._path} cannot be written ({fault}); {became}", sent=sent)


def auditor_of(settings: Settings) -> Auditor | None:
    """Return what keeps the evidence of a client; None if it has no `audit_log`."""
    return None if settings.audit_log is None else Auditor(settings, str(settings.audit_log))


def _outcome(future: Future[Fault]) -> Flow[Fault]:
    while not future.done():
        yield Wait(future)
    return future.result()


def _line(facts: Mapping[str, Any], exchanged: Exchanged) -> Mapping[str, Any]:
    response = exchanged.response
    return {
        **facts,
        "router_key": exchanged.router_key.fingerprint,
        "client_key": exchanged.client_key.fingerprint,
        "request_bytes": len(exchanged.package),
        "request_sha256": _core.sha256_hex(exchanged.package),
        "status": None if response is None else response.status,
        "response_bytes": None if response is None else len(response.body),
        "response_sha256": None if response is None else _core.sha256_hex(response.body),
        "attestation": exchanged.attestation,
    }


_NOTHING_SEALED: Final = dict.fromkeys(
    (
        "router_key",
        "client_key",
        "request_bytes",
        "request_sha256",
        "status",
        "response_bytes",
        "response_sha256",
        "attestation",
    )
)
