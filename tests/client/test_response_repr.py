"""What a response and a client show of themselves: what helps, and never content or a credential."""

from __future__ import annotations

import json
import math
import traceback
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo.transports import AsyncSecureTransport, SecureTransport
from support.faults import FaultyRouter
from support.odd_answers import answer_with, completion
from support.twins import Twin

SECRET = "the patient's diagnosis"
MESSAGES = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def levels(value: Any) -> Any:
    """Return an answer as the core makes it: each JSON object a response of its own."""
    if isinstance(value, dict):
        return nomyo.ChatCompletionResponse({name: levels(each) for name, each in value.items()})
    return [levels(each) for each in value] if isinstance(value, list) else value


def answer(**fields: Any) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", "content": SECRET}, "finish_reason": "stop"}
    return levels({"id": "chatcmpl-1", "model": "Qwen/Qwen3-0.6B", "choices": [choice], "usage": USAGE, **fields})


def test_repr_names_the_answer_and_its_size(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = twin.chat(faulty_router.url, key_dir=key_directory)
    answer_with(faulty_router, completion({"content": SECRET}, id="chatcmpl-7", model="m:1", usage=USAGE))

    response = twin.call(client.create, model="m", messages=MESSAGES)

    assert (
        repr(response) == "<ChatCompletionResponse id=chatcmpl-7 model=m:1 finish=stop tokens=12+3; print() shows it>"
    )
    assert SECRET in str(response)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B finish=stop tokens=12+3"),
        ({"usage": None}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B finish=stop"),
        ({"usage": {}}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B finish=stop tokens=?+?"),
        ({"usage": {"prompt_tokens": 10**4000}}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B finish=stop tokens=?+?"),
        ({"usage": {"prompt_tokens": SECRET}}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B finish=stop tokens=?+?"),
        ({"choices": []}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B tokens=12+3"),
        ({"choices": [SECRET]}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B tokens=12+3"),
        ({"choices": [{}]}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B finish=? tokens=12+3"),
        ({"choices": [{"finish_reason": SECRET}]}, "id=chatcmpl-1 model=Qwen/Qwen3-0.6B finish=? tokens=12+3"),
        ({"id": SECRET, "model": "\x1b[2J"}, "id=? model=? finish=stop tokens=12+3"),
        ({"id": "a" * 101, "model": 7}, "id=? model=? finish=stop tokens=12+3"),
    ],
)
def test_repr_shows_nothing_but_what_it_knows_to_be_no_content(fields: dict[str, Any], shown: str) -> None:
    assert repr(answer(**fields)) == f"<ChatCompletionResponse {shown}; print() shows it>"


def test_repr_of_a_part_shows_that_it_is_one() -> None:
    part = "<part of a ChatCompletionResponse; print() shows it>"
    response = answer()

    assert (repr(response.choices), repr(response.choices[0].message)) == (f"[{part}]", part)
    assert str(response.choices[0].message) == f"{{'role': 'assistant', 'content': {SECRET!r}}}"


def test_usage_shows_itself() -> None:
    assert repr(answer().usage) == str(answer().usage) == str(USAGE)


def test_usage_shows_token_counts_only() -> None:
    details = {"cached_tokens": 0, SECRET: 1}
    usage = {"prompt_tokens": 1, "total_tokens": SECRET, "prompt_tokens_details": details, SECRET: SECRET}
    usage["completion_tokens_details"] = None

    assert repr(answer(usage=usage).usage) == (
        "{'prompt_tokens': 1, 'total_tokens': ?, 'prompt_tokens_details': {'cached_tokens': 0, ...},"
        " 'completion_tokens_details': None, ...}"
    )


@pytest.mark.parametrize(
    ("level", "wrong", "meant"),
    [
        (answer(), "choises", "choices"),
        (answer(), "to_dcit", "to_dict"),
        (answer().choices[0], "mesage", "message"),
        (answer().choices[0].message, "contents", "content"),
        (answer().usage, "completion_token", "completion_tokens"),
    ],
)
def test_misspelt_field_is_told_with_the_one_that_was_meant(level: Any, wrong: str, meant: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(level, wrong)

    words = f"the response has no field {wrong!r}. Did you mean {meant!r}?"
    assert str(caught.value) == words
    assert traceback.format_exception_only(caught.value) == [f"AttributeError: {words}\n"]  # Python adds nothing to it
    assert caught.value.obj is None  # which would keep the answer alive


def test_name_that_the_server_chose_is_not_suggested() -> None:
    response = answer(the_secret_of_a_field=1)

    with pytest.raises(AttributeError, match=r"^the response has no field 'the_secret_of_a_fiel'$"):
        _ = response.the_secret_of_a_fiel


def test_response_as_ordinary_dicts() -> None:
    plain = answer().to_dict()

    assert plain == answer()
    assert {type(each) for each in (plain, plain["usage"], plain["choices"][0]["message"])} == {dict}


def test_response_as_json_that_every_program_reads() -> None:
    response = levels({"content": "Grüße \ud800", "logprobs": [math.nan, -math.inf, 0.1], "n": 2**70})

    text = response.to_json()

    assert text == '{"content": "Grüße \\ud800", "logprobs": [null, null, 0.1], "n": 1180591620717411303424}'
    assert response.to_json(indent=2) == json.dumps(json.loads(text), indent=2, ensure_ascii=False).replace(
        "\ud800", "\\ud800"
    )
    assert text.encode("utf-8")


def test_client_shows_its_address_its_keys_and_whether_it_is_pinned(twin: Twin, tmp_path: Path) -> None:
    pin = "SHA256:" + "A" * 43
    options: dict[str, Any] = {"api_key": "sk-secret", "key_rotation_password": "a password"}
    for made in (twin.chat, twin.client):
        in_memory = made("https://router.example/v1", **options)
        pinned = made("https://router.example:8443", key_dir=tmp_path, server_key_fingerprint=pin, **options)

        name = type(pinned).__name__
        assert repr(in_memory) == f"<{name} base_url='https://router.example' key_dir=None pinned=False>"
        assert repr(pinned) == f"<{name} base_url='https://router.example:8443' key_dir={str(tmp_path)!r} pinned=True>"


def test_client_that_could_not_be_made_has_a_repr_too() -> None:
    classes = (
        nomyo.SecureChatCompletion,
        nomyo.SyncSecureChatCompletion,
        nomyo.SecureCompletionClient,
        nomyo.SyncSecureCompletionClient,
    )
    for made in classes:
        assert repr(made.__new__(made)) == f"<{made.__name__}, which could not be made>"


@pytest.mark.parametrize("made", [SecureTransport, AsyncSecureTransport])
def test_transport_shows_the_same(made: Any) -> None:
    transport = made("https://router.example", api_key="sk-secret", key_dir=None)
    try:
        assert repr(transport) == f"<{made.__name__} base_url='https://router.example' key_dir=None pinned=False>"
    finally:
        transport._client.dispose()
