"""Parameters of the OpenAI SDK that the native clients cannot serve: a stream, and a class for the answer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from support.faults import FaultyRouter
from support.peer import open_with
from support.twins import Twin

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
STREAM = "stream=True: .* whole.*nomyo.openai"
METHODS = ("create", "create_secure", "send_secure_request", "encrypt_payload")


class Person:
    """Stands for a Pydantic model: what counts is that it is a class."""


def call_of(twin: Twin, name: str, url: str, key_directory: Path, request: dict[str, Any]) -> Any:
    if name.startswith("create"):
        return twin.call(getattr(twin.chat(url, key_dir=key_directory), name), request)
    client = twin.client(url, key_dir=key_directory)
    more = ("3f0e4c7e-6d1b-4f43-9a6c-2f0c8f0f9c11",) if name == "send_secure_request" else ()
    return twin.call(getattr(client, name), request, *more)


@pytest.mark.parametrize("name", METHODS)
def test_stream_is_not_sealed_and_the_caller_is_told(
    name: str, twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    asked = {**HELLO, "stream": True, "stream_options": {"include_usage": True}, "seed": 7}
    with pytest.warns(UserWarning, match=STREAM) as told:
        outcome = call_of(twin, name, faulty_router.url, key_directory, asked)
    assert [Path(one.filename).name for one in told if "stream" in str(one.message)] == ["twins.py"]  # our caller's
    package = outcome if name == "encrypt_payload" else faulty_router.posts[-1].body
    assert open_with(faulty_router.private_key_pem, package) == {**HELLO, "seed": 7}


def test_stream_is_warned_of_once(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            assert twin.call(chat.create, **HELLO, stream=True).choices[0].message.content == "hello"
    assert len([one for one in told if "stream=True" in str(one.message)]) == 1


@pytest.mark.filterwarnings("error")
def test_stream_is_refused_each_time_where_warnings_are_errors(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    for _ in range(2):
        with pytest.raises(UserWarning, match=STREAM):
            twin.call(chat.create, **HELLO, stream=True)
    assert faulty_router.posts == []


@pytest.mark.parametrize("stream", [False, None])
def test_no_stream_is_not_sealed_either(
    stream: object, twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, **HELLO, stream=stream)
    (post,) = faulty_router.posts
    assert open_with(faulty_router.private_key_pem, post.body) == HELLO


@pytest.mark.parametrize("name", METHODS)
def test_class_for_the_answer_is_refused_with_what_takes_one(
    name: str, twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    with pytest.raises(TypeError) as raised:
        call_of(twin, name, faulty_router.url, key_directory, {**HELLO, "response_format": Person})
    assert str(raised.value) == (
        "response_format must be JSON, not the class Person; nomyo.openai makes an answer an object of it:\n"
        "    from nomyo.openai import OpenAI  # or AsyncOpenAI\n"
        "    answer = OpenAI().chat.completions.parse(model=..., messages=..., response_format=Person)\n"
        "    answer.choices[0].message.parsed  # a Person"
    )
    assert faulty_router.posts == []
