"""The traceback of an error ends at the method that the caller called: what lies below helps only whoever mends us."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import traceback
from collections import UserDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pytest

import nomyo
from nomyo.exchange.call import Call
from support.twins import Twin

PACKAGE = str(Path(nomyo.__file__).parent)
HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
AWAY = "https://127.0.0.1:9"
METHODS: dict[str, tuple[str, Callable[[Twin], Any]]] = {
    "no answer": ("create", lambda twin: twin.call(twin.chat(AWAY, max_retries=0).create, HELLO)),
    "other router": ("create", lambda twin: twin.call(twin.chat(AWAY, max_retries=0).create, HELLO, base_url=AWAY)),
    "no model": ("create", lambda twin: twin.call(twin.chat(AWAY).create, messages=[])),
    "bad payload": ("create_secure", lambda twin: twin.call(twin.chat(AWAY).create_secure, HELLO, seed=float("nan"))),
    "bad tier": ("create", lambda twin: twin.call(twin.chat(AWAY).create, HELLO, security_tier="top")),
    "option": ("__init__", lambda twin: twin.chat_class(timeout=0)),
    "no file": ("load_keys", lambda twin: twin.call(twin.client(AWAY).load_keys, "none.pem")),
}


def ours(trace: TracebackType | None) -> list[str]:
    """Return the names of the frames of the package."""
    return [each.name for each in traceback.extract_tb(trace) if each.filename.startswith(PACKAGE)]


@pytest.mark.parametrize("failure", METHODS)
def test_traceback_ends_at_the_method_that_was_called(failure: str, twin: Twin) -> None:
    name, call = METHODS[failure]
    with pytest.raises((nomyo.NomyoError, TypeError, ValueError, OSError)) as raised:
        call(twin)
    assert ours(raised.value.__traceback__) == ["call", name]
    assert raised.value.__cause__ is raised.value.__context__ is None


@pytest.mark.parametrize("log", ["nomyo", "nomyo.debug"])
def test_traceback_is_whole_under_the_debug_log(log: str, twin: Twin) -> None:
    logging.getLogger(log).setLevel(logging.DEBUG)
    with pytest.raises(ValueError) as raised:
        twin.call(twin.chat(AWAY).create, HELLO, security_tier="top")
    assert ours(raised.value.__traceback__)[-1] == "check_security_tier"


def test_traceback_of_a_bug_is_whole(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Call) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Call, "check", broken)
    with pytest.raises(ZeroDivisionError) as raised:
        twin.call(twin.chat(AWAY).create, HELLO)
    assert "_check_sendable" in ours(raised.value.__traceback__)


class OddMapping(UserDict[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return len(super())  # type: ignore[arg-type]


class OddValue(dict[str, Any]):
    def items(self) -> Any:
        return int("no number")


def odd_hook(request: httpx.Request) -> None:
    len(request)  # type: ignore[arg-type]


async def odd_hook_async(request: httpx.Request) -> None:
    odd_hook(request)


def odd_transport(request: httpx.Request) -> httpx.Response:
    return httpx.Response(len(request))  # type: ignore[arg-type]


HOOKS = {"sync": odd_hook, "async": odd_hook_async}


def with_client(twin: Twin, **options: Any) -> Any:
    own = httpx.Client(**options) if twin.name == "sync" else httpx.AsyncClient(**options)
    return twin.call(twin.chat(AWAY, http_client=own).create, HELLO)


BUGS: dict[str, tuple[str, Callable[[Twin], Any]]] = {
    "transport": ("odd_transport", lambda twin: with_client(twin, transport=httpx.MockTransport(odd_transport))),
    "hook": ("odd_hook", lambda twin: with_client(twin, event_hooks={"request": [HOOKS[twin.name]]})),
    "mapping": ("__getitem__", lambda twin: twin.call(twin.chat(AWAY).create, OddMapping(HELLO))),
    "value": ("items", lambda twin: twin.call(twin.chat(AWAY).create, HELLO, metadata=OddValue(a=1))),
}


@pytest.mark.parametrize("bug", BUGS)
def test_traceback_of_a_bug_of_the_caller_shows_its_line_and_no_values_of_ours(bug: str, twin: Twin) -> None:
    name, call = BUGS[bug]
    with pytest.raises((TypeError, ValueError)) as raised:
        call(twin)
    frames = [frame for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    assert frames[-1].f_code.co_name == name
    below = list(itertools.dropwhile(lambda frame: frame.f_code.co_name != "create", frames))
    assert any(frame.f_code.co_filename.startswith(PACKAGE) for frame in below[1:])
    assert [frame.f_locals for frame in below[1:]] == [{}] * len(below[1:])


@pytest.mark.parametrize("broken", [None, partial(int, "no number")])
def test_traceback_of_a_bug_of_a_common_kind_in_the_package_is_whole(
    broken: Any, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nomyo.exchange.call.check_header_value", broken)
    with pytest.raises((TypeError, ValueError)) as raised:
        twin.call(twin.chat(AWAY).create, HELLO)
    assert ours(raised.value.__traceback__)[-1] == "check"


def test_traceback_of_a_request_that_its_caller_timed_out_is_short(key_directory: Path) -> None:
    async def ask(port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        async with nomyo.SecureChatCompletion(url, True, key_dir=key_directory) as chat, asyncio.timeout(0.2):
            await chat.create(HELLO)

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError) as raised:
        asyncio.run(ask(silent.getsockname()[1]))
    cancelled = raised.value.__cause__
    assert isinstance(cancelled, asyncio.CancelledError)
    assert ours(cancelled.__traceback__) == ["call", "create"]
