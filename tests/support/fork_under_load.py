"""A parent under load that forks, as a program of its own: `fork_under_load.py KIND URL KEY_DIR COUNT`.

Threads send requests by a sync client, a loop thread by an async one; others seal, open, allocate, lock pages and
generate keys without pause. A child that hangs shows where (faulthandler) and ends with an error.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import faulthandler
import itertools
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import nomyo
from nomyo import SecureBuffer, _core
from support.process import locked_kib_at

warnings.simplefilter("ignore", UserWarning)  # plain HTTP; here, for children that import this

HELLO = [{"role": "user", "content": "Hello"}]
PAYLOAD: dict[str, Any] = {"model": "m", "messages": HELLO}
CONTENT = bytes(range(256)) * 20
CHILD_S = 40
CLIENT_METHODS: dict[str, tuple[Any, ...]] = {
    "generate_keys": (),
    "load_keys": ("nowhere",),
    "fetch_server_public_key": (),
    "encrypt_payload": (PAYLOAD,),
    "decrypt_response": (b"{}", "id"),
    "send_secure_request": (PAYLOAD, "id"),
}


def run(outcome: Any) -> Any:
    """Return an outcome, or what a coroutine of it returns."""
    return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome


def ask(url: str, key_dir: str) -> str:
    """One request with a client of this process's own."""
    with nomyo.SyncSecureChatCompletion(url, True, key_dir=key_dir) as chat:
        text = chat.create(model="m", messages=HELLO).choices[0].message.content
    assert text is not None
    return text


def ask_with(url_and_key_dir: tuple[str, str]) -> str:
    return ask(*url_and_key_dir)


class Parent:
    """What the parent holds while it forks."""

    def __init__(self, url: str, key_dir: str) -> None:
        self.url, self.key_dir = url, key_dir
        self.errors: list[BaseException] = []
        self.requests = itertools.count()
        self.stop = threading.Event()
        self.chat = nomyo.SyncSecureChatCompletion(url, True, key_dir=key_dir)
        self.async_chat = nomyo.SecureChatCompletion(url, True, key_dir=key_dir)
        self.client = nomyo.SyncSecureCompletionClient(url, True, key_dir=key_dir)
        self.async_client = nomyo.SecureCompletionClient(url, True, key_dir=key_dir)
        # Rotates all the time, so that forks meet a rotation.
        self.rotating = nomyo.SyncSecureChatCompletion(url, True, key_dir=None, key_rotation_interval=0.05)
        self.key = _core.load_key_pair(f"{key_dir}/private_key.pem")[0]
        self.buffer = SecureBuffer(CONTENT)
        self.view = self.buffer.data
        self.closable = SecureBuffer(CONTENT)
        self.own = bytearray(CONTENT)
        self.page_lock = _core.PageLock(self.own)
        self.context = nomyo.SecureByteContext(bytearray(CONTENT))
        self.context.__enter__()
        self.generator = self._generate()
        next(self.generator)
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.pool.submit(int).result()
        self.package = _core.seal(PAYLOAD, self.key.public_key)
        self.file = Path(key_dir).parent / f"content-{os.getpid()}"
        self.file.write_bytes(CONTENT * 50)
        self.threads: list[threading.Thread] = []

    def _generate(self) -> Generator[int, None, None]:
        with SecureBuffer(CONTENT) as buffer, memoryview(buffer) as view:
            yield from view

    def begin(self) -> None:
        works = [self._ask, self._ask, self._ask_async, self._seal_and_open, self._allocate, self._generate_keys]
        works += [self._read_file, self._pool_work, self._come_and_go]
        for work in works:
            self.threads.append(threading.Thread(target=self._forever, args=(work,)))
            self.threads[-1].start()
        while next(self.requests) < 20 and not self.errors:
            time.sleep(0.01)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors
        assert ask(self.url, self.key_dir) == "Hello"
        assert self.chat.create(**PAYLOAD).choices[0].message.content == "Hello"
        assert bytes(self.buffer) == bytes(self.view) == bytes(self.closable) == CONTENT
        assert self.own == CONTENT
        assert self.buffer.locked is _core.can_lock()
        assert not self.buffer.locked or locked_kib_at(self.buffer.address) > 0
        assert not self.buffer.locked or self.page_lock.locked
        assert next(self.generator) == 1
        assert _core.open_package(self.package, self.key)[0] == PAYLOAD
        self.generator.close()
        self.file.unlink()

    def _forever(self, work: Callable[[], object]) -> None:
        try:
            while not self.stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.errors.append(error)

    def _ask(self) -> None:
        assert self.chat.create(model="m", messages=HELLO).choices[0].message.content == "Hello"
        assert self.rotating.create(model="m", messages=HELLO).choices[0].message.content == "Hello"
        next(self.requests)

    def _ask_async(self) -> None:
        async def ask_often() -> None:
            while not self.stop.is_set():
                for answer in await asyncio.gather(*(self.async_chat.create(**PAYLOAD) for _ in range(3))):
                    assert answer.choices[0].message.content == "Hello"

        asyncio.run(ask_often())

    def _seal_and_open(self) -> None:
        assert _core.open_package(_core.seal(PAYLOAD, self.key.public_key), self.key)[0] == PAYLOAD

    def _allocate(self) -> None:
        buffers = [SecureBuffer(CONTENT * 3) for _ in range(5)]
        lock = _core.PageLock(bytearray(10_000))
        assert all(buffer == CONTENT * 3 for buffer in buffers)
        lock.release()
        for buffer in buffers:
            buffer.close()

    def _generate_keys(self) -> None:
        assert _core.PrivateKey.generate(2048).bits == 2048

    def _read_file(self) -> None:
        assert SecureBuffer.from_file(self.file) == CONTENT * 50

    def _pool_work(self) -> None:
        assert len(self.pool.submit(_core.seal, PAYLOAD, self.key.public_key).result()) > 100

    def _come_and_go(self) -> None:
        threading.Thread(target=_core.seal, args=(PAYLOAD, self.key.public_key)).start()
        time.sleep(0.002)


def refused(call: Callable[[], object]) -> None:
    """See that an inherited object raises the one clear error."""
    try:
        run(call())
    except nomyo.SecurityError as error:
        said = str(error)
    else:
        raise AssertionError(call)
    assert "fork" in said, said


def check_inherited(parent: Parent) -> None:
    """Try everything that the parent left; nothing may crash."""
    for client in (parent.client, parent.async_client):
        for name, arguments in CLIENT_METHODS.items():
            refused(lambda name=name, client=client, arguments=arguments: getattr(client, name)(*arguments))  # type: ignore[misc]
    for chat in (parent.chat, parent.async_chat):
        refused(lambda chat=chat: chat.create(**PAYLOAD))  # type: ignore[misc]
    refused(lambda: parent.async_chat.acreate(**PAYLOAD))
    for used in (parent.chat, parent.client):
        refused(used.__enter__)
    for entered in (parent.async_chat, parent.async_client):
        refused(entered.__aenter__)
    buffer = parent.buffer
    content: list[Callable[[], object]] = [
        lambda: bytes(buffer),
        lambda: memoryview(buffer),
        lambda: buffer.data,
        lambda: buffer == CONTENT,
        lambda: buffer == buffer,
        lambda: SecureBuffer(buffer),
        lambda: _core.PageLock(buffer),
        lambda: nomyo.SecureByteContext(buffer),
        lambda: _core.seal({"a": buffer}, parent.key.public_key),
        lambda: parent.key.to_pem(buffer),
        lambda: parent.key.to_pem(),
        lambda: _core.open_package(parent.package, parent.key),
        lambda: _core.write_key_directory(parent.key_dir + "-child", parent.key),
    ]
    for use in content:
        refused(use)
    assert not buffer.locked
    assert not parent.page_lock.locked
    assert bytes(parent.view) == bytes(len(CONTENT))
    assert len(buffer) == len(CONTENT)
    assert "not locked" in repr(buffer)
    assert next(parent.generator) == 0


def let_go(parent: Parent) -> None:
    """Dispose of everything inherited; nothing is said."""
    for client in (parent.chat, parent.async_chat, parent.client, parent.async_client, parent.rotating):
        client.dispose()
    asyncio.run(parent.async_chat.aclose())
    parent.page_lock.release()
    parent.context.__exit__(None, None, None)
    parent.generator.close()
    parent.closable.wipe()
    parent.closable.close()
    parent.key.wipe()


def watch() -> None:
    """Have a child that hangs say where, and end."""
    signal.alarm(CHILD_S)


def child(parent: Parent, number: int) -> None:
    """Use what was inherited, then something new."""
    watch()
    check_inherited(parent)
    assert ask(parent.url, parent.key_dir) == "Hello"
    fresh = SecureBuffer(CONTENT)
    assert fresh.locked is _core.can_lock()
    if number % 2:
        let_go(parent)


def fork(parent: Parent, number: int, leave: Callable[[], None]) -> int:
    """Fork a child; its number of process."""
    pid = os.fork()
    if pid:
        return pid
    try:
        child(parent, number)
    except BaseException:  # noqa: BLE001 - shown, whatever it is
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    leave()
    raise Returned


class Returned(SystemExit):
    """Leaves through the end of the interpreter."""


def ended_well(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"a child ended with status {status:#x}"


def fork_often(parent: Parent, count: int) -> None:
    """Fork from the main thread; children leave in all ways."""
    ways: list[Callable[[], None]] = [lambda: sys.exit(0), lambda: os._exit(0), lambda: None, fork_again]
    for number in range(count):
        time.sleep(random.random() * 0.004)
        ended_well(fork(parent, number, ways[number % len(ways)]))


def fork_again() -> None:
    """A fork in a fork, where the child's own threads are busy too."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        key = _core.PrivateKey.generate(2048)
        drawn = [pool.submit(_core.seal, PAYLOAD, key.public_key) for _ in range(20)]
        pid = os.fork()
        if pid == 0:
            watch()
            refused(key.to_pem)
            assert _core.PrivateKey.generate(2048).bits == 2048
            os._exit(0)
        ended_well(pid)
        assert len({future.result() for future in drawn}) == 20


def fork_from_threads(parent: Parent, count: int) -> None:
    """Fork from several threads at the same moment.

    CPython does not end the child with the thread that forked: it says so itself.
    """
    parent_pid = os.getpid()

    def work(number: int) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                child(parent, number)
            except BaseException:  # noqa: BLE001 - shown, whatever it is
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            ctypes.CDLL(None).exit(0) if number % 2 else os._exit(0)
        try:
            ended_well(pid)
        except BaseException as error:  # noqa: BLE001 - told at the end
            parent.errors.append(error)

    for start in range(0, count, 3):
        threads = [threading.Thread(target=work, args=(start + offset,)) for offset in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert os.getpid() == parent_pid


def fork_at_once(parent: Parent, count: int) -> None:
    """Fork in rapid succession, all children at a time, and wait for them in the end."""
    for _ in range(max(1, count // 10)):
        pids = [fork(parent, number, lambda: sys.exit(0)) for number in range(10)]
        for pid in pids:
            ended_well(pid)


def by_multiprocessing(parent: Parent, count: int) -> None:
    """Pools and processes of all start methods."""
    job = (parent.url, parent.key_dir)
    expected = ["Hello"] * 4
    for _ in range(max(1, count // 4)):
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            assert pool.map(ask_with, [job] * 4, chunksize=1) == expected
            pool.close()
            pool.join()
        processes = [context.Process(target=child, args=(parent, number)) for number in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
            assert list(executor.map(ask_with, [job] * 4)) == expected
    for method in ("forkserver", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(ask_with, [job] * 4, chunksize=1) == expected
            pool.close()
            pool.join()


KINDS = {
    "often": fork_often,
    "threads": fork_from_threads,
    "at-once": fork_at_once,
    "multiprocessing": by_multiprocessing,
}


def main(kind: str, url: str, key_dir: str, count: str) -> None:
    faulthandler.enable()
    # Inherited by children, unlike the watchdog of dump_traceback_later, which a second fork waits for in vain.
    faulthandler.register(signal.SIGALRM, chain=True)
    parent = Parent(url, key_dir)
    parent.begin()
    try:
        KINDS[kind](parent, int(count))
    except Returned:
        return  # a child
    finally:
        if threading.current_thread() is threading.main_thread():
            parent.stop.set()
    parent.end()
    print(f"{next(parent.requests)} requests beside {count} forks", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(Returned):
        main(*sys.argv[1:])
