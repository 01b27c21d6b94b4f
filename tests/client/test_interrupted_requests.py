"""A request that an exception interrupts at any moment (Ctrl-C, an alarm, a task queue's limit) costs no later one."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import httpx
import pytest

import nomyo
from nomyo import _core
from nomyo.exchange.http import environment
from nomyo.serve.router.running import RunningRouter
from support import silent
from support.twins import Twin
from support.waiting import until

HELLO = [{"role": "user", "content": "Hello"}]
INTERRUPTIONS = 150
TIMEOUT_S = 30.0
SEED = 20_261_129


class TaskLimitError(Exception):
    """As task queues raise it in the thread that works."""


@contextmanager
def alarm(raised: type[BaseException]) -> Iterator[Callable[[float], None]]:
    """Yield a function that has an exception raised in this thread after so many seconds, and then each 5 s."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise raised("the caller's own")

    def drop(unraisable: sys.UnraisableHookArgs) -> None:
        """Python itself drops what a handler raises within a weak reference's callback: no interruption then."""
        if not (isinstance(unraisable.exc_value, raised) and unraisable.exc_value.args == ("the caller's own",)):
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, drop
    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds, 5.0 if seconds else 0) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook


@pytest.mark.parametrize("raised", [TaskLimitError, KeyboardInterrupt, TimeoutError])
@pytest.mark.parametrize("key_ttl_s", [0, 300], ids=["with the key's request", "alone"])
def test_interruptions_at_random_moments_leave_the_only_connection_to_the_next_request(
    router: RunningRouter, key_directory: Path, raised: type[BaseException], key_ttl_s: float
) -> None:
    moments = random.Random(SEED)
    interrupted = 0
    options: dict[str, Any] = {
        "key_dir": key_directory,
        "max_connections": 1,
        "timeout": TIMEOUT_S,
        "server_key_ttl": key_ttl_s,
    }
    with nomyo.SyncSecureChatCompletion(router.url, True, **options) as chat, alarm(raised) as ring:
        took_s = []
        for _ in range(5):  # the shortest is the one that no other program held up
            began_s = time.monotonic()
            chat.create(model="m", messages=HELLO)
            took_s.append(time.monotonic() - began_s)
        longest_s = 1.2 * min(took_s)
        for _ in range(INTERRUPTIONS):
            try:
                ring(moments.uniform(0.0001, longest_s))
                chat.create(model="m", messages=HELLO)
                ring(0)
            except raised:
                interrupted += 1
                ring(0)
        began_s = time.monotonic()
        assert chat.create(model="m", messages=HELLO).choices[0].message.content == "Hello"
    assert time.monotonic() - began_s < TIMEOUT_S  # which a connection that is lost would take
    assert interrupted > INTERRUPTIONS / 10


def test_interruptions_of_one_thread_disturb_no_other(router: RunningRouter, key_directory: Path) -> None:
    moments = random.Random(SEED)
    done = threading.Event()

    def work() -> int:
        answered = 0
        while not done.is_set():
            chat.create(model="m", messages=HELLO)
            answered += 1
        return answered

    with (
        nomyo.SyncSecureChatCompletion(router.url, True, key_dir=key_directory, max_connections=3) as chat,
        ThreadPoolExecutor(4) as threads,
        alarm(TaskLimitError) as ring,
    ):
        chat.create(model="m", messages=HELLO)
        working = [threads.submit(work) for _ in range(4)]
        for _ in range(INTERRUPTIONS):
            try:
                ring(moments.uniform(0.0001, 0.02))
                chat.create(model="m", messages=HELLO)
                ring(0)
            except TaskLimitError:
                ring(0)
        done.set()
        assert all(future.result(timeout=20) > 0 for future in working)
        assert chat.create(model="m", messages=HELLO).choices[0].message.content == "Hello"


@pytest.mark.parametrize("raised", [TimeoutError, ConnectionError])
@pytest.mark.parametrize("phase", ["lookup", "connect", "tls", "first byte", "data", "upload"])
def test_error_of_a_signal_handler_is_the_callers_in_each_phase(
    router: RunningRouter, key_directory: Path, phase: str, raised: type[OSError]
) -> None:
    content = "x" * 3_000_000 if phase == "upload" else "Hello"
    with (
        silent.PHASES[phase](router.url) as scene,
        nomyo.SyncSecureChatCompletion(scene.url, True, key_dir=key_directory, timeout=TIMEOUT_S) as chat,
        alarm(raised) as ring,
    ):
        # The certificates are loaded before, since the alarm is for the phase.
        environment._ssl_context_for(os.environ.get("SSL_CERT_FILE") or "", os.environ.get("SSL_CERT_DIR") or "")
        began_s = time.monotonic()
        ring(0.4)
        with pytest.raises(raised, match="the caller's own"):
            chat.create(model="m", messages=[{"role": "user", "content": content}])
        ring(0)
    assert time.monotonic() - began_s < 4  # before the alarm rings again


class HandlingObject:
    """A handler that is an object."""

    def __init__(self, raised: type[Exception]) -> None:
        self._raised = raised

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        raise self._raised("the caller's own")


def handle_by(raised: type[Exception], _number: int, _frame: FrameType | None) -> None:
    raise raised("the caller's own")


def ring_within(function: str) -> None:
    """Send the alarm to the first thread as soon as it is in a function of httpcore, or of what httpcore calls."""
    first = threading.main_thread().ident
    assert first is not None

    def is_there() -> bool:
        frame = sys._current_frames()[first]
        module = frame.f_globals["__name__"]
        return module in ("httpcore._backends.sync", "socket", "ssl") and frame.f_code.co_name == function

    until(is_there, timeout_s=TIMEOUT_S)
    signal.pthread_kill(first, signal.SIGALRM)


@pytest.mark.parametrize(
    ("phase", "function", "raised"),
    [
        ("connect", "create_connection", TimeoutError),
        ("tls", "do_handshake", TimeoutError),
        ("first byte", "read", TimeoutError),
        ("data", "read", ConnectionError),
        ("data", "read", ValueError),
    ],
)
@pytest.mark.parametrize("kind", [HandlingObject, lambda raised: partial(handle_by, raised)], ids=["object", "partial"])
def test_error_of_a_signal_handler_is_the_callers_within_a_client_of_the_caller(
    router: RunningRouter, key_directory: Path, phase: str, function: str, raised: type[Exception], kind: Any
) -> None:
    with (
        silent.PHASES[phase](router.url) as scene,
        httpx.Client(timeout=TIMEOUT_S) as client,
        nomyo.SyncSecureChatCompletion(
            scene.url, True, key_dir=key_directory, timeout=TIMEOUT_S, http_client=client
        ) as chat,
        ThreadPoolExecutor(1) as thread,
        alarm(raised),
    ):
        signal.signal(signal.SIGALRM, kind(raised))
        rings = thread.submit(ring_within, function)
        with pytest.raises(raised, match=r"^the caller's own$") as caught:
            chat.create(model="m", messages=HELLO)
        rings.result()
    assert caught.value.__context__ is None


def ringing(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that has the alarm ring, and then calls another."""

    def ring_and_call(*args: Any) -> Any:
        signal.raise_signal(signal.SIGALRM)
        return call(*args)

    return ring_and_call


@pytest.mark.parametrize(("module", "name"), [(os, "mkdir"), (_core, "write_key_directory")])
def test_error_of_a_signal_handler_is_the_callers_while_keys_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    with nomyo.SyncSecureCompletionClient("https://127.0.0.1:9", key_dir=None, key_size=2048) as client:
        client.generate_keys()  # what it needs is imported
        monkeypatch.setattr(module, name, ringing(getattr(module, name)))
        with alarm(TimeoutError), pytest.raises(TimeoutError, match=r"^the caller's own$") as raised:
            client.generate_keys(save_to_file=True, key_dir=str(tmp_path / "keys"))
    assert raised.value.__context__ is None


@contextmanager
def ringing_at(function: str, called: str) -> Iterator[None]:
    """Have the alarm ring each time a function of this name calls a function in C."""

    def ring(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and frame.f_code.co_name == function and argument.__name__ == called:
            signal.raise_signal(signal.SIGALRM)

    sys.setprofile(ring)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(("function", "called"), [("limit_unsent", "setsockopt"), ("has_something", "recv")])
def test_error_of_a_signal_handler_is_the_callers_at_calls_that_may_fail(
    router: RunningRouter, key_directory: Path, function: str, called: str
) -> None:
    with (
        nomyo.SyncSecureChatCompletion(router.url, True, key_dir=key_directory, server_key_ttl=0) as chat,
        alarm(TimeoutError),
    ):
        if function == "has_something":
            chat.create(model="m", messages=HELLO)  # leaves a connection
        with pytest.raises(TimeoutError, match=r"^the caller's own$"), ringing_at(function, called):
            chat.create(model="m", messages=HELLO)
        assert chat.create(model="m", messages=HELLO).choices[0].message.content == "Hello"


class BrokenTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Raises what httpcore raises on a connection whose state an interruption broke."""

    def __init__(self, code: str) -> None:
        self.namespace: dict[str, Any] = {"__name__": "httpcore._sync.connection_pool"}
        exec(code, self.namespace)  # what is raised must come from a module of that name

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.namespace["fail"]()
        raise NotImplementedError

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


def client_of(twin: Twin, transport: Any) -> httpx.Client | httpx.AsyncClient:
    return httpx.Client(transport=transport) if twin.name == "sync" else httpx.AsyncClient(transport=transport)


@pytest.mark.parametrize(
    "statement",
    ["assert None", "raise RuntimeError('state')", "import h11; raise h11.LocalProtocolError('state')", "[].pop()"],
)
def test_what_a_broken_connection_raises_is_a_connection_error(twin: Twin, key_directory: Path, statement: str) -> None:
    client = client_of(twin, BrokenTransport(f"def fail():\n    {statement}"))
    chat = twin.chat("http://127.0.0.1:9", key_dir=key_directory, http_client=client, max_retries=0)
    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    assert raised.value.__context__ is None


def test_programs_own_error_in_a_transport_stays_what_it_is(twin: Twin, key_directory: Path) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise AssertionError("of the program")

    client = client_of(twin, httpx.MockTransport(fail))
    chat = twin.chat("http://127.0.0.1:9", key_dir=key_directory, http_client=client)
    with pytest.raises(AssertionError, match="of the program"):
        twin.call(chat.create, model="m", messages=HELLO)
