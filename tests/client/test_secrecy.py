"""Content, keys and tokens appear in no message, repr, log line, context or traceback of ours."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import traceback
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import nomyo
from nomyo import _core
from nomyo.exchange.effects import Request, Response
from nomyo.exchange.new_keys import NewKeys
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.our_frames import our_frames
from support.peer import seal_for
from support.twins import Twin
from support.waiting import until

PROMPT = "canary-prompt-7f3a"
ANSWER = "canary-answer-91cc"
TOKEN = "canary-token-52be"
PASSWORD = "canary-password-e0d4"
CANARIES = (PROMPT, ANSWER, TOKEN, PASSWORD, "PRIVATE KEY")
MESSAGES = [{"role": "user", "content": PROMPT}]

Provoke = Callable[[FaultyRouter, _core.PrivateKey], Any]

FAILURES: dict[str, tuple[Provoke, type[Exception]]] = {
    "status": (lambda router, _: router.answers.append(Answer(403, b"{}")), nomyo.ForbiddenError),
    "retries exhausted": (lambda router, _: router.always(Answer(503, b"")), nomyo.ServiceUnavailableError),
    "damaged package": (lambda router, _: setattr(router, "change", lambda body: body[:-40]), nomyo.SecurityError),
    "answer that is no object": (
        lambda router, key: setattr(router, "change", lambda _: seal_for(key.public_key.pem, f'"{ANSWER}"'.encode())),
        nomyo.SecurityError,
    ),
    "answer that is no JSON": (
        lambda router, key: setattr(router, "change", lambda _: seal_for(key.public_key.pem, ANSWER.encode())),
        nomyo.SecurityError,
    ),
}


def _everything_reachable(error: BaseException) -> str:
    """Return the error as a debugging tool would print it: chain, notes and the local variables of our frames."""
    shown = [repr(error), str(error), str(vars(error))]
    for linked in (error.__cause__, error.__context__):
        assert linked is None
    shown.extend(_locals_of_our_frames(error.__traceback__))
    return "\n".join(shown)


def _locals_of_our_frames(trace: TracebackType | None) -> list[str]:
    return [f"{name} = {value!r}" for frame in our_frames(trace) for name, value in frame.f_locals.items()]


@pytest.mark.parametrize("name", FAILURES)
def test_failure_shows_nothing(
    twin: Twin,
    faulty_router: FaultyRouter,
    client_key: _core.PrivateKey,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    sleeps: list[float],
    name: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    _core.write_key_directory(tmp_path / "keys", client_key, PASSWORD)
    provoke, error_class = FAILURES[name]
    provoke(faulty_router, client_key)
    chat = twin.chat(
        faulty_router.url, key_dir=tmp_path / "keys", api_key=TOKEN, debug=True, key_rotation_password=PASSWORD
    )

    with pytest.raises(error_class) as raised:
        twin.call(chat.create, model="m", messages=MESSAGES, api_key=TOKEN + "-2")

    output = capfd.readouterr()
    for shown in (_everything_reachable(raised.value), caplog.text, output.out, output.err, repr(chat)):
        for canary in CANARIES:
            assert canary not in shown


def test_refused_payload_shows_nothing_in_our_frames(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key=TOKEN)
    client = twin.client(faulty_router.url, key_dir=key_directory)
    bad = [{"role": "user", "content": PROMPT}, {"content": float("nan")}]

    for call in (
        lambda: twin.call(chat.create, model="m", messages=bad),
        lambda: twin.call(client.encrypt_payload, {"messages": bad}),
        lambda: twin.call(client.send_secure_request, {"messages": bad}, "id", TOKEN),
    ):
        with pytest.raises(ValueError) as raised:
            call()
        shown = _everything_reachable(raised.value)
        for canary in CANARIES:
            assert canary not in shown


def test_network_failure_shows_nothing(
    twin: Twin, unused_port: int, key_directory: Path, caplog: pytest.LogCaptureFixture, sleeps: list[float]
) -> None:
    caplog.set_level(logging.DEBUG)
    chat = twin.chat(f"http://127.0.0.1:{unused_port}", key_dir=key_directory, api_key=TOKEN)

    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    for shown in (_everything_reachable(raised.value), caplog.text):
        for canary in CANARIES:
            assert canary not in shown


def test_wrong_password_shows_nothing(twin: Twin, tmp_path: Path, client_key: _core.PrivateKey) -> None:
    _core.write_key_directory(tmp_path / "keys", client_key, PASSWORD)
    client = twin.client("https://127.0.0.1:9")

    with pytest.raises(nomyo.SecurityError) as raised:
        twin.call(client.load_keys, tmp_path / "keys" / "private_key.pem", None, PASSWORD + "!")

    assert PASSWORD not in repr(raised.value)
    assert raised.value.__context__ is None


def test_debug_logs_each_step_to_stderr_without_content(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, debug=True, api_key=TOKEN)
    twin.call(chat.create, model="m", messages=MESSAGES)

    log = capfd.readouterr().err
    for step in ("key directory opened", "router's key: RSA-2048 SHA256:", "sealed", "package:", "HTTP 200", "opened"):
        assert step in log
    for canary in CANARIES:
        assert canary not in log


def test_nothing_is_logged_without_debug(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    twin.call(chat.create, model="m", messages=MESSAGES)

    assert capfd.readouterr().err == ""


def test_debug_twice_logs_each_line_once(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    twin.chat(faulty_router.url, key_dir=key_directory, debug=True)
    chat = twin.chat(faulty_router.url, key_dir=key_directory, debug=True)
    twin.call(chat.create, model="m", messages=MESSAGES)

    assert capfd.readouterr().err.count("router's key:") == 1


def test_reprs_show_no_secrets(key_directory: Path, client_key: _core.PrivateKey) -> None:
    from nomyo.exchange.call import Call
    from nomyo.exchange.settings import Settings

    settings = Settings(api_key=TOKEN, key_rotation_password=PASSWORD, key_dir=None)
    call = Call({"messages": MESSAGES}, api_key=TOKEN)
    with nomyo.SecureBuffer(PROMPT.encode()) as buffer:
        shown = repr((settings, call, buffer, client_key)) + f"{buffer} {client_key}" + traceback.format_exc()
    for canary in CANARIES:
        assert canary not in shown


def test_tools_that_walk_local_variables_see_no_secrets() -> None:
    """Tools that report errors, like Sentry, show the items of mappings and sequences, and the repr of the rest."""
    carriers = (
        Request("POST", "https://router", {"Authorization": TOKEN}, b"", 1),
        Response(407, b"", credentials=(TOKEN,)),
        NewKeys(2048, None, PASSWORD),
    )
    for each in carriers:
        assert not isinstance(each, Iterable)
        assert not any(canary in repr(each) for canary in CANARIES)


@pytest.mark.parametrize(
    "name",
    ["load_keys", "generate_keys", "no model", "no mapping", "header", "option", "credentials", "short password"],
)
def test_mistake_in_a_call_shows_nothing_in_our_frames(twin: Twin, tmp_path: Path, name: str) -> None:
    client = twin.client("https://127.0.0.1:9")
    chat = twin.chat("https://127.0.0.1:9")
    mistakes: dict[str, Callable[[], Any]] = {
        "load_keys": lambda: twin.call(client.load_keys, tmp_path / "none.pem", None, PASSWORD),
        "generate_keys": lambda: twin.call(client.generate_keys, key_size=7, password=PASSWORD),
        "no model": lambda: twin.call(chat.create, messages=MESSAGES, api_key=TOKEN),
        "no mapping": lambda: twin.call(chat.create, MESSAGES),
        "header": lambda: twin.chat_class(api_key=TOKEN + "\n"),
        "option": lambda: twin.chat_class(api_key=TOKEN, key_rotation_password=PASSWORD, timeout=0),
        "credentials": lambda: twin.chat_class(f"https://user:{PASSWORD}@127.0.0.1"),
        "short password": lambda: twin.call(client.generate_keys, password="canary!"),
    }

    with pytest.raises((ValueError, TypeError, OSError, nomyo.SecurityError)) as raised:
        mistakes[name]()

    shown = _everything_reachable(raised.value)
    for canary in (*CANARIES, "canary!"):
        assert canary not in shown


def test_api_key_that_a_server_quotes_stays_out_of_the_error(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    faulty_router.answers.append(Answer(401, f'{{"detail": "no such key: Bearer {TOKEN}"}}'.encode()))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key=TOKEN)

    with pytest.raises(nomyo.AuthenticationError, match="no such key") as raised:
        twin.call(chat.create, model="m", messages=MESSAGES)

    assert TOKEN not in _everything_reachable(raised.value)


class Payload(dict[str, Any]):
    """A payload whose end can be observed."""


def _quietly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Drop errors where they arise: asyncio's own frames keep what leaves a task in a cycle."""

    async def run_async(**request: Any) -> None:
        with contextlib.suppress(nomyo.NomyoError, ValueError):
            await method(**request)

    def run(**request: Any) -> None:
        with contextlib.suppress(nomyo.NomyoError, ValueError):
            method(**request)

    return run_async if inspect.iscoroutinefunction(method) else run


@pytest.mark.parametrize("failure", ["key fetch", "status", "damaged package", "bad payload", "none"])
def test_payload_is_let_go_of_without_the_garbage_collector(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float], failure: str
) -> None:
    if failure == "key fetch":
        faulty_router.path = PUBLIC_KEY
    if failure in ("key fetch", "status"):
        faulty_router.always(Answer(500, b""))
    if failure == "damaged package":
        faulty_router.change = lambda body: body[:-40]
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    def ask() -> weakref.ref[Payload]:
        message = Payload(role="user", content=float("nan") if failure == "bad payload" else PROMPT)
        watched = weakref.ref(message)
        twin.call(_quietly(chat.create), model="m", messages=[message])
        return watched

    gc.collect()
    gc.disable()
    try:
        watched = ask()
        until(lambda: watched() is None, timeout_s=5)  # a worker thread may still be on its way out
    finally:
        gc.enable()
