"""`POST /v1/responses`: what the proxy itself adds to the translation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.faults import FaultyRouter
from support.odd_answers import answer_with, completion
from support.proxied import Proxy, error_of, proxy_process

PATH = "/v1/responses"
LINE_BYTES = 64 * 1024
WEATHER: dict[str, Any] = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


@pytest.fixture(scope="module")
def router() -> Iterator[FaultyRouter]:
    with FaultyRouter() as router:
        yield router


@pytest.fixture(scope="module")
def proxy(router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(router.url, key_directory, "--max-retries", "0", "--alias", "gpt-*=Qwen/Qwen3-0.6B") as proxy:
        yield proxy


def asked(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "any", "input": content, **fields}


def events_in(text: str) -> list[dict[str, Any]]:
    """Read server-sent events as their specification says: the data lines of an event are joined by line ends."""
    events = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        named, *lines = block.split("\n")
        event = json.loads("\n".join(line.removeprefix("data: ") for line in lines))
        assert named == f"event: {event['type']}"
        events.append(event)
    return events


def test_answer_is_a_response(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()
    answer = proxy.post(asked("Grüße 🎉"), PATH)

    response = answer.json()
    assert (answer.status_code, response["object"], response["store"]) == (200, "response", False)
    assert response["output"][0]["content"][0]["text"] == "Grüße 🎉"
    assert "Grüße".encode() not in router.posts[0].body


def test_alias_is_replaced_in_responses_too(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()

    assert proxy.post(asked() | {"model": "gpt-6"}, PATH).json()["model"] == "Qwen/Qwen3-0.6B"


def test_stream_says_that_it_is_complete(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()
    answer = proxy.post(asked(stream=True), PATH)

    assert answer.headers["x-nomyo-stream"] == "complete"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert events_in(answer.text)[-1]["type"] == "response.completed"


def test_lines_of_a_stream_stay_short_whatever_it_repeats(proxy: Proxy, router: FaultyRouter) -> None:
    """Only a text that is whole in the last events may have a longer line, which is its own."""
    router.reset()
    text = "a\u2028\u6f22\u5b57" * 20_000
    answer_with(router, completion({"content": text}))
    tools = [{**WEATHER, "name": f"tool_{number}", "description": "d" * 1000} for number in range(200)]
    answer = proxy.post(asked(stream=True, tools=tools), PATH)

    lines = answer.content.splitlines()
    assert [line for line in lines if len(line) > LINE_BYTES and b'"text":"a' not in line] == []
    events = events_in(answer.text)
    assert sum(len(line) > LINE_BYTES for line in lines) == 4  # the text, its part, its item and the response
    assert "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta") == text
    assert events[-1]["response"]["tools"] == tools


def test_left_out_tool_is_told_of_once_in_the_log_and_in_each_answer(router: FaultyRouter, key_directory: Path) -> None:
    router.reset()
    with proxy_process(router.url, key_directory, "--log-level", "warning") as proxy:
        for stream in (False, True, False):
            answer = proxy.post(asked(tools=[{"type": "web_search"}, WEATHER], stream=stream), PATH)
            assert answer.headers["x-nomyo-left-out"] == "web_search"
        assert "x-nomyo-left-out" not in proxy.post(asked(tools=[WEATHER]), PATH).headers
        proxy.stop()
        assert proxy.stderr.count("web_search") == 1


def test_unknown_tool_is_refused_and_no_log_shows_its_name(router: FaultyRouter, key_directory: Path) -> None:
    router.reset()
    with proxy_process(router.url, key_directory) as proxy:
        answer = proxy.post(asked(tools=[{"type": "canary_kind"}, WEATHER]), PATH)
        assert error_of(answer) == (400, "invalid_request_error", "invalid_request")
        assert answer.json()["error"]["param"] == "tools[0].type"
        proxy.stop()
        assert "canary_kind" not in answer.text + proxy.stderr
    assert router.posts == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
@pytest.mark.parametrize("path", ["resp_1", "resp_1/cancel", "resp_1/input_items"])
def test_nothing_is_stored(proxy: Proxy, method: str, path: str) -> None:
    answer = httpx.request(method, f"{proxy.url}{PATH}/{path}", headers=proxy.headers(), trust_env=False)

    assert error_of(answer) == (404, "not_found_error", "not_stored")


def test_refusals_have_openais_form(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()

    assert error_of(proxy.post(asked(), PATH, authorization=None))[0] == 401
    assert error_of(proxy.get(PATH))[0] == 405
    assert error_of(proxy.post(asked(), PATH, content_type="text/plain"))[0] == 415
    assert error_of(proxy.post(asked(), PATH + "?a=b"))[0] == 400
    assert error_of(proxy.post(b'{"model": "m", "input": "a", "input": "b"}', PATH))[0] == 400
    assert router.posts == []


def test_odd_answer_is_one_502(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()
    answer_with(router, completion({"content": 7}))
    for stream in (False, True):
        answer = proxy.post(asked(stream=stream), PATH)
        assert error_of(answer) == (502, "server_error", "unwritable_answer")
        assert answer.headers["x-should-retry"] == "false"
