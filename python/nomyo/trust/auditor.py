"""Writes the evidence of a client's calls into its audit log, before their answers are handed out.

There is one line for each package that was sealed, and for each call that failed before. A call that was a mistake (a
payload that is not JSON, say) has none: nothing of it left. No line has content: an error is named by its class, since
its words may quote a prompt, and the model only if that was asked for.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from nomyo.errors import ConfigurationError, DisposedError
from nomyo.exchange.call import Call
from nomyo.exchange.effects import Compute, Flow, UseFiles, Wait
from nomyo.exchange.evidence import Evidence
from nomyo.exchange.settings import Settings
from nomyo.responses import SecureResponse
from nomyo.trust.audit_line import AuditLines
from nomyo.trust.audit_log import Fault, audit_log_at

T = TypeVar("T")

CANCELLED: Final = "cancelled"


class Auditor:
    """The evidence of one client; a `Recorder`.

    Args:
        settings: The client's.
        path: Its `audit_log`.
    """

    def __init__(self, settings: Settings, path: str) -> None:
        self._path = path
        self._log = audit_log_at(path)
        self._lines = AuditLines(settings)

    def recorded(self, call: Call, flow: Flow[T]) -> Flow[T]:
        """Do what `Recorder.recorded` says. If the log failed before, nothing is sent until it can be written again."""
        checked = self._log.check()
        if checked is not None:
            self._raise_of((yield from _outcome(checked)), sent=False)
        return (yield from self._call(call, flow))

    def opened(self, call: Call, opening: Flow[T]) -> Flow[T]:
        """Do what `Recorder.opened` says."""
        effect = next(opening)
        assert isinstance(effect, Compute)
        finish = partial(self._finished, call, opening)
        try:
            answer, writing = yield Compute(effect.call, effect.together, finish, self._kept)
        except Exception as raised:  # noqa: BLE001 - it goes to the flow, outside of this block
            error = raised
        else:
            handed_out: T = yield from self._handed_out(answer, writing)
            return handed_out
        try:
            opening.throw(error)
        finally:
            del error  # it refers to this frame: without this, a cycle would keep the payload alive
        raise AssertionError("an answer that cannot be opened is an error")

    def _handed_out(self, answer: T, writing: Future[Fault] | Fault) -> Flow[T]:
        """Return an answer when its line is written."""
        fault: Fault = (yield from _outcome(writing)) if isinstance(writing, Future) else writing
        if fault is not None and isinstance(answer, SecureResponse):
            answer.close()
        self._raise_of(fault, sent=True)
        return answer

    def ended(self) -> Flow[None]:
        """Do what `Recorder.ended` says."""
        yield UseFiles(self._log.sync)

    def hurry(self) -> None:
        """Do what `Recorder.hurry` says."""
        self._log.hurry()

    def _finished(self, call: Call, opening: Flow[T], opened: Any) -> _Unkept[T]:
        """Return an answer with its lines; called in the thread that has opened it."""
        answer = _end_of(opening, opened)
        evidence = call.evidence
        assert evidence is not None
        return _Unkept(answer, evidence, self._lines.of(call, evidence, None))

    def _kept(self, answers: list[_Unkept[Any]]) -> list[tuple[Any, Future[Fault] | Fault]]:
        """Write the lines of answers that were opened together."""
        # The others were cancelled, and their lines say so.
        entries = [line for answer in answers if answer.evidence.claim() for line in answer.lines]
        outcome = self._log.write(entries) if entries else None
        return [(each.answer, outcome) for each in answers]

    def _call(self, call: Call, flow: Flow[T]) -> Flow[T]:
        evidence = call.evidence = Evidence()
        try:
            return (yield from flow)
        except Exception as raised:  # noqa: BLE001 - raised below, outside of this block
            error = raised
        except BaseException:  # the caller was cancelled or interrupted, here or in the driver: nobody waits
            if evidence.claim():
                self._log.queue(self._lines.of(call, evidence, CANCELLED))
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
        return (yield from _outcome(self._log.queue(self._lines.of(call, evidence, type(error).__name__))))

    def _raise_of(self, fault: Fault, *, sent: bool) -> None:
        """Raise what a failure of the log means for the caller."""
        if fault is None:
            return
        became = "the answer is not handed out" if sent else "nothing was sent"
        raise ConfigurationError(f"audit_log: {self._path} cannot be written ({fault}); {became}", sent=sent)


@dataclass(frozen=True, slots=True, repr=False)
class _Unkept(Generic[T]):
    """An answer whose lines are not written yet."""

    answer: T
    evidence: Evidence
    lines: list[bytes]


def _end_of(opening: Flow[T], opened: Any) -> T:
    """Return what a flow makes of its only outcome."""
    try:
        opening.send(opened)
    except StopIteration as stop:
        answer: T = stop.value
        return answer
    raise AssertionError("an answer is opened by one effect")


def auditor_of(settings: Settings) -> Auditor | None:
    """Return what keeps the evidence of a client; None if it has no `audit_log`."""
    return None if settings.audit_log is None else Auditor(settings, str(settings.audit_log))


def _outcome(future: Future[Fault]) -> Flow[Fault]:
    while not future.done():
        yield Wait(future)
    return future.result()
