"""What comes of answers that are valid and odd: they arrive as they are, and no way to them breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nomyo import SecurityError
from support.chat_process import ask_by
from support.faults import FaultyRouter
from support.odd_answers import answer_with
from support.proxied import Proxy, chat, proxy_process
from support.sdk import Sdk
from support.twins import Twin

MESSAGES: list[Any] = [{"role": "user", "content": "Hello"}]


def answer(message: str, further: str = "", usage: str = "null") -> str:
    """Return an answer as text: what a message holds, what stands beside the choices, the usage."""
    choice = f'{{"index": 0, "finish_reason": "stop"{message}}}'
    return f'{{"id": "a", "object": "chat.completion", "created": 1, "choices": [{choice}], "usage": {usage}{further}}}'


ODD = {
    "content in parts": answer(', "message": {"role": "assistant", "content": [{"type": "text", "text": "in parts"}]}'),
    "null content": answer(', "message": {"role": "assistant", "content": null}'),
    "no content": answer(', "message": {"role": "assistant"}'),
    "no message": answer(""),
    "null message": answer(', "message": null'),
    "integers as floats": answer(
        ', "message": {"content": "a"}', usage='{"prompt_tokens": 3.0, "completion_tokens": 4.0, "total_tokens": 7.0}'
    ),
    "large integers": answer(', "message": {"content": "a"}', f', "large": [{2**64}, -{10**40}, 1{"0" * 4000}]'),
    "unknown fields": answer(', "message": {"content": "a", "mood": {"a": [1]}}, "x": 1', ', "y": {"z": [null]}'),
    "escapes": answer(', "message": {"content": "\\ud800 \\u0000 \\u2028"}'),
    "two choices of one index": answer('}, {"index": 0, "message": {"content": "b"}'),
    "no choices": '{"id": "a", "choices": [], "usage": null}',
    "no object of OpenAI's": '{"answer": 42}',
}


@pytest.fixture(scope="module")
def proxy(_shared_faulty_router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(_shared_faulty_router.url, key_directory) as proxy:
        yield proxy


def without_metadata(told: Any) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "_metadata"}


@pytest.mark.parametrize("what", ODD)
def test_client_gives_it_as_it_is(twin: Twin, faulty_router: FaultyRouter, key_directory: Path, what: str) -> None:
    answer_with(faulty_router, ODD[what])
    response = twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, model="m", messages=MESSAGES)
    assert without_metadata(response) == json.loads(ODD[what])
    kinds = [type(value) for value in (response.get("usage") or {}).values()]
    assert kinds == [float] * len(kinds)  # 3.0 stays one


@pytest.mark.parametrize("what", ODD)
def test_proxy_gives_it_as_it_is(proxy: Proxy, faulty_router: FaultyRouter, what: str) -> None:
    answer_with(faulty_router, ODD[what])
    whole = proxy.post(chat())
    assert (whole.status_code, without_metadata(whole.json())) == (200, json.loads(ODD[what]))
    streamed = proxy.post(chat(stream=True, stream_options={"include_usage": True}))
    events = [line.removeprefix("data: ") for line in streamed.text.split("\n\n")]
    assert (streamed.status_code, events[-2:]) == (200, ["[DONE]", ""])
    *_, last = (json.loads(event) for event in events[:-2])
    assert last["usage"] == json.loads(ODD[what]).get("usage")


@pytest.mark.parametrize("what", ODD)
def test_sdk_reads_it_whole_and_as_a_stream(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    answer_with(faulty_router, ODD[what])
    client = sdk.client(faulty_router.url, key_dir=key_directory)
    request: dict[str, Any] = {"model": "m", "messages": MESSAGES}
    whole = sdk.call(client.chat.completions.with_raw_response.create, **request)
    assert without_metadata(json.loads(whole.content)) == json.loads(ODD[what])
    assert sdk.chunks(client, **request)


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [("content in parts", 0, b"in parts"), ("null content", 1, b""), ("null message", 1, b""), ("no choices", 1, b"")],
)
def test_chat_prints_the_text_or_says_that_there_is_none(
    faulty_router: FaultyRouter, tmp_path: Path, what: str, code: int, said: bytes, key_options: list[str]
) -> None:
    answer_with(faulty_router, ODD[what])
    to_router = ["--base-url", faulty_router.url, "--allow-http", *key_options]
    done = ask_by("argument", "hello", tmp_path, *to_router)
    assert (done.returncode, done.stdout) == (code, said)
    assert (b"the answer has no text; --json shows what it has" in done.stderr) == (code == 1)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"choices": [{"a": 1, "\\u0061": 2}]}'])
def test_answer_in_which_a_name_stands_twice_is_refused(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, text: str
) -> None:
    """The first of the two values would become an object that nobody gets, and stay in memory when it is freed."""
    answer_with(faulty_router, text)
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    with pytest.raises(SecurityError, match="no field twice"):
        twin.call(chat.create, model="m", messages=MESSAGES)
