"""Spans of OpenTelemetry, recorded by its own SDK: one for each request, with nothing of its content."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import nomyo
from support.faults import Answer, FaultyRouter
from support.peer import seal_for
from support.twins import Twin

PROMPT, ANSWER, TOKEN = "canary-prompt-5b1e", "canary-answer-c07d", "canary-token-99a3"
CANARIES = (PROMPT, ANSWER, TOKEN, "PRIVATE KEY", "PUBLIC KEY")
HELLO: dict[str, Any] = {"model": "a-model", "messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)  # the global provider can be set only once
    yield provider
    provider.shutdown()


@pytest.fixture
def spans(provider: TracerProvider) -> Callable[[], tuple[ReadableSpan, ...]]:
    """Return the spans that have ended, after a look for secrets in everything that an exporter would send."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def ended() -> tuple[ReadableSpan, ...]:
        shown = "".join(span.to_json() for span in exporter.get_finished_spans())
        assert [canary for canary in CANARIES if canary in shown] == []
        return exporter.get_finished_spans()

    return ended


Spans = Callable[[], tuple[ReadableSpan, ...]]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("method", ["create", "create_secure"])
def test_request_has_a_span_with_names_sizes_and_counts(
    method: str, twin: Twin, faulty_router: FaultyRouter, key_directory: Path, spans: Spans
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key=TOKEN)
    stop = {"temperature": 0.5, "max_tokens": 7, "seed": 2**70, "stop": [PROMPT], "user": TOKEN}
    answer = twin.call(getattr(chat, method), HELLO, security_tier="high", **stop)
    (span,) = spans()
    (post,) = faulty_router.posts
    assert (span.name, span.kind, span.status.status_code) == ("chat a-model", SpanKind.CLIENT, StatusCode.UNSET)
    found = attributes(span)
    assert found.pop("nomyo.response.size") > 1_000
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "nomyo",
        "gen_ai.request.model": "a-model",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 7,
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": "a-model",
        "gen_ai.response.finish_reasons": (answer.finish_reason if method == "create_secure" else "stop",),
        "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": answer.usage.completion_tokens,
        "server.address": "127.0.0.1",
        "server.port": int(faulty_router.url.rpartition(":")[2]),
        "nomyo.payload_id": post.headers["x-payload-id"],
        "nomyo.security_tier": "high",
        "nomyo.request.attempts": 1,
        "nomyo.request.size": len(post.body),
    }


def test_failure_is_shown_by_class_and_status_alone(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, spans: Spans, sleeps: list[float]
) -> None:
    faulty_router.always(Answer(503, f'{{"detail": "cannot answer {PROMPT}"}}'.encode()))
    with pytest.raises(nomyo.ServiceUnavailableError, match=PROMPT):
        twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, HELLO)
    (span,) = spans()
    found = attributes(span)
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    assert found["error.type"] == "nomyo.errors.ServiceUnavailableError"
    assert (found["http.response.status_code"], found["nomyo.request.attempts"]) == (503, 3)


def test_refused_payload_has_a_span_too(twin: Twin, spans: Spans) -> None:
    with pytest.raises(ValueError):
        twin.call(twin.chat("https://127.0.0.1:9").create, HELLO, security_tier="top")
    (span,) = spans()
    found = attributes(span)
    assert (found["error.type"], found["nomyo.request.attempts"]) == ("builtins.ValueError", 0)


def test_request_that_its_caller_gave_up_ends_its_span(key_directory: Path, spans: Spans) -> None:
    async def ask(port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        async with nomyo.SecureChatCompletion(url, True, key_dir=key_directory) as chat, asyncio.timeout(0.2):
            await chat.create(HELLO)

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        asyncio.run(ask(silent.getsockname()[1]))
    (span,) = spans()
    assert (attributes(span)["error.type"], span.status.status_code) == ("cancelled", StatusCode.ERROR)


@pytest.mark.parametrize("odd", [{"model": 7, "id": None, "choices": 7, "usage": 7}, {"usage": {"prompt_tokens": -1}}])
def test_answer_of_another_form_has_a_span_without_it(
    odd: dict[str, Any], twin: Twin, faulty_router: FaultyRouter, client_key: Any, key_directory: Path, spans: Spans
) -> None:
    faulty_router.change = lambda _: seal_for(client_key.public_key.pem, odd)
    twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, HELLO)
    (span,) = spans()
    assert [name for name in attributes(span) if name.startswith(("gen_ai.response", "gen_ai.usage"))] == []


@pytest.mark.parametrize("method", ["create", "create_secure"])
@pytest.mark.parametrize("text", [f"the patient said {ANSWER}", f"{ANSWER}\n", ANSWER * 6, f"{ANSWER}é"])
def test_text_of_the_router_where_an_id_or_name_is_expected_is_in_no_span(
    method: str, text: str, twin: Twin, faulty_router: FaultyRouter, client_key: Any, key_directory: Path, spans: Spans
) -> None:
    choice = {"message": {"role": "assistant", "content": "a"}, "finish_reason": text}
    answer = {"id": text, "model": text, "choices": [choice, {**choice, "finish_reason": "stop"}]}
    faulty_router.change = lambda _: seal_for(client_key.public_key.pem, answer)
    twin.call(getattr(twin.chat(faulty_router.url, key_dir=key_directory), method), HELLO)
    (span,) = spans()
    shown = {name: value for name, value in attributes(span).items() if name.startswith("gen_ai.response")}
    assert shown == ({"gen_ai.response.finish_reasons": ("stop",)} if method == "create" else {})


def test_span_is_the_child_of_its_callers(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, provider: TracerProvider, spans: Spans
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    def ask() -> None:
        with provider.get_tracer("a-program").start_as_current_span("outer"):
            twin.call(chat.create, HELLO)

    ask()
    request, outer = spans()
    assert outer.name == "outer"
    assert request.parent is not None
    assert request.parent == outer.get_span_context()


class Broken(SpanProcessor):
    def on_start(self, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    def on_end(self, *_: Any) -> None:
        raise ZeroDivisionError


def test_recorder_that_fails_fails_no_request(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, provider: TracerProvider
) -> None:
    provider.add_span_processor(Broken())
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    assert twin.call(chat.create, HELLO).choices[0].message.content == PROMPT


def test_program_without_opentelemetry_does_not_get_it(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, HELLO)
    assert [name for name in sys.modules if name.startswith("opentelemetry")] == []
    assert spans() == ()


def test_package_imports_it_nowhere() -> None:
    for path in Path(nomyo.__file__).parent.rglob("*.py"):
        assert not re.search(r"(import|from) opentelemetry", path.read_text()), path
