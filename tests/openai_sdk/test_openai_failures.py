"""What goes wrong with the OpenAI SDK's clients: its own errors and retries, and refusals before anything leaves."""

from __future__ import annotations

import copy
import pickle
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import openai
import pytest

import nomyo.openai
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.odd_answers import NAMED, RETRY_AFTERS, answer_with
from support.sdk import Sdk

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
STATUSES = [
    (400, openai.BadRequestError, False),
    (401, openai.AuthenticationError, False),
    (403, openai.PermissionDeniedError, False),
    (404, openai.NotFoundError, False),
    (413, openai.APIStatusError, False),
    (429, openai.RateLimitError, True),
    (500, openai.InternalServerError, True),
    (502, openai.InternalServerError, True),
    (503, openai.InternalServerError, True),
    (504, openai.InternalServerError, True),
]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's waits between attempts take no time."""
    base = openai.OpenAI.__mro__[1].__mro__[1]
    monkeypatch.setattr(base, "_calculate_retry_timeout", lambda *_, **__: 0.0)


@pytest.mark.parametrize(("status", "error_class", "retried"), STATUSES)
def test_status_is_the_sdks_error_after_the_sdks_attempts(
    sdk: Sdk,
    faulty_router: FaultyRouter,
    key_directory: Path,
    status: int,
    error_class: type[openai.APIStatusError],
    retried: bool,
) -> None:
    faulty_router.always(Answer(status, b'{"error": {"message": "the words of the server", "code": "a_code"}}'))
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)

    with pytest.raises(error_class, match="the words of the server") as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert raised.value.status_code == status
    assert raised.value.code == "a_code"
    assert raised.value.request_id
    assert len(faulty_router.posts) == (3 if retried else 1)


@pytest.mark.parametrize("status", [204, 206, 302])
def test_answer_that_is_neither_a_completion_nor_an_error_is_none(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, status: int
) -> None:
    faulty_router.always(Answer(status, b"", {"location": "http://127.0.0.1:9/"}))
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)

    with pytest.raises(openai.InternalServerError) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert raised.value.status_code == 502
    assert len(faulty_router.posts) == 1


def test_retry_that_succeeds_gives_the_completion(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.answers.append(Answer(503, b""))
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)

    completion = sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert completion.choices[0].message.content == "Hello"
    assert len(faulty_router.posts) == 2


def test_key_that_cannot_be_had_is_retried_by_the_sdk_alone(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    faulty_router.path = PUBLIC_KEY
    faulty_router.always(Answer(500, b""))
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=1)

    with pytest.raises(openai.InternalServerError):
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert len(faulty_router.key_fetches) == 2


def test_retry_after_reaches_the_sdk(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.always(Answer(429, b"", {"retry-after": "7"}))
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(openai.RateLimitError) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert raised.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("what", NAMED)
def test_names_of_the_routers_error_reach_the_sdk(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    body, named = NAMED[what]
    faulty_router.always(Answer(400, body))
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(openai.BadRequestError, match="its words") as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    told = {"type": "invalid_request_error", "param": None, "code": None, **named}
    assert raised.value.body == {"message": "its words", **told}
    assert str(raised.value.code) == str(told["code"])  # major 3 makes a string of a number


@pytest.mark.parametrize(("sent", "told"), RETRY_AFTERS)
def test_retry_after_in_any_form_reaches_the_sdk(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, sent: str, told: str
) -> None:
    faulty_router.always(Answer(429, headers={"retry-after": sent}))
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(openai.RateLimitError) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert raised.value.response.headers["retry-after"] == told


@pytest.mark.parametrize("sent", ["\u00fcbermorgen", "\u0667", "\u200f7"])
def test_retry_after_that_is_not_ascii_leaves_the_sdks_error_as_it_is(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, sent: str
) -> None:
    faulty_router.always(Answer(429, b'{"detail": "slowly"}', {"retry-after": sent}))
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(openai.RateLimitError, match="slowly") as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert "retry-after" not in raised.value.response.headers


def test_retry_after_as_a_date_reaches_the_sdk_as_seconds(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    now = datetime.now(UTC) + timedelta(days=1)  # the router's clock, not ours
    dates = {"date": format_datetime(now, usegmt=True), "retry-after": format_datetime(now + timedelta(seconds=30))}
    faulty_router.always(Answer(429, headers=dates))
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(openai.RateLimitError) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert raised.value.response.headers["retry-after"] == "30"


def test_router_that_is_not_there_is_a_connection_error(sdk: Sdk, unused_port: int, key_directory: Path) -> None:
    client = sdk.client(f"http://127.0.0.1:{unused_port}", key_dir=key_directory, max_retries=1)

    with pytest.raises(openai.APIConnectionError) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert not isinstance(raised.value, openai.APITimeoutError)
    assert "refused" in str(raised.value.__cause__)
    assert raised.value.__cause__
    assert raised.value.__cause__.__cause__ is None
    assert raised.value.__cause__.__context__ is None


@pytest.mark.parametrize("of_whom", ["client", "request", "copy", "details"])
def test_timeout_is_the_sdks(sdk: Sdk, key_directory: Path, of_whom: str) -> None:
    detailed = openai.Timeout(60, read=0.2)
    given: dict[str, dict[str, Any]] = {"client": {"timeout": 0.2}, "details": {"timeout": detailed}}
    options = given.get(of_whom, {})
    request = {"timeout": 0.2} if of_whom == "request" else {}
    began_s = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = sdk.client(f"http://127.0.0.1:{silent.getsockname()[1]}", key_dir=key_directory, **options)
        client = client.with_options(timeout=0.2) if of_whom == "copy" else client
        with pytest.raises(openai.APITimeoutError):
            sdk.call(client.chat.completions.create, model="m", messages=HELLO, **request)

    assert time.monotonic() - began_s < 30


UNSAFE: dict[str, tuple[Callable[[FaultyRouter], Any], dict[str, Any], str]] = {
    "plain HTTP": (lambda _: None, {"allow_http": False}, "plain HTTP"),
    "damaged answer": (lambda router: setattr(router, "change", lambda body: body[:-40]), {}, "cannot be opened"),
    "wrong pin": (lambda _: None, {"server_key_fingerprint": "SHA256:" + "A" * 43}, "pinned"),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_is_not_safe_is_a_security_error_that_is_not_retried(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    provoke, options, words = UNSAFE[what]
    provoke(faulty_router)
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2, **options)

    with pytest.raises(nomyo.SecurityError, match=words) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert isinstance(raised.value, openai.OpenAIError)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert len(faulty_router.received) == {"plain HTTP": 0, "damaged answer": 2, "wrong pin": 1}[what]
    for same in (copy.copy(raised.value), pickle.loads(pickle.dumps(raised.value))):
        assert type(same) is nomyo.SecurityError
        assert str(same) == str(raised.value)


def test_key_directory_that_cannot_be_used_is_shown_as_it_is(
    sdk: Sdk, faulty_router: FaultyRouter, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")
    client = sdk.client(faulty_router.url, key_dir=tmp_path / "file" / "keys", max_retries=2)

    with pytest.raises(NotADirectoryError) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert isinstance(raised.value, openai.OpenAIError)
    assert raised.value.strerror == "key_dir cannot be used: Not a directory"


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "too large": ({"messages": [{"role": "user", "content": "x" * (10 * 1024 * 1024)}]}, "10485760|10 MiB"),
    "no such tier": ({"extra_headers": {"X-Security-Tier": "higher"}}, "standard, high, maximum"),
    "query": ({"extra_query": {"a": "b"}}, "query"),
    "address in the body": ({"extra_body": {"base_url": "http://127.0.0.1:9"}}, "base_url has no place"),
    "key in the body": ({"extra_body": {"api_key": "canary-key"}}, "api_key has no place"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistake_in_a_request_is_a_bad_request_and_nothing_is_sent(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    change, words = MISTAKES[what]
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)

    with pytest.raises(openai.BadRequestError, match=words) as raised:
        sdk.call(client.chat.completions.create, **{"model": "m", "messages": HELLO, **change})

    assert "nothing was sent" in str(raised.value)
    assert "canary-key" not in str(raised.value)
    assert faulty_router.received == []


ENDPOINTS: dict[str, Callable[[Any], tuple[Callable[..., Any], dict[str, Any]]]] = {
    "embeddings": lambda client: (client.embeddings.create, {"model": "m", "input": "canary"}),
    "stored response": lambda client: (client.responses.retrieve, {"response_id": "canary"}),
    "tokens of an input": lambda client: (client.responses.input_tokens.count, {"model": "m", "input": "canary"}),
    "completions": lambda client: (client.completions.create, {"model": "m", "prompt": "canary"}),
    "files": lambda client: (client.files.create, {"file": b"canary", "purpose": "batch"}),
    "images": lambda client: (client.images.generate, {"prompt": "canary"}),
    "moderations": lambda client: (client.moderations.create, {"input": "canary"}),
    "models": lambda client: (client.models.retrieve, {"model": "canary"}),
    "stored completion": lambda client: (client.chat.completions.retrieve, {"completion_id": "canary"}),
    "absolute URL": lambda client: (client.post, {"path": "http://127.0.0.1:9/canary", "cast_to": object}),
    "path beside": lambda client: (client.post, {"path": "/chat/completions/../canary", "cast_to": object}),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_other_endpoints_are_refused_before_anything_leaves(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, endpoint: str
) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)
    method, request = ENDPOINTS[endpoint](client)

    with pytest.raises(openai.NotFoundError, match="nothing was sent"):
        sdk.call(method, **request)

    assert faulty_router.received == []


@pytest.mark.parametrize("resource", ["realtime", "beta.realtime", "responses", "beta.responses", "live"])
def test_websockets_are_refused_before_anything_leaves(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, resource: str
) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory)
    found: Any = client
    for name in resource.split("."):
        found = getattr(found, name, None)
    if found is None:
        assert (resource, openai.VERSION[0]) == ("live", "2"), "a resource that was there is gone: look where it went"
        return
    model = {"model": "m"} if "realtime" in resource else {}

    with pytest.raises(openai.OpenAIError, match="WebSockets are not offered"):
        sdk.call(found.connect(**model).enter)
    assert str(client.copy().websocket_base_url) == "https://sealed.invalid/v1"  # should a new one not be noticed

    assert faulty_router.received == []


@pytest.mark.parametrize("option", ["provider", "workload_identity", "websocket_base_url"])
def test_options_that_lead_elsewhere_are_refused(sdk: Sdk, option: str) -> None:
    with pytest.raises(openai.OpenAIError, match=f"{option} leads around the router"):
        sdk.client("https://127.0.0.1:9", **{option: "x"})


def test_client_of_another_http_library_is_refused(sdk: Sdk) -> None:
    with pytest.raises(TypeError, match="http_client must be an httpx"):
        sdk.client("https://127.0.0.1:9", http_client=object())


@pytest.mark.parametrize("method", ["with_options", "copy"])
def test_copy_takes_no_http_client_that_would_not_keep_to_its_options(
    sdk: Sdk, faulty_router: FaultyRouter, method: str
) -> None:
    client = sdk.client(faulty_router.url, server_key_fingerprint="SHA256:" + "A" * 43)

    with pytest.raises(openai.OpenAIError, match="make another client"):
        getattr(client, method)(http_client=object())

    assert not faulty_router.received


@pytest.mark.parametrize("stream", [False, True])
def test_answer_that_python_would_not_write_is_asked_for_once(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, stream: bool
) -> None:
    answer_with(faulty_router, f'{{"choices": [], "integer": {"9" * 5000}}}')
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)

    with pytest.raises(nomyo.SecurityError, match="integers of at most 4,300 digits"):
        sdk.call(client.chat.completions.create, model="m", messages=HELLO, stream=stream)

    assert len(faulty_router.posts) == 1
