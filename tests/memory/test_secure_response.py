"""An answer opened into locked memory: what it holds, what becomes of it, and that it is the answer of `create`."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nomyo
from nomyo import SecureBuffer, SecurityError, _core
from nomyo.serve.router.running import RunningRouter
from support.by_hand import Owner
from support.faults import Answer, FaultyRouter
from support.kernel import locked_bytes
from support.peer import open_with
from support.process import locked_kib_at
from support.twins import Twin

HELLO = 'Grüße, “Welt” 🌍\n\t"quoted" \\ \x01'
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@pytest.fixture(scope="session")
def owner(client_key: _core.PrivateKey) -> Owner:
    return Owner(client_key)


def completion(content: Any = "Hello", **changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "reasoning_content": "hm"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "chat-1", "model": "m", "choices": choices, "usage": USAGE, **changes}


def opened(owner: Owner, key: _core.PrivateKey, text: str | bytes) -> tuple[Any, ...]:
    return _core.open_secret(owner.seal(text if isinstance(text, bytes) else text.encode()), key)


def message(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def test_reply_holds_the_answer_in_locked_memory(twin: Twin, router: RunningRouter) -> None:
    chat = twin.chat(router.url)
    plain = twin.call(chat.create, model="m", messages=message(HELLO))
    with SecureBuffer(HELLO.encode()) as record:
        reply = twin.call(chat.create_secure, model="m", messages=message(record))
    with reply:
        assert bytes(reply.content) == plain.choices[0].message.content.encode() == HELLO.encode()
        assert json.loads(bytes(reply.json))["choices"] == plain.choices
        assert (reply.model, reply.finish_reason) == ("m", "stop")
        assert reply.usage.total_tokens == plain.usage.total_tokens
        assert reply.metadata["is_encrypted"] is True
        assert reply.metadata.keys() == plain._metadata.keys()
        for buffer in (reply.content, reply.json):
            assert buffer.locked
            assert locked_kib_at(buffer.address) > 0
    assert reply.content.closed
    assert reply.json.closed


def test_async_with_closes_the_reply(router: RunningRouter) -> None:
    async def converse() -> tuple[bytes, Any]:
        async with (
            nomyo.SecureChatCompletion(router.url, True, key_dir=None) as chat,
            await chat.create_secure(model="m", messages=message("Hello")) as reply,
        ):
            assert reply.content
            return bytes(reply.content), reply

    content, reply = asyncio.run(converse())
    assert content == b"Hello"
    assert reply.json.closed


def test_secure_buffer_goes_out_as_a_json_string(twin: Twin, faulty_router: FaultyRouter) -> None:
    chat = twin.chat(faulty_router.url)
    with SecureBuffer(HELLO.encode()) as record:
        twin.call(chat.create_secure, model="m", messages=message(record), user=record).close()
    request = open_with(faulty_router.private_key_pem, faulty_router.posts[0].body)
    assert request == {"model": "m", "messages": message(HELLO), "user": HELLO}


def test_another_base_url_serves_one_secure_request(twin: Twin, router: RunningRouter, unused_port: int) -> None:
    chat = twin.chat(f"http://127.0.0.1:{unused_port}", max_retries=0)
    with twin.call(chat.create_secure, model="m", messages=message("Hello"), base_url=router.url) as reply:
        assert bytes(reply.content) == b"Hello"


def test_errors_are_those_of_create(twin: Twin, faulty_router: FaultyRouter) -> None:
    chat = twin.chat(faulty_router.url)
    with pytest.raises(TypeError, match="lacks messages"):
        twin.call(chat.create_secure, model="m")
    faulty_router.answers.append(Answer(401))
    with pytest.raises(nomyo.AuthenticationError):
        twin.call(chat.create_secure, model="m", messages=message("Hello"))
    faulty_router.answers.append(Answer(200, b"{}"))
    with pytest.raises(SecurityError) as caught:
        twin.call(chat.create_secure, model="m", messages=message("Hello"))
    assert caught.value.__context__ is None
    chat.dispose()
    with pytest.raises(nomyo.DisposedError):
        twin.call(chat.create_secure, model="m", messages=message("Hello"))


def test_reply_shows_and_copies_nothing(twin: Twin, router: RunningRouter) -> None:
    with twin.call(twin.chat(router.url).create_secure, model="m", messages=message("classified")) as reply:
        for shown in (repr(reply), str(reply), f"{reply}", f"{reply!r:>9}"):
            assert "classified" not in shown
        for copying in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                copying(reply)
        assert not hasattr(reply, "__dict__")


@pytest.mark.parametrize("name", ["choices", "model_dump", "_metadata"])
def test_field_read_as_of_create_says_where_it_is(owner: Owner, client_key: _core.PrivateKey, name: str) -> None:
    whole, content, plain, *_ = opened(owner, client_key, json.dumps(completion()))
    reply = nomyo.SecureResponse(whole, content, plain)
    with reply, pytest.raises(AttributeError, match=rf"no '{name}'.*`content`.*`json`"):
        getattr(reply, name)
    assert not hasattr(reply, name)


def test_reply_closes_both_buffers_though_a_view_is_held(twin: Twin, router: RunningRouter) -> None:
    reply = twin.call(twin.chat(router.url).create_secure, model="m", messages=message("Hello"))
    view = memoryview(reply.content)
    with pytest.raises(BufferError):
        reply.close()
    assert bytes(view) == bytes(5)
    assert reply.json.closed
    with pytest.raises(ZeroDivisionError), reply:
        raise ZeroDivisionError
    view.release()
    reply.close()
    reply.close()


def test_dropped_reply_gives_its_locked_memory_back(owner: Owner, client_key: _core.PrivateKey) -> None:
    package = owner.seal(json.dumps(completion("x" * 300_000)).encode())
    kept = _core.open_secret(package, client_key)
    before = locked_bytes()
    for _ in range(20):
        _core.open_secret(package, client_key)
    gc.collect()
    assert locked_bytes() == before
    del kept


def test_content_that_is_no_string_is_none(owner: Owner, client_key: _core.PrivateKey) -> None:
    odd = [None, 1, True, {"content": "x"}, ["x"], [{"type": "text", "text": "x"}]]
    texts = [json.dumps(completion(content)) for content in odd]
    choices_of_others: list[Any] = [[], {}, None, ["x"], [{}], [{"message": "x"}]]
    texts += [json.dumps(completion(choices=choices)) for choices in choices_of_others]
    texts += ["{}", '{"choices": [[{"message": {"content": "x"}}]]}', '{"x": {"choices": 1}}']
    for text in texts:
        whole, content, plain, *_ = opened(owner, client_key, text)
        assert content is None, text
        assert bytes(whole) == text.encode()
        assert plain.keys() == {"id", "model", "usage", "finish_reason", "_metadata"}


def test_name_that_comes_twice_is_refused(owner: Owner, client_key: _core.PrivateKey) -> None:
    first, second = (json.dumps(completion(text)["choices"]) for text in ("first", "second"))
    nested = '{"message": {"content": "a", "\\u0063ontent": "b"}, "finish_reason": 1}'
    for text in (
        f'{{"choices": {first}, "choices": {second}}}',
        f'{{"choices": {first}, "ch\\u006fices": {second}}}',
        f'{{"choices": {first}, "choices": null}}',
        f'{{"choices": [{nested}]}}',
        '{"choices": [{"message": {"content": "a"}, "message": {}}]}',
        '{"choices": [{"message": {"content": "a", "content": null}}]}',
        '{"choices": [], "_metadata": {}, "\\u005fmetadata": {}}',
    ):
        with pytest.raises(SecurityError, match="field twice"):
            opened(owner, client_key, text)


def test_other_choices_and_other_names_are_passed_over(owner: Owner, client_key: _core.PrivateKey) -> None:
    choices = [*completion("first")["choices"], *completion("second")["choices"]]
    text = json.dumps({"content": "no", "message": {"content": "no"}, **completion(choices=choices)})
    assert bytes(opened(owner, client_key, text)[1]) == b"first"


def test_escaped_lone_surrogate_becomes_the_replacement_character(owner: Owner, client_key: _core.PrivateKey) -> None:
    for escaped in ("\\ud800", "\\udc00", "\\ud800\\ud800\\udc00", "a\\ud83d"):
        text = f'{{"choices": [{{"message": {{"content": "{escaped}"}}}}]}}'
        expected = json.loads(f'"{escaped}"').encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        assert bytes(opened(owner, client_key, text)[1]) == expected.encode(), escaped


MALFORMED = [
    b"",
    b" ",
    b"[]",
    b"null",
    b'"x"',
    b"{",
    b'{"a":1}}',
    b'{"a":1,}',
    b'{"a" 1}',
    b"{a:1}",
    b'{"a":01}',
    b'{"a":1.}',
    b'{"a":nan}',
    b'{"usage":-Inf}',
    b'{"a":tru}',
    b'{"a":"\n"}',
    b'{"a":"\\x"}',
    b'{"a":"\\u12"}',
    b'{"a":"\\',
    b'{"a":"\\"',
    b'{"\\u12":1}',
    b'{"a":"\xff"}',
    b'{"choices":[{"message":{"content":"\\u12"}}]}',
    b'{"choices":[{"message":{"content":"a}}]}',
    b'{"choices":[{"message":{"content":"a"},}]}',
    b'{"choices":[{"message":{"content":"a"}}',
    b'{"choices":[{}{}]}',
    b'{"a":' + b"[" * 201 + b"]" * 201 + b"}",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_json_is_refused_as_by_open_package(owner: Owner, client_key: _core.PrivateKey, text: bytes) -> None:
    package = owner.seal(text)
    for open_one in (_core.open_secret, _core.open_package):
        with pytest.raises(SecurityError, match="the package was opened, but what was sealed in it is not JSON"):
            open_one(package, client_key)


def test_numbers_that_are_none_are_read_and_stay_in_the_json_as_they_came(
    owner: Owner, client_key: _core.PrivateKey
) -> None:
    usage = '{"a": NaN, "b": [Infinity, -1e400]}'
    text = f'{{"usage": {usage}, "choices": [{{"message": {{"content": "hi"}}, "logprobs": -Infinity}}]}}'
    json_text, content, plain, *_ = _core.open_secret(owner.seal(text.encode()), client_key)
    assert bytes(json_text).decode() == text
    assert content is not None
    assert bytes(content) == b"hi"
    assert repr(plain["usage"]) == "{'a': nan, 'b': [inf, -inf]}"


def test_altered_package_is_refused_and_leaves_no_memory_locked(owner: Owner, client_key: _core.PrivateKey) -> None:
    package = json.loads(owner.seal(json.dumps(completion("x" * 300_000)).encode()))
    package["encrypted_payload"]["tag"] = "A" * 22 + "=="
    altered = json.dumps(package).encode()
    before = locked_bytes()
    for _ in range(5):
        with pytest.raises(SecurityError, match="the package cannot be opened"):
            _core.open_secret(altered, client_key)
    assert locked_bytes() == before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
completions = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text() | json_values,
        "model": st.text(),
        "usage": json_values,
        "_metadata": json_values,
        "choices": json_values
        | st.lists(
            json_values
            | st.fixed_dictionaries(
                {},
                optional={
                    "message": st.fixed_dictionaries(
                        {}, optional={"content": st.text() | json_values, "role": st.text()}
                    )
                    | json_values,
                    "finish_reason": json_values,
                },
            ),
            max_size=2,
        ),
        "created": st.integers(),
    },
)


@given(answer=completions, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 2]))
def test_parts_are_those_of_the_answer_as_a_dict(
    owner: Owner, client_key: _core.PrivateKey, answer: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(answer, ensure_ascii=ascii_only, indent=indent)
    whole, content, plain, *_ = opened(owner, client_key, text)
    assert json.loads(bytes(whole)) == answer
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    body = first.get("message")
    expected = body.get("content") if isinstance(body, dict) else None
    assert (None if content is None else bytes(content).decode()) == (expected if isinstance(expected, str) else None)
    named = {name: answer.get(name) for name in ("id", "model", "usage", "_metadata")}
    assert plain == {**named, "finish_reason": first.get("finish_reason")}
