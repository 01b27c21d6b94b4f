"""A process at its limit of threads: it goes on with those that it has, or says in words that it needs one more."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import nomyo
from nomyo._threads import submit_or_run
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import EXPECTED, ROWS, command, outcomes, request, write_input
from support.connections import connections_to
from support.process import unmeasured
from support.twins import Twin

# What Python does where pthread_create(3) says EAGAIN, as it does beyond RLIMIT_NPROC and pids.max. No limit of the
# kernel's binds the user 0, whom the tests may run as.
NO_THREADS = """
import threading

def refuse(*_, **__):
    raise RuntimeError("can't start new thread")

for name in ("_start_new_thread", "_start_joinable_thread"):
    if hasattr(threading, name):
        setattr(threading, name, refuse)
"""
HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def without_threads(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that can start none."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NO_THREADS)
    return {**unmeasured(), "PYTHONPATH": str(site)}


@pytest.fixture
def no_threads(router: RunningRouter, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have this process start no more threads, from the call on."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    def begin() -> None:
        for name in ("_start_new_thread", "_start_joinable_thread"):
            if hasattr(threading, name):
                monkeypatch.setattr(threading, name, refuse)

    return begin


def words(words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nomyo", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


def test_call_of_a_pool_without_threads_comes_about_once(no_threads: Callable[[], None]) -> None:
    calls: list[int] = []
    pool = ThreadPoolExecutor(2)
    ready = threading.Event()
    held = pool.submit(ready.wait)
    no_threads()
    done = submit_or_run(lambda: pool, lambda: calls.append(1))
    assert done.done()
    ready.set()  # the thread that there is comes to what is in the pool's queue
    assert held.result(10)
    pool.shutdown()
    assert calls == [1]


def test_error_of_such_a_call_is_its_outcome(no_threads: Callable[[], None]) -> None:
    no_threads()
    with ThreadPoolExecutor(1) as pool:
        done = submit_or_run(lambda: pool, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        done.result()


def test_client_that_rotates_keys_needs_a_thread(no_threads: Callable[[], None]) -> None:
    no_threads()
    with pytest.raises(nomyo.ConfigurationError, match=r"rotating keys .* needs another thread.*ulimit -u"):
        nomyo.SecureChatCompletion(key_dir=None)


def test_server_in_the_background_needs_a_thread(no_threads: Callable[[], None]) -> None:
    no_threads()
    with pytest.raises(nomyo.ConfigurationError, match="needs another thread"):
        RunningRouter(RouterConfig(key_bits=2048)).start()


PROGRAM = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
import nomyo
url, key_dir = sys.argv[1:]
options = {"allow_http": True, "key_dir": key_dir, "key_rotation_interval": 0}
hello = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}

async def ask():
    async with nomyo.SecureChatCompletion(url, **options) as chat:
        return await chat.create(**hello)

print(asyncio.run(ask())["choices"][0]["message"]["content"])
with nomyo.SyncSecureChatCompletion(url, **options) as chat:
    print(chat.create(**hello)["choices"][0]["message"]["content"])
    print(sum(result.response is not None for result in chat.create_many([hello] * 9, concurrency=4)))
"""


def test_requests_go_on_in_the_calling_thread(
    router: RunningRouter, key_directory: Path, without_threads: dict[str, str]
) -> None:
    program = [sys.executable, "-c", PROGRAM, router.url, str(key_directory)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False, env=without_threads)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["hello", "hello", "9"], "")


def test_batch_goes_on_in_the_calling_thread(
    router: RunningRouter, key_directory: Path, tmp_path: Path, without_threads: dict[str, str]
) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))
    program = (
        "import sys, nomyo.batch, warnings\nwarnings.simplefilter('ignore')\nsource, out, url, keys = sys.argv[1:]\n"
        "nomyo.batch.run(source, out, base_url=url, allow_http=True, key_dir=keys, key_rotation_interval=0)"
    )
    arguments = [str(source), str(tmp_path / "out"), router.url, str(key_directory)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, timeout=60, check=False, env=without_threads
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert outcomes(tmp_path / "out") == EXPECTED


@pytest.mark.parametrize("name", ["batch", "chat", "proxy", "demo"])
def test_command_that_needs_a_thread_says_so(
    name: str, router: RunningRouter, key_directory: Path, tmp_path: Path, without_threads: dict[str, str]
) -> None:
    source = write_input(tmp_path / "in.jsonl", [request(1)])
    own = ["--base-url", router.url, "--allow-http", "--key-dir", str(key_directory)]
    commands = {
        "batch": command(source, tmp_path / "out", router.url)[3:],
        "chat": ["chat", "--model", "echo", *own, "hello"],
        "proxy": ["proxy", "--port", "0", *own],
        "demo": ["demo"],
    }
    done = words(commands[name], without_threads)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs another thread" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["keys", "generate", "--no-password", "--key-size", "2048"], ["doctor"]])
def test_other_commands_need_none(arguments: list[str], without_threads: dict[str, str]) -> None:
    done = words(arguments, without_threads)
    assert (done.returncode, done.stderr) == (0, "")


def test_lookup_without_a_thread_is_told_at_once(
    router: RunningRouter, key_directory: Path, no_threads: Callable[[], None], sleeps: list[float]
) -> None:
    async def main() -> None:
        url = router.url.replace("127.0.0.1", "localhost")
        async with nomyo.SecureChatCompletion(url, True, key_dir=key_directory) as chat:
            await chat._client.wait_for_keys()
            no_threads()
            with pytest.raises(nomyo.ConfigurationError, match="the lookup of the host's name needs another thread"):
                await chat.create(**HELLO)

    asyncio.run(main())
    assert sleeps == []


def test_interpreters_end_is_not_taken_for_the_limit_of_threads(
    twin: Twin, router: RunningRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    url = router.url.replace("127.0.0.1", "localhost")
    chat = twin.chat(url, key_dir=key_directory, key_rotation_interval=0)
    twin.call(chat._client.wait_for_keys)
    for name in ("_start_new_thread", "_start_joinable_thread"):
        if hasattr(threading, name):
            monkeypatch.setattr(threading, name, refuse)
    with pytest.raises(RuntimeError, match="interpreter shutdown"):
        twin.call(chat.create, **HELLO)


def test_client_is_disposed_of_in_one_loop_after_another_and_the_other_closes_its_connections(
    router: RunningRouter, key_directory: Path, no_threads: Callable[[], None]
) -> None:
    async def dispose() -> None:
        no_threads()
        chat.dispose()

    chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory, key_rotation_interval=0)
    with asyncio.Runner() as first:
        first.run(chat.create(**HELLO))
        assert connections_to(router.url) == 1
        with asyncio.Runner() as second:
            second.run(dispose())
    assert connections_to(router.url) == 0


@pytest.mark.timeout(20)
def test_interrupt_of_a_request_in_the_calling_thread_ends_all(
    key_directory: Path, no_threads: Callable[[], None]
) -> None:
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"key_dir": key_directory, "key_rotation_interval": 0}
    with (
        httpx.Client(transport=httpx.MockTransport(interrupt)) as client,
        nomyo.SyncSecureChatCompletion("http://127.0.0.1:9", True, http_client=client, **options) as chat,
    ):
        no_threads()
        with pytest.raises(KeyboardInterrupt):
            list(chat.create_many([HELLO] * 3, concurrency=2))
