"""What `dispose` and its like end: every method, the rotation, the private key."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core
from nomyo.exchange.call import Call
from nomyo.exchange.http import async_http
from nomyo.exchange.http.loop_pool import LoopPool
from nomyo.serve.router.running import RunningRouter
from support.connections import connections_to
from support.process import run_python, unmeasured
from support.twins import Twin
from support.waiting import until

HELLO = [{"role": "user", "content": "Hello"}]
ID = "8c8e4a5e-52a5-4a3c-8ab6-0b1c9fa5d2c4"

# On exit the interpreter stops a daemon thread wherever it is: here where `threading` ends a wait, with a lock in hand.
# The hook has a namespace of its own: a stopped thread keeps it, and the program's must go, with the client in it.
HOOK = """
import threading, time

waits, stopped_or_ended = threading.Event(), threading.Event()

def follow(frame, event, function):
    if threading.current_thread().name != "nomyo-rotation":
        return
    name = frame.f_code.co_qualname
    if (event, name) == ("call", "Condition.wait"):
        waits.set()
    if event == "c_call" and function.__qualname__ == "SimpleQueue.get":
        waits.set()
    if event == "return" and (name == "Condition.wait" or name.endswith(".tick")):
        stopped_or_ended.set()
        time.sleep(600 if name == "Condition.wait" else 0)

threading.setprofile(follow)
"""
STOPPED_IN_ITS_WAIT = """
import sys, nomyo

hook = {}
exec(sys.argv[2], hook)
client = nomyo.SyncSecureChatCompletion("https://127.0.0.1:9", key_dir=sys.argv[1], api_key="")
assert hook["waits"].wait(60)
client.close()
assert hook["stopped_or_ended"].wait(60)
"""


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def _rotation_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nomyo-rotation"]


def test_every_method_raises_afterwards(twin: Twin, key_directory: Path) -> None:
    client = twin.client("https://127.0.0.1:9", key_dir=key_directory)
    chat = twin.chat("https://127.0.0.1:9", key_dir=key_directory)
    for _ in range(2):
        client.dispose()
        chat.dispose()

    for method, arguments in [
        (client.generate_keys, ()),
        (client.load_keys, (key_directory / "private_key.pem",)),
        (client.fetch_server_public_key, ()),
        (client.encrypt_payload, ({"a": 1},)),
        (client.decrypt_response, (b"{}", "id")),
        (client.send_secure_request, ({"a": 1}, "id")),
        (chat.create, ({"model": "m", "messages": HELLO},)),
        (chat.create, ()),
        (chat.acreate, ({"model": "m", "messages": HELLO, "base_url": "https://127.0.0.1:9"},)),
    ]:
        with pytest.raises(nomyo.DisposedError):
            twin.call(method, *arguments)


def test_private_key_is_wiped(twin: Twin, key_directory: Path) -> None:
    client = twin.client("https://127.0.0.1:9", key_dir=key_directory)
    until(lambda: client._exchange._keys._pair)
    private_key = client._exchange._keys._pair.private_key

    client.dispose()

    assert private_key.wiped


def test_dispose_while_keys_are_being_made_leaves_nothing(twin: Twin, tmp_path: Path) -> None:
    client = twin.client("https://127.0.0.1:9", key_dir=None, key_size=4096)
    client.dispose()
    with pytest.raises(nomyo.DisposedError):
        twin.call(client.encrypt_payload, {"a": 1})


def test_program_ends_wherever_the_interpreter_stops_the_rotation(key_directory: Path) -> None:
    finished = run_python(STOPPED_IN_ITS_WAIT, str(key_directory), HOOK, env=unmeasured(), timeout_s=60)

    assert (finished.returncode, finished.stderr) == (0, "")


def test_context_manager_disposes(key_directory: Path) -> None:
    with nomyo.SyncSecureChatCompletion("https://127.0.0.1:9", key_dir=key_directory) as chat:
        pass
    with pytest.raises(nomyo.DisposedError), chat:
        pass
    with nomyo.SyncSecureCompletionClient("https://127.0.0.1:9", key_dir=key_directory) as client:
        pass
    with pytest.raises(nomyo.DisposedError):
        client.encrypt_payload({"a": 1})
    chat.close()
    client.close()


def test_every_method_of_every_client_raises_at_the_call(twin: Twin, key_directory: Path) -> None:
    client = twin.client("https://127.0.0.1:9", key_dir=key_directory)
    chat = twin.chat("https://127.0.0.1:9", key_dir=key_directory)
    client.dispose()
    chat.dispose()
    harmless = {"dispose", "close", "aclose", "from_settings", "with_same_keys", "start", "settings"}
    arguments: dict[str, tuple[Any, ...]] = {
        "load_keys": (key_directory / "private_key.pem",),
        "encrypt_payload": ({"a": 1},),
        "decrypt_response": (b"{}", "id"),
        "send_secure_request": ({"a": 1}, "id"),
        "send": (Call({"a": 1}),),
        "send_secret": (Call({"a": 1}),),
    }
    entered = ("__enter__", "__exit__") if twin.name == "sync" else ("__aenter__", "__aexit__")

    tried = set()
    for made in (client, chat):
        names = {name for name in dir(made) if not name.startswith("_")} - harmless | {entered[0]}
        for name in names - {"create_many", "check_usable"}:
            tried.add(name)
            with pytest.raises(nomyo.DisposedError):
                twin.call(getattr(made, name), *arguments.get(name, ()))
    with pytest.raises(nomyo.DisposedError):
        client.check_usable()
    with pytest.raises(nomyo.DisposedError):
        chat.create_many([])
    assert {"create", "acreate", "create_secure", "generate_keys", "wait_for_keys", "encrypt_payload"} <= tried


def test_rotation_ends(twin: Twin, tmp_path: Path, client_key: Any) -> None:
    keys = tmp_path / "keys"
    _core.write_key_directory(keys, client_key)
    client = twin.client("https://127.0.0.1:9", key_dir=keys, key_rotation_dir=keys, key_rotation_interval=0.05)
    until(lambda: (keys / "public_key.pem").read_text() != client_key.public_key.pem)

    client.dispose()
    until(lambda: not _rotation_threads())
    last = snapshot(keys)
    client._exchange._keys.rotate()

    assert snapshot(keys) == last


def test_interval_of_zero_never_rotates(twin: Twin, router: RunningRouter, key_directory: Path) -> None:
    before = snapshot(key_directory)
    client = twin.client(router.url, key_dir=key_directory, key_rotation_interval=0)
    twin.call(client.send_secure_request, {"model": "m", "messages": HELLO}, ID)

    assert not _rotation_threads()
    assert snapshot(key_directory) == before


def test_connections_that_begin_while_another_thread_disposes_are_closed(
    router: RunningRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(LoopPool):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            disposing = threading.Thread(target=chat.dispose)
            disposing.start()
            disposing.join()

    async def main() -> None:
        with pytest.raises(nomyo.DisposedError):
            await chat.create(model="m", messages=HELLO)
        assert connections_to(router.url) == before

    before = connections_to(router.url)
    monkeypatch.setattr(async_http, "LoopPool", Late)
    chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory)
    asyncio.run(main())
