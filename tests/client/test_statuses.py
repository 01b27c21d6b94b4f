"""Every status of the protocol's table: which error, how many attempts, which waits."""

from __future__ import annotations

import copy
import html
import json
import pickle
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

import nomyo
from nomyo.exchange.call import Call
from nomyo.exchange.effects import Timeouts
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.twins import Twin

STATUSES = [
    (400, nomyo.InvalidRequestError, False),
    (401, nomyo.AuthenticationError, False),
    (403, nomyo.ForbiddenError, False),
    (404, nomyo.APIError, False),
    (409, nomyo.APIError, False),
    (413, nomyo.APIError, False),
    (418, nomyo.APIError, False),
    (429, nomyo.RateLimitError, True),
    (500, nomyo.ServerError, True),
    (501, nomyo.APIError, False),
    (502, nomyo.APIError, True),
    (503, nomyo.ServiceUnavailableError, True),
    (504, nomyo.APIError, True),
    (204, nomyo.APIError, False),
    (206, nomyo.APIError, False),
    (302, nomyo.APIError, False),
]
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(("status", "error_class", "retried"), STATUSES)
@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_status_gives_its_error_after_its_attempts(
    twin: Twin,
    faulty_router: FaultyRouter,
    key_directory: Path,
    sleeps: list[float],
    status: int,
    error_class: type[nomyo.APIError],
    retried: bool,
    max_retries: int,
) -> None:
    body = b"" if status == 204 else b'{"detail": "the words of the server", "code": 7}'
    faulty_router.always(Answer(status, body, {"location": "http://127.0.0.1:9/elsewhere"}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, max_retries=max_retries)

    with pytest.raises(nomyo.APIError) as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    assert type(raised.value) is error_class
    assert raised.value.status_code == status
    if body:
        assert str(raised.value) == raised.value.message == "the words of the server"
        assert raised.value.error_details == {"detail": "the words of the server", "code": 7}
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    extra_attempts = max_retries if retried else 0
    assert len(faulty_router.posts) == 1 + extra_attempts
    assert sleeps == [2.0**n for n in range(extra_attempts)]


def test_attempts_send_the_same_bytes_under_one_payload_id(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float]
) -> None:
    faulty_router.answers.extend([Answer(503), Answer(429)])
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    response = twin.call(chat.create, model="m", messages=MESSAGES)

    posts = faulty_router.posts
    assert response.choices[0].message.content == "Hello"
    assert sleeps == [1.0, 2.0]
    assert len(posts) == 3
    assert len({post.body for post in posts}) == 1
    assert {post.headers["x-payload-id"] for post in posts} == {response["_metadata"]["payload_id"]}


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [("7", 7.0), ("0", 1.0), ("0.5", 1.0), ("60", 60.0), ("soon", 1.0), ("-3", 1.0), ("nan", 1.0), ("inf", 1.0)],
)
def test_retry_after_lengthens_the_wait(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float], retry_after: str, wait_s: float
) -> None:
    faulty_router.answers.append(Answer(429, headers={"retry-after": retry_after}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    twin.call(chat.create, model="m", messages=MESSAGES)

    assert sleeps == [wait_s]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "20.5", "retry-after": "2"}, 1.0),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "-1500", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "1500, 1500", "retry-after": "2"}, 2.0),
    ],
)
def test_retry_after_in_milliseconds_counts_first(
    twin: Twin,
    faulty_router: FaultyRouter,
    key_directory: Path,
    sleeps: list[float],
    headers: dict[str, str],
    wait_s: float,
) -> None:
    faulty_router.answers.append(Answer(429, headers=headers))

    twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, model="m", messages=MESSAGES)

    assert sleeps == [wait_s]


def test_retry_after_as_a_date_lengthens_the_wait(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float]
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    faulty_router.answers.append(Answer(503, headers={"retry-after": date}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    twin.call(chat.create, model="m", messages=MESSAGES)

    assert len(sleeps) == 1
    assert 25 < sleeps[0] <= 30


@pytest.mark.parametrize("skew_s", [-86_400, -40, 3600])
def test_date_counts_from_the_answers_own_date(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float], skew_s: float
) -> None:
    """The clock of this machine, or the server's, may be wrong; their difference is nobody's wish to wait."""
    now = datetime.now(UTC) + timedelta(seconds=skew_s)
    headers = {"date": format_datetime(now, usegmt=True), "retry-after": format_datetime(now + timedelta(seconds=30))}
    faulty_router.answers.append(Answer(503, headers=headers))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, max_retries=1)

    twin.call(chat.create, model="m", messages=MESSAGES)

    assert sleeps == [30.0]


@pytest.mark.parametrize("retry_after", ["61", "1800", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_retry_after_of_more_than_a_minute_raises_at_once(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float], retry_after: str
) -> None:
    faulty_router.always(Answer(503, headers={"retry-after": retry_after}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.ServiceUnavailableError):
        twin.call(chat.create, model="m", messages=MESSAGES)

    assert len(faulty_router.posts) == 1
    assert sleeps == []


@pytest.mark.parametrize(
    ("body", "message", "details"),
    [
        (b'{"detail": "plain"}', "plain", {"detail": "plain"}),
        (b'{"error": {"message": "nested"}}', "nested", {"error": {"message": "nested"}}),
        (b'{"error": "flat"}', "flat", {"error": "flat"}),
        (b'{"detail": [{"loc": ["body"]}]}', None, {"detail": [{"loc": ["body"]}]}),
        (b'{"detail": [{"loc": ["body", "n", 0], "msg": "too many", "input": "x"}]}', "body.n.0: too many", ...),
        (b'{"detail": [{"loc": ["body", "n"], "msg": "Value error, too many"}]}', "body.n: too many", ...),
        (b'{"detail": [{"msg": "first"}, {"msg": "second"}]}', "first; second", ...),
        (b'{"detail": {"message": "inside", "code": 7}}', "inside", {"detail": {"message": "inside", "code": 7}}),
        (b'{"detail": {"error": {"message": "deep inside"}}}', "deep inside", ...),
        (b'{"errors": ["one", {"message": "two"}, {"detail": "three"}]}', "one; two; three", ...),
        (b'{"errors": {"model": ["unknown", "old"], "n": "1"}}', "model: unknown; old; n: 1", ...),
        (b'{"error": true, "message": "beside it"}', "beside it", ...),
        (b'{"error": {"message": null, "code": "a_code"}}', None, ...),
        (b'{"object": "error", "message": "flat", "code": 400}', "flat", ...),
        (b'{"title": "a problem", "status": 403}', "a problem", ...),
        (b'["a", "list"]', "a; list", ["a", "list"]),
        (b"[" + b'"x", ' * 99 + b'"x"]', "x; x; x; x; x", ["x"] * 100),
        (b'"words"', "words", "words"),
        (b"null", None, None),
        (b"7", None, 7),
        (b"[1, NaN]", None, ...),
        (b"the model is\nasleep\n", "the model is asleep", "the model is\nasleep\n"),
        ("zu groß".encode(), "zu groß", "zu groß"),
        ("zu groß".encode("latin-1"), "zu gro\ufffd", "zu gro\ufffd"),
        (b'{"detail": "cut o', '{"detail": "cut o', '{"detail": "cut o'),
        (b"<html><body>Bad</body></html>", "Bad", "<html><body>Bad</body></html>"),
        (b"<html>\r\n<head><title>T</title>\r\n<body><h1>403 &amp;\tForbidden</h1>nginx", "403 & Forbidden nginx", ...),
        (b"<!DOCTYPE html><style>a {}</style><script>b()</script><p>c</p>", "c", ...),
        (b"<html><p>" + b"long words " * 50, None, ...),
        (b"<" * 60_000, None, "<" * 4096),
        (b"", None, None),
        (b" \r\n", None, None),
        (b"\xff\xfe\x00", None, "\ufffd\ufffd\0"),
        (b"[" * 60_000, None, "[" * 4096),
        (b'{"a":' * 900 + b"1" + b"}" * 900, None, ...),
        (b"z" * 60_000, "z" * 500, "z" * 4096),
        (b'{"detail": "' + b"x" * 70_000 + b'"}', None, None),
        (b'{"detail": "a\\r\\nforged line \\u001b[31m\\u202e"}', "a  forged line  [31m", ...),
        (b'{"detail": "' + b"y" * 5_000 + b'"}', "y" * 500, ...),
    ],
)
def test_error_body_of_any_form_gives_the_right_class(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, body: bytes, message: str | None, details: object
) -> None:
    faulty_router.answers.append(Answer(403, body))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.ForbiddenError) as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    assert raised.value.status_code == 403
    expected = "HTTP 403: the model is not allowed for the requested security tier" if message is None else message
    assert str(raised.value) == expected
    if details is not ...:
        assert raised.value.error_details == details


KEY = 'sk-"canary"/<&>\\key'


@pytest.mark.parametrize(
    "body",
    [
        KEY.encode(),
        json.dumps({"detail": f"Bearer {KEY}", KEY: [KEY]}).encode(),
        json.dumps({"detail": KEY}).replace("/", "\\/").encode(),
        json.dumps("".join(f"\\u{ord(c):04x}" for c in KEY)).replace("\\\\", "\\").encode(),
        f"<p>{html.escape(KEY)}</p>".encode(),
    ],
    ids=["text", "JSON", "slashes", "escapes", "page"],
)
def test_api_key_that_a_server_quotes_is_not_shown(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, body: bytes
) -> None:
    faulty_router.answers.append(Answer(403, body))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key=KEY)

    with pytest.raises(nomyo.ForbiddenError) as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    assert "[API key]" in str(raised.value)
    assert "canary" not in html.unescape(f"{raised.value} {raised.value.error_details}")


@pytest.mark.parametrize(("status", "error_class", "retried"), STATUSES)
def test_key_fetch_follows_the_same_table(
    twin: Twin,
    faulty_router: FaultyRouter,
    key_directory: Path,
    sleeps: list[float],
    status: int,
    error_class: type[nomyo.APIError],
    retried: bool,
) -> None:
    faulty_router.path = PUBLIC_KEY
    faulty_router.always(Answer(status, b""))
    client = twin.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.APIError) as raised:
        twin.call(client.fetch_server_public_key)

    assert type(raised.value) is error_class
    assert len(faulty_router.key_fetches) == (3 if retried else 1)
    assert sleeps == ([1.0, 2.0] if retried else [])


def test_network_failure_is_retried_and_then_raised_without_context(
    twin: Twin, key_directory: Path, sleeps: list[float], unused_port: int
) -> None:
    chat = twin.chat(f"http://127.0.0.1:{unused_port}", key_dir=key_directory, api_key="secret-token")

    with pytest.raises(nomyo.APIConnectionError, match=r"3 attempts.*refused") as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    assert sleeps == [1.0, 2.0]
    assert not raised.value.timed_out
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_error_keeps_the_retry_after_that_came(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.answers.append(Answer(429, b'{"detail": "slowly"}', {"retry-after": "61"}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.RateLimitError) as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    error = raised.value
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(same), same.status_code, same.error_details, same.retry_after) == (
            "slowly",
            429,
            {"detail": "slowly"},
            "61",
        )


@pytest.mark.parametrize("sent", ["a-key-4b1d-77e2", "7, 8", "7;x", "-3", "\u00fcbermorgen", "\u0667", "\u200f7"])
def test_retry_after_that_is_no_time_is_none(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sent: str
) -> None:
    faulty_router.answers.append(Answer(429, b"", {"retry-after": sent}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, max_retries=0, api_key="a-key-4b1d-77e2")

    with pytest.raises(nomyo.RateLimitError) as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    for each in (raised.value, copy.copy(raised.value), pickle.loads(pickle.dumps(raised.value))):
        assert each.retry_after is None


def test_call_has_timeouts_of_its_own(twin: Twin, key_directory: Path) -> None:
    call = Call({"model": "m", "messages": MESSAGES}, timeouts=Timeouts(connect_s=5.0, read_s=0.2, write_s=5.0))
    began_s = time.monotonic()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = twin.client(f"http://127.0.0.1:{silent.getsockname()[1]}", key_dir=key_directory, max_retries=0)
        with pytest.raises(nomyo.APIConnectionError, match="timed out"):
            twin.call(client.send, call)

    assert time.monotonic() - began_s < 30
