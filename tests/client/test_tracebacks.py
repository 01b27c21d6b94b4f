"""The traceback of an error ends at the method that the caller called: what lies below helps only whoever mends us."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

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
