"""Mistakes in the call: the right error, with the path and without the content, and nothing sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core
from support.faults import FaultyRouter
from support.twins import Twin

CANARY = "canary-of-the-content"


def _messages(content: Any) -> list[dict[str, Any]]:
    plain = {"role": "user", "content": CANARY}
    return [plain, plain, plain, {"role": "user", "content": content}]


def _cycle() -> list[Any]:
    cycle: list[Any] = [CANARY]
    cycle.append(cycle)
    return cycle


def _deep(levels: int) -> list[Any]:
    nested: list[Any] = [CANARY]
    for _ in range(levels):
        nested = [nested]
    return nested


BAD_CONTENT: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "NaN": (lambda: float("nan"), ValueError),
    "infinity": (lambda: float("-inf"), ValueError),
    "infinity as key": (lambda: {CANARY + "\udfff": {float("inf"): 1}}, ValueError),
    "integer that Python does not print": (lambda: [CANARY, {CANARY: 10**4300}], ValueError),
    "integer that Python does not print as key": (lambda: {CANARY: 1, -(10**4300): 1}, ValueError),
    "cycle": (_cycle, ValueError),
    "too deep": (lambda: _deep(250), ValueError),
    "object": (object, TypeError),
    "set": (lambda: {CANARY}, TypeError),
    "bytes": (lambda: CANARY.encode(), TypeError),
    "generator": (lambda: (c for c in CANARY), TypeError),
    "tuple as key": (lambda: {(CANARY,): 1}, TypeError),
    "bytes as key": (lambda: {CANARY.encode(): 1}, TypeError),
    "too large": (lambda: CANARY * 600_000, ValueError),
    "buffer that is not UTF-8": (lambda: nomyo.SecureBuffer(b"\xff" + CANARY.encode()), ValueError),
}


@pytest.mark.parametrize("name", BAD_CONTENT)
def test_content_that_is_not_json_is_refused_with_its_path_before_anything_is_sent(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, name: str
) -> None:
    make, error_class = BAD_CONTENT[name]
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(error_class) as raised:
        twin.call(chat.create, model="m", messages=_messages(make()))

    assert str(raised.value).startswith("messages[3].content")
    assert CANARY not in str(raised.value)
    assert CANARY not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert faulty_router.received == []


def test_bad_content_is_refused_with_a_cached_server_key_too(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    twin.call(chat.create, model="m", messages=_messages("good"))
    seen = len(faulty_router.received)

    with pytest.raises(ValueError, match=r"^messages\[3\]\.content"):
        twin.call(chat.create, model="m", messages=_messages(float("nan")))

    assert len(faulty_router.received) == seen


@pytest.mark.parametrize(
    ("payload", "error_class"),
    [({}, ValueError), (None, TypeError), ([], TypeError), ("text", TypeError), (b"{}", TypeError), (7, TypeError)],
)
def test_payload_must_be_a_mapping_with_content(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, payload: object, error_class: type[Exception]
) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(error_class):
        twin.call(client.encrypt_payload, payload)
    with pytest.raises(error_class):
        twin.call(client.send_secure_request, payload, str(uuid.uuid4()))

    assert faulty_router.received == []


def test_ten_mebibytes_pass_and_one_byte_more_does_not(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)
    most = 10 * 1024 * 1024 - len('{"x":""}')

    package = twin.call(client.encrypt_payload, {"x": "y" * most})
    with pytest.raises(ValueError, match="beyond 10485760 bytes"):
        twin.call(client.encrypt_payload, {"x": "y" * (most + 1)})

    assert len(package) > most * 4 // 3


INJECTIONS = ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\tb", "caf\xe9", "\u2028", "\ud800"]


@pytest.mark.parametrize("value", INJECTIONS, ids=ascii)
def test_value_that_cannot_be_a_header_is_a_security_error(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, value: str
) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    payload = {"model": "m", "messages": _messages("x")}
    good_id = str(uuid.uuid4())

    for call in (
        lambda: twin.call(client.send_secure_request, payload, value),
        lambda: twin.call(client.send_secure_request, payload, good_id, value),
        lambda: twin.call(client.send_secure_request, payload, good_id, None, value),
        lambda: twin.call(chat.create, payload, api_key=value),
        lambda: twin.call(chat.create, payload, security_tier=value),
        lambda: twin.chat_class(faulty_router.url, api_key=value),
    ):
        with pytest.raises(nomyo.SecurityError) as raised:
            call()
        assert value not in str(raised.value)

    assert faulty_router.received == []


@pytest.mark.parametrize("value", [" key", "key ", "key\n", "key\r\n", " "], ids=ascii)
def test_api_key_with_a_space_or_line_end_around_it_is_refused_by_name(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    client = twin.client(faulty_router.url, key_dir=key_directory)
    monkeypatch.setenv("NOMYO_API_KEY", value)
    for name, call in {
        "NOMYO_API_KEY": lambda: twin.chat_class(faulty_router.url),
        "api_key": lambda: twin.call(chat.create, {"model": "m", "messages": _messages("x")}, api_key=value),
        "payload_id": lambda: twin.call(client.send_secure_request, {"model": "m"}, value),
    }.items():
        with pytest.raises(nomyo.SecurityError, match=f"^{name} .*(space|line end)"):
            call()
    assert faulty_router.received == []


def test_request_without_a_payload_id_is_refused(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)

    with pytest.raises(TypeError, match="payload_id must be a str, not NoneType"):
        twin.call(client.send_secure_request, {"model": "m"}, None)
    with pytest.raises(ValueError, match="payload_id must not be empty"):
        twin.call(client.send_secure_request, {"model": "m"}, "")

    assert faulty_router.received == []


@pytest.mark.parametrize("tier", ["", "STANDARD", "low", "high "])
def test_unknown_tier_is_a_value_error(twin: Twin, faulty_router: FaultyRouter, key_directory: Path, tier: str) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(ValueError, match="standard, high, maximum"):
        twin.call(chat.create, model="m", messages=_messages("x"), security_tier=tier)
    with pytest.raises(TypeError):
        twin.call(chat.create, model="m", messages=_messages("x"), security_tier=3)

    assert faulty_router.received == []


def test_plain_http_is_refused_before_a_byte_is_sent(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, allow_http=False)
    client = twin.client(faulty_router.url.replace("http:", "HTTP:"), key_dir=key_directory, allow_http=False)
    payload = {"model": "m", "messages": _messages("x")}

    for call in (
        lambda: twin.call(chat.create, payload),
        lambda: twin.call(client.fetch_server_public_key),
        lambda: twin.call(client.encrypt_payload, payload),
        lambda: twin.call(client.send_secure_request, payload, str(uuid.uuid4())),
    ):
        with pytest.raises(nomyo.SecurityError, match="plain HTTP"):
            call()

    assert faulty_router.received == []


def test_plain_http_that_is_allowed_warns_once(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    def make_and_use() -> None:
        chat = twin.chat(faulty_router.url, key_dir=key_directory)
        twin.call(chat.create, model="m", messages=_messages("x"))
        twin.call(chat.create, model="m", messages=_messages("x"), base_url=faulty_router.url)

    with pytest.warns(UserWarning, match="plain HTTP") as caught:
        make_and_use()

    assert len(caught) == 1
    assert caught[0].filename.endswith("twins.py")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.nomyo.ai",
        "ftp://127.0.0.1",
        "https://",
        "https://user:pass@127.0.0.1",
        "https://127.0.0.1/?a=b",
        "https://127.0.0.1/#a",
        "https://127.0.0.1:99999",
        "https://127.0.0.1 /",
        "https://caf\xe9.example",
        "https://127.0.0.1/\r\nX: y",
        "https://[::1",
        "https://host\x7f",
    ],
)
def test_url_that_cannot_be_a_router_is_a_value_error(twin: Twin, url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        twin.chat_class(url, key_dir=None)


@pytest.mark.parametrize(
    ("options", "error_class"),
    [
        ({"timeout": 0}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": "60"}, TypeError),
        ({"timeout": None}, TypeError),
        ({"max_retries": -1}, ValueError),
        ({"max_retries": 1.5}, TypeError),
        ({"max_retries": True}, TypeError),
        ({"max_connections": 0}, ValueError),
        ({"key_rotation_interval": -1}, ValueError),
        ({"server_key_ttl": float("inf")}, ValueError),
        ({"server_key_fingerprint": ""}, ValueError),
        ({"server_key_fingerprint": []}, ValueError),
        ({"server_key_fingerprint": "SHA256:short"}, ValueError),
        ({"secure_memory": "yes"}, ValueError),
        ({"http_client": object()}, TypeError),
        ({"api_key": b"bytes"}, TypeError),
        ({"timeout": 1e12}, ValueError),
        ({"timeout": 10**400}, ValueError),
        ({"key_rotation_interval": 1e10}, ValueError),
        ({"key_rotation_dir": 123}, TypeError),
        ({"key_rotation_password": b"longenough"}, TypeError),
        ({"key_rotation_password": "short"}, ValueError),
        ({"key_dir": 123}, TypeError),
        ({"key_dir": b"bytes"}, TypeError),
        ({"key_dir": "a\0b"}, ValueError),
        ({"key_dir": ""}, ValueError),
        ({"server_key_fingerprint": 5}, TypeError),
        ({"allow_http": "no"}, TypeError),
        ({"debug": 1}, TypeError),
    ],
)
def test_option_out_of_range_is_refused_at_construction(
    twin: Twin, options: dict[str, Any], error_class: type[Exception]
) -> None:
    with pytest.raises(error_class, match=next(iter(options))):
        twin.chat_class("https://127.0.0.1", **{"key_dir": None, **options})


@pytest.mark.parametrize("key_size", [1024, 3071, 0, "4096"])
def test_key_size_is_2048_or_4096(twin: Twin, key_directory: Path, key_size: Any) -> None:
    with pytest.raises(ValueError, match="2048"):
        twin.client_class("https://127.0.0.1", key_dir=None, key_size=key_size)
    client = twin.client("https://127.0.0.1", key_dir=key_directory)
    with pytest.raises((ValueError, TypeError)):
        twin.call(client.generate_keys, key_size=key_size)


@pytest.mark.parametrize("package", ["text", None, 7, {}])
def test_package_must_be_bytes(twin: Twin, key_directory: Path, package: Any) -> None:
    client = twin.client("https://127.0.0.1", key_dir=key_directory)
    with pytest.raises(TypeError):
        twin.call(client.decrypt_response, package, "id")


def test_core_takes_only_what_its_stub_says() -> None:
    with pytest.raises(ValueError, match="2048"):
        _core.PrivateKey.generate(1024)


def test_saving_needs_a_directory(twin: Twin, key_directory: Path) -> None:
    client = twin.client("https://127.0.0.1", key_dir=key_directory)
    with pytest.raises(TypeError, match="key_dir"):
        twin.call(client.generate_keys, save_to_file=True, key_dir=None)
    with pytest.raises(ValueError, match="8 characters"):
        twin.call(client.generate_keys, password="short")
