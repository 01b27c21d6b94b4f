"""`audit_log`: lines that have to wait for the file are queued, and written together off the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo.exchange.crypto_threads import crypto_threads
from nomyo.exchange.effects import Compute
from nomyo.trust import chain
from nomyo.trust.audit_log import KIND, AuditLog
from nomyo.trust.open_chain import OpenChain
from support.faults import FaultyRouter
from support.process import output_of, unmeasured
from support.waiting import until

QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def entries(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, whose chain must be whole."""
    return [each.entry for each in chain.links(log, KIND) if isinstance(each, chain.Link)]


def locked(log: Path) -> int:
    """Hold the lock of a log, as another process may."""
    descriptor = os.open(log, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_answers_wait_for_their_lines_which_gather_while_the_loop_goes_on(
    faulty_router: FaultyRouter, key_directory: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = chain.LockedChain.write

    def noted(chained: chain.LockedChain, rows: Sequence[Mapping[str, Any] | bytes]) -> chain.Written:
        written.append(len(rows))
        return write(chained, rows)

    monkeypatch.setattr(chain.LockedChain, "write", noted)
    queue, queued = AuditLog.queue, list[bytes]()

    def noted_entries(log: AuditLog, lines: list[bytes]) -> Future[str | None]:
        queued.extend(lines)
        return queue(log, lines)

    monkeypatch.setattr(AuditLog, "queue", noted_entries)

    async def main() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory, audit_log=log) as chat:
            await chat.create(QUESTION)
            descriptor = locked(log)
            asked = [asyncio.create_task(chat.create(QUESTION)) for _ in range(8)]
            while len(queued) < 8:
                await asyncio.sleep(0.01)
            assert not any(task.done() for task in asked)
            os.close(descriptor)
            await asyncio.gather(*asked)

    asyncio.run(main())
    assert (len(entries(log)), sum(written)) == (9, 8)  # the first had nothing to wait for
    assert len(written) < 8


def test_lines_of_answers_that_are_opened_together_are_appended_together(
    faulty_router: FaultyRouter, key_directory: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[int] = []
    append = OpenChain.try_append

    def noted(chained: OpenChain, lines: list[bytes]) -> bool:
        appended.append(len(lines))
        return append(chained, lines)

    monkeypatch.setattr(OpenChain, "try_append", noted)

    async def main() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory, audit_log=log) as chat:
            await chat.create(QUESTION)
            released = threading.Event()
            held = [
                asyncio.create_task(crypto_threads().do(Compute(released.wait))) for _ in range(os.cpu_count() or 1)
            ]
            asked = [asyncio.create_task(chat.create(QUESTION)) for _ in range(8)]
            while crypto_threads().waiting < 8:
                await asyncio.sleep(0.001)
            released.set()
            await asyncio.gather(*held, *asked)

    asyncio.run(main())
    assert (len(entries(log)), sum(appended)) == (9, 9)
    assert len(appended) < 9


FULL_DISK = """
import asyncio, os, resource, signal, sys, threading, warnings
from pathlib import Path
import nomyo
from nomyo.exchange.crypto_threads import crypto_threads
from nomyo.exchange.effects import Compute
warnings.simplefilter("ignore", UserWarning)
url, key_dir, log = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
question = {"model": "m", "messages": [{"role": "user", "content": "x"}]}

async def main():
    async with nomyo.SecureChatCompletion(url, True, key_dir=key_dir, audit_log=log) as chat:
        await chat.create(question)
        size = os.path.getsize(log)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, resource.RLIM_INFINITY))  # room for one line
        released = threading.Event()
        held = [asyncio.create_task(crypto_threads().do(Compute(released.wait))) for _ in range(os.cpu_count())]
        asked = [asyncio.create_task(chat.create(question)) for _ in range(4 * os.cpu_count())]
        while crypto_threads().waiting < len(asked):
            await asyncio.sleep(0.001)
        released.set()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        refused = sum(isinstance(outcome, nomyo.ConfigurationError) for outcome in outcomes)
        lines = Path(log).read_bytes()
        print(lines.endswith(b"\\n"), lines.count(b"\\n") - 1 == len(asked) - refused, refused >= len(asked) - 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await chat.create(question)
        print(Path(log).read_bytes().count(b"\\n") == len(asked) + 2)

asyncio.run(main())
"""


def test_no_answer_of_a_group_is_handed_out_whose_line_finds_no_room(
    faulty_router: FaultyRouter, key_directory: Path, log: Path
) -> None:
    said = output_of(FULL_DISK, faulty_router.url, str(key_directory), str(log), env=unmeasured())

    assert said.split() == ["True"] * 4
    assert len({entry["payload_id"] for entry in entries(log)}) == len(entries(log))


def test_cancelled_request_has_a_line(faulty_router: FaultyRouter, key_directory: Path, log: Path) -> None:
    async def main() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory, audit_log=log) as chat:
            await chat.create(QUESTION)
            descriptor = locked(log)
            task = asyncio.create_task(chat.create(QUESTION))
            while len(faulty_router.posts) < 2:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            os.close(descriptor)

    asyncio.run(main())
    until(lambda: len(entries(log)) == 2)
    assert entries(log)[1]["request_sha256"] == hashlib.sha256(faulty_router.posts[1].body).hexdigest()
