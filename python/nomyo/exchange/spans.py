"""A span of OpenTelemetry for each request, in programs that use `opentelemetry`; in others, nothing.

Rules:

- The module is never imported here: only a program that has imported `opentelemetry.trace` can record spans, so a
  request looks for it in `sys.modules`, and costs others nothing.
- A span shows no content, key or token: names, sizes, counts. Errors appear as their class and status, because their
  words may quote a prompt. Of an answer's ID, model and finish reasons, those are left out that may be a text.
- A span that cannot be recorded ends no request.

The names are those of the semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans); what they lack begins with `nomyo.`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

from .._counts import count
from .._printable import printable, printable_id
from ..errors import APIError
from ..responses import ChatCompletionResponse, SecureResponse
from .call import Call, Tally
from .settings import Settings

_LONGEST_CHARS: Final = 256
_MOST_CHOICES: Final = 16
_PORTS: Final = {"http": 80, "https": 443}
_NUMBERS: Final = ("frequency_penalty", "max_tokens", "presence_penalty", "seed", "temperature", "top_p")
_NOT_TRACED: Final = nullcontext()


def traced(call: Call, settings: Settings) -> AbstractContextManager[object]:
    """Return a context that lasts as long as the span of a call; it does nothing if nobody records spans."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return _NOT_TRACED
    with suppress(Exception):
        attributes = dict(_request_attributes(call, settings))
        span = api.get_tracer("nomyo").start_span(_name(call), kind=api.SpanKind.CLIENT, attributes=attributes)
        if span.is_recording():
            return _RequestSpan(call, span, api.Status(api.StatusCode.ERROR))
    return _NOT_TRACED


class _RequestSpan:
    """The span of one call, which fills its tally meanwhile."""

    def __init__(self, call: Call, span: Any, failed: Any) -> None:
        self._call = call
        self._span = span
        self._failed = failed

    def __enter__(self) -> None:
        self._call.tally = self._tally = Tally()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span."""
        self._call.tally = None
        with suppress(Exception):
            self._span.set_attributes(dict(_outcome_attributes(self._tally)))
            if error is not None:
                self._span.set_attributes(dict(_error_attributes(error)))
                self._span.set_status(self._failed)
        with suppress(Exception):
            self._span.end()


def _outcome_attributes(tally: Tally) -> Iterator[tuple[str, Any]]:
    yield "nomyo.request.attempts", tally.attempts
    if tally.request_bytes is not None:
        yield "nomyo.request.size", tally.request_bytes
    if tally.response_bytes is not None:
        yield "nomyo.response.size", tally.response_bytes
    if tally.answer is not None:
        yield from _answer_attributes(tally.answer)


def _name(call: Call) -> str:
    model = _model(call)
    return "chat" if model is None else f"chat {model}"


def _model(call: Call) -> str | None:
    return _text(call.payload.get("model")) if isinstance(call.payload, dict) else None


def _request_attributes(call: Call, settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield what is known before the request: samplers see these."""
    address = urlsplit(settings.base_url)
    yield "gen_ai.operation.name", "chat"
    yield "gen_ai.provider.name", "nomyo"
    yield "server.address", address.hostname
    yield "server.port", address.port or _PORTS[address.scheme]
    yield "nomyo.payload_id", _text(call.payload_id) or ""
    tier = _text(call.security_tier)
    if tier:
        yield "nomyo.security_tier", tier
    model = _model(call)
    if model is not None:
        yield "gen_ai.request.model", model
        yield from _numbers(call.payload)


def _numbers(payload: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    for name in _NUMBERS:
        value = payload.get(name)
        if type(value) is float or (type(value) is int and abs(value) < 1 << 63):  # what an attribute holds
            yield f"gen_ai.request.{name}", value


def _answer_attributes(answer: ChatCompletionResponse | SecureResponse) -> Iterator[tuple[str, Any]]:
    """Yield what an answer says about itself, as far as it is of the documented types and can be no content."""
    of_itself: Mapping[str, Any] = answer if isinstance(answer, dict) else {"id": answer.id, "model": answer.model}
    for name in ("id", "model"):
        shown = printable_id(of_itself.get(name))
        if shown is not None:
            yield f"gen_ai.response.{name}", shown
    reasons = _finish_reasons(answer)
    if reasons:
        yield "gen_ai.response.finish_reasons", reasons
    usage = answer.usage
    if isinstance(usage, dict):
        for ours, theirs in (("input", "prompt"), ("output", "completion")):
            tokens = count(usage.get(f"{theirs}_tokens"))
            if tokens is not None:
                yield f"gen_ai.usage.{ours}_tokens", tokens


def _finish_reasons(answer: ChatCompletionResponse | SecureResponse) -> list[str]:
    if isinstance(answer, SecureResponse):
        given = [answer.finish_reason]
    else:
        choices = answer.get("choices")
        listed = choices[:_MOST_CHOICES] if isinstance(choices, list) else []
        given = [choice.get("finish_reason") for choice in listed if isinstance(choice, dict)]
    return [reason for reason in map(printable_id, given) if reason is not None]


def _error_attributes(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Yield the class of an error and its status; a flow is closed if its caller was cancelled or interrupted."""
    kind = type(error)
    yield "error.type", "cancelled" if kind is GeneratorExit else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, APIError) and error.status_code is not None:
        yield "http.response.status_code", error.status_code


def _text(value: object) -> str | None:
    """Return the beginning of a text of the caller's that can be shown; a `SecureBuffer` is none."""
    return printable(value, _LONGEST_CHARS) if isinstance(value, str) else None
