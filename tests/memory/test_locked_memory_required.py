"""`secure_memory="require"` in a process that may lock 512 KiB: small work goes on, what would not fit is refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import pytest

from nomyo import SecureBuffer, _core
from support.faults import FaultyRouter
from support.process import output_of, under_memlock_limit

LIMITED = under_memlock_limit(512 * 1024)
# `ask` answers with the class of what came, and shows the message of a SecurityError.
PROGRAM = """
import asyncio, inspect, sys, warnings
import nomyo
from nomyo import SecureBuffer, SecurityError
url, key_dir, twin = sys.argv[1:4]
warnings.filterwarnings("ignore", message="the router is spoken to over plain HTTP")
loop = asyncio.new_event_loop()

def call(function, *args, **kwargs):
    outcome = function(*args, **kwargs)
    return loop.run_until_complete(outcome) if inspect.iscoroutine(outcome) else outcome

def ask(method, content):
    try:
        reply = call(method, model="m", messages=[{"role": "user", "content": content}])
    except SecurityError as error:
        assert error.__context__ is None
        return str(error)
    if isinstance(reply, nomyo.SecureResponse):
        with reply:
            assert reply.content.locked and reply.json.locked, reply
            return bytes(reply.content).decode()
    return reply.choices[0].message.content

def client(secure_memory):
    return getattr(nomyo, twin)(url, True, secure_memory=secure_memory, key_dir=key_dir)
"""
END = """
chat.dispose()
loop.close()
"""
TWINS = pytest.mark.parametrize("twin_class", ["SecureChatCompletion", "SyncSecureChatCompletion"])
NOT_ENOUGH = "locked memory is required, and there is not enough of it: raise the limit (`nomyo doctor` tells how)"


def run(work: str, router: FaultyRouter, key_directory: Path, twin_class: str) -> list[str]:
    program = PROGRAM + work + END
    return output_of(program, router.url, str(key_directory), twin_class, before=LIMITED).splitlines()


@TWINS
def test_what_fits_goes_on(faulty_router: FaultyRouter, key_directory: Path, twin_class: str) -> None:
    work = """
chat = client("require")
for text in ("Hello", "Grüße 漢字 🎉", "x" * 20_000, "é" * 20_000):
    for method in (chat.create, chat.create_secure):
        assert ask(method, text) == text
        with SecureBuffer(text.encode()) as record:
            assert record.locked
            assert ask(method, record) == text
print(nomyo.get_memory_protection_info().is_platform_secure)
"""
    assert run(work, faulty_router, key_directory, twin_class) == ["True"]


@TWINS
def test_large_request_fits_through_the_window(
    faulty_router: FaultyRouter, key_directory: Path, twin_class: str
) -> None:
    work = """
chat = client("require")
for text in ("x" * 5_000_000, "漢" * 1_500_000):
    print(ask(chat.create, text))
"""
    refused = run(work, faulty_router, key_directory, twin_class)
    assert len(faulty_router.posts) == 2, "the requests went out, though their echo does not fit"
    assert refused == [NOT_ENOUGH] * 2


@TWINS
def test_request_with_a_buffer_that_is_not_locked_is_not_sent(
    faulty_router: FaultyRouter, key_directory: Path, twin_class: str
) -> None:
    work = """
chat = client("require")
with SecureBuffer(2_000_000) as record, SecureBuffer(b"small") as unlocked:
    record.data[:] = b"x" * 2_000_000
    unlocked.unlock()
    for method in (chat.create, chat.create_secure):
        print(ask(method, record))
        print(ask(method, unlocked))
"""
    refused = run(work, faulty_router, key_directory, twin_class)
    assert refused == [f"messages[0].content: {NOT_ENOUGH}"] * 4
    assert faulty_router.posts == []


@TWINS
def test_answer_that_does_not_fit_is_refused(faulty_router: FaultyRouter, key_directory: Path, twin_class: str) -> None:
    work = """
chat = client("require")
for method in (chat.create, chat.create_secure):
    print(ask(method, "x" * 600_000))
    print(ask(method, "Hello"))
"""
    assert run(work, faulty_router, key_directory, twin_class) == [NOT_ENOUGH, "Hello"] * 2


@TWINS
def test_without_it_all_goes_through_and_one_warning_comes(
    faulty_router: FaultyRouter, key_directory: Path, twin_class: str
) -> None:
    work = """
for secure_memory in (False, True):
    chat = client(secure_memory)
    with warnings.catch_warnings(record=True) as caught, SecureBuffer(b"x" * 600_000) as record:
        warnings.simplefilter("always", UserWarning)
        for method in (chat.create, chat.create_secure) * 2:
            reply = call(method, model="m", messages=[{"role": "user", "content": record}])
            if method == chat.create_secure:
                reply.close()
    chat.dispose()
    print(*{str(warning.message).partition(".")[0] for warning in caught if "plain HTTP" not in str(warning.message)})
"""
    silent, warned = run(work, faulty_router, key_directory, twin_class)
    assert silent == ""
    assert warned.endswith("KiB of working memory could not be locked under a limit of 512 KiB")


@TWINS
def test_answer_in_buffers_that_are_not_locked_is_warned_of(
    faulty_router: FaultyRouter, key_directory: Path, twin_class: str
) -> None:
    work = """
for secure_memory in (False, True, True):
    chat = client(secure_memory)
    with warnings.catch_warnings(record=True) as caught, SecureBuffer(b"x" * 600_000) as record:
        warnings.simplefilter("always", UserWarning)
        call(chat.create_secure, model="m", messages=[{"role": "user", "content": record}]).close()
    chat.dispose()
    print(*[str(warning.message).partition(".")[0] for warning in caught if "plain HTTP" not in str(warning.message)])
"""
    silent, warned, again = run(work, faulty_router, key_directory, twin_class)
    assert (silent, again) == ("", "")
    assert warned.endswith("KiB of an answer could not be locked under a limit of 512 KiB")


SUBCLASS = type("Text", (str,), {})
TEN_MIB = 10 * 1024 * 1024


@pytest.mark.parametrize(
    "text",
    ["x" * (TEN_MIB - 100), "é" * (TEN_MIB // 2 - 50), "漢" * (TEN_MIB // 3 - 50), SUBCLASS("é" * 1_000_000)],
    ids=["ascii", "latin", "cjk", "subclass"],
)
def test_ten_mebibytes_are_sealed_through_64_kib(client_key: _core.PrivateKey, text: str) -> None:
    with SecureBuffer(text.encode()) as buffer:
        for content in (text, buffer):
            with Watch() as watch:
                for _ in range(100):
                    _core.seal({"content": content}, client_key.public_key)
                    if watch.most_bytes >= 32 * 1024:
                        break
            assert 32 * 1024 <= watch.most_bytes <= 64 * 1024


class Watch:
    """Asks the arena, in a thread, for the most it holds beyond what it held before."""

    def __enter__(self) -> Self:
        self.most_bytes = 0
        self._before = _core.memory_status()["in_use_bytes"]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            self.most_bytes = max(self.most_bytes, _core.memory_status()["in_use_bytes"] - self._before)
