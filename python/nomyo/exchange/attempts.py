"""Sends a request until there is an answer: again after failures that may pass, and always with the same bytes."""

from __future__ import annotations

from .._plurals import counted
from ..errors import APIConnectionError, ConfigurationError
from .call import Tally
from .effects import Flow, NetworkFailure, Request, Response, Send, Sleep, Timeouts
from .lifetime import Lifetime
from .retries import RETRIED_STATUSES, delay_before
from .settings import LONGEST_CONNECT_S, Settings
from .trace import timed
from .wrong_address import TRY_TLS, of_clear_answer


class Attempts:
    """Sends the requests of one client to its router.

    Args:
        settings: The client's.
        lifetime: No attempt begins, and no answer is used, after its end.
    """

    def __init__(self, settings: Settings, lifetime: Lifetime) -> None:
        self._settings = settings
        self._lifetime = lifetime
        self._log = settings.log

    def send(self, request: Request, tally: Tally | None = None) -> Flow[Response]:
        """Send a request, and return the answer: any status that no further attempt would change, or the last one.

        Args:
            request: The request.
            tally: Where each attempt is noted.

        Raises:
            APIConnectionError: No attempt brought an answer.
            ConfigurationError: A setting of this machine stands in the way; there is no further attempt.
            DisposedError: The client was disposed of meanwhile.
        """
        attempt = 0
        was_sent = False
        while True:
            attempt += 1
            if tally is not None:
                tally.attempts += 1
            with timed(self._log, f"{request.method} attempt {attempt}, {len(request.body)} bytes"):
                outcome: Response | NetworkFailure = yield Send(request)
            self._lifetime.check()
            if isinstance(outcome, Response):
                self._log.debug("answer: HTTP %d, %d bytes", outcome.status, len(outcome.body))
                if tally is not None:
                    tally.response_bytes = len(outcome.body)
                was_sent = True
                if outcome.status not in RETRIED_STATUSES:
                    return outcome
            else:
                self._log.debug("no answer: %s", outcome.reason)
                if outcome.lasting:
                    raise ConfigurationError(outcome.reason, sent=was_sent and bool(request.body))
                was_sent |= outcome.connected
            delay_s = self._delay_after(attempt, outcome)
            if delay_s is None:
                break
            self._log.debug("next attempt in %.1f s", delay_s)
            yield Sleep(delay_s)
            self._lifetime.check()
        if isinstance(outcome, Response):
            return outcome
        raise self._error_for(request, outcome, attempt, was_sent)

    def _delay_after(self, attempt: int, outcome: Response | NetworkFailure) -> float | None:
        """Return the seconds until the next attempt; None if there is none."""
        if attempt > self._settings.max_retries:
            return None
        if isinstance(outcome, Response):
            return delay_before(attempt, outcome.retry_after)
        return None if outcome.untrusted else delay_before(attempt)  # a refused certificate stays the same

    def _error_for(
        self, request: Request, failure: NetworkFailure, attempts: int, was_sent: bool
    ) -> APIConnectionError:
        error = APIConnectionError(
            self._words_for(request, failure, attempts),
            timed_out=failure.timed_out,
            sent=was_sent and bool(request.body),
            untrusted=failure.untrusted,
        )
        error.no_router = _is_no_router(request, failure)
        return error

    def _words_for(self, request: Request, failure: NetworkFailure, attempts: int) -> str:
        address = self._settings.base_url
        if _is_no_router(request, failure):
            return of_clear_answer(address)
        why = _why(failure, request.timeouts or self._settings.timeouts) + self._hint_at_tls(request, failure)
        return f"no answer from {address} ({counted(attempts, 'attempt')}): {why}"

    def _hint_at_tls(self, request: Request, failure: NetworkFailure) -> str:
        """Return a hint for a caller who asks a TLS port for the router's key in clear: it closes the connection."""
        answered_oddly = failure.connected and not failure.timed_out and not failure.untrusted
        is_first = request.method == "GET" and self._settings.plain_http
        return f"; {TRY_TLS}" if answered_oddly and is_first else ""


def _is_no_router(request: Request, failure: NetworkFailure) -> bool:
    """Return whether the request for the router's key, which comes first, shows that TLS is not spoken there."""
    return failure.in_clear and request.method == "GET"


_ADVICE = " (raise timeout=, or --timeout of a command, to wait longer)"


def _why(failure: NetworkFailure, timeouts: Timeouts) -> str:
    """Say why there was no answer; of a timeout of ours, what was waited for, how long, and what to raise."""
    if failure.phase is None:
        return failure.reason
    if failure.phase == "pool":
        return _timed_out("http_client had no free connection", timeouts.pool_s, _ADVICE)
    if not failure.connected:
        # At the upper bound of the connecting, a longer timeout changes nothing.
        helps = timeouts.connect_s is None or timeouts.connect_s < LONGEST_CONNECT_S
        return _timed_out("no connection", timeouts.connect_s, _ADVICE if helps else "")
    if failure.phase == "upload":
        return _timed_out("the request was not taken", timeouts.write_s, _ADVICE)
    return _timed_out("no whole answer", timeouts.read_s, _ADVICE)


def _timed_out(missing: str, seconds: float | None, advice: str) -> str:
    within = "" if seconds is None else f" within {seconds:g} s"
    return f"timed out: {missing}{within}{advice}"
