"""The threads that seal and open for event loops: order, cancellation, closed loops, fork, exit, no threads."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from nomyo.exchange.effects import Compute
from support.crypto_threads import Held, crypto_threads, run_behind_one_that_is_held
from support.process import output_of, unmeasured
from support.waiting import until

ANSWER = {"id": "a", "choices": []}


def test_outcomes_and_errors_come_back_to_their_own_tasks() -> None:
    async def main() -> None:
        works = [Compute(partial(int.__floordiv__, 1, number)) for number in range(3)]
        outcomes = await asyncio.gather(*map(threads.do, works), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, int, int]

    with crypto_threads(2) as threads:
        asyncio.run(main())


def test_work_begins_in_its_order() -> None:
    begun: list[int] = []
    with crypto_threads(1) as threads:
        run_behind_one_that_is_held(threads, *(Compute(partial(begun.append, n)) for n in range(20)))
    assert begun == list(range(20))


def test_loop_is_called_once_for_all_that_is_done_while_it_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    async def main() -> None:
        nonlocal calls
        loop = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe

        def counted(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            return call(*arguments, **more)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        done: list[int] = []
        tasks = [asyncio.create_task(threads.do(Compute(partial(done.append, n)))) for n in range(20)]
        await asyncio.sleep(0)  # all are handed over
        held_up = time.monotonic() + 20
        while len(done) < 20 and time.monotonic() < held_up:
            time.sleep(0.001)
        await asyncio.gather(*tasks)

    with crypto_threads(2) as threads:
        asyncio.run(main())
    assert calls <= 4  # two threads may find at the same moment that it was not called yet, also before it is busy


def test_cancelled_work_is_not_begun_and_the_rest_is() -> None:
    begun: list[str] = []

    async def cancel_first(tasks: list[asyncio.Task[Any]]) -> None:
        tasks[0].cancel()
        await asyncio.sleep(0)

    with crypto_threads(1) as threads:
        works = [Compute(partial(begun.append, name)) for name in ("first", "second")]
        outcomes = run_behind_one_that_is_held(threads, *works, meanwhile=cancel_first)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert begun == ["second"]


def test_work_whose_caller_is_cancelled_meanwhile_comes_to_nothing() -> None:
    async def main() -> None:
        held = Held()
        task = await held.busy(threads)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.released.set()
        assert await threads.do(Compute(lambda: "goes on")) == "goes on"

    with crypto_threads(1) as threads:
        asyncio.run(main())


def test_outcome_for_a_loop_that_was_closed_is_dropped() -> None:
    held, closed = Held(), asyncio.new_event_loop()
    with crypto_threads(1) as threads:
        task = closed.create_task(threads.do(Compute(held)))
        closed.run_until_complete(asyncio.to_thread(held.begun.wait, 20))
        closed.run_until_complete(closed.shutdown_default_executor())
        closed.close()
        held.released.set()
        assert asyncio.run(threads.do(Compute(lambda: "goes on"))) == "goes on"
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to be
    assert not task.done()


def test_threads_keep_neither_a_loop_nor_an_outcome() -> None:
    class Answer:
        pass

    def asked(loop: asyncio.AbstractEventLoop) -> weakref.ref[Answer]:
        return weakref.ref(loop.run_until_complete(threads.do(Compute(Answer))))

    with crypto_threads(1) as threads:
        loop = asyncio.new_event_loop()
        answer, kept_loop = asked(loop), weakref.ref(loop)
        until(lambda: answer() is None)
        loop.close()
        del loop
        until(lambda: gc.collect() >= 0 and kept_loop() is None)  # the thread may be about to go on


def test_error_goes_when_its_task_does() -> None:
    class Payload:
        def fail(self) -> None:
            raise ValueError

    async def main() -> weakref.ref[Payload]:
        payload = Payload()
        with pytest.raises(ValueError):
            await threads.do(Compute(payload.fail))
        return weakref.ref(payload)

    gc.disable()
    try:
        with crypto_threads(1) as threads:
            gone = asyncio.run(main())
            until(lambda: gone() is None)
    finally:
        gc.enable()


def test_many_loops_share_the_threads() -> None:
    async def main(loop_number: int) -> list[int]:
        works = [Compute(partial(int.__add__, loop_number * 1000, n)) for n in range(50)]
        return list(await asyncio.gather(*map(threads.do, works)))

    with crypto_threads(2) as threads, ThreadPoolExecutor(8) as loops:
        found = list(loops.map(lambda number: asyncio.run(main(number)), range(16)))
    assert found == [[number * 1000 + n for n in range(50)] for number in range(16)]


def test_as_many_threads_as_work_at_once_and_no_more() -> None:
    async def main() -> None:
        for _ in range(5):
            await threads.do(Compute(lambda: None))
            until(lambda: len(threads._idle) == 1)
        assert len(threads._threads) == 1
        both = threading.Barrier(2)
        await asyncio.gather(*(threads.do(Compute(lambda: both.wait(20))) for _ in range(2)))
        await asyncio.gather(*(threads.do(Compute(lambda: None)) for _ in range(9)))
        assert len(threads._threads) == 2

    with crypto_threads(2) as threads:
        asyncio.run(main())


@pytest.mark.parametrize("started", [0, 1])
def test_work_goes_on_with_the_threads_that_the_system_gives(started: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threading.Thread.start, started

    def limited(thread: threading.Thread) -> None:
        nonlocal left
        if thread.name.startswith("nomyo-crypto"):
            if not left:
                raise RuntimeError("can't start new thread")
            left -= 1
        start(thread)

    async def main() -> list[str]:
        works = [Compute(lambda: threading.current_thread().name) for _ in range(20)]
        return list(await asyncio.gather(*map(threads.do, works)))

    monkeypatch.setattr(threading.Thread, "start", limited)
    with crypto_threads(3) as threads:
        names = asyncio.run(main())
    assert set(names) == {"nomyo-crypto_0" if started else threading.current_thread().name}


def test_work_that_comes_after_the_end_is_done_where_it_is() -> None:
    with crypto_threads(2) as threads:
        asyncio.run(threads.do(Compute(lambda: None)))
    name = asyncio.run(threads.do(Compute(lambda: threading.current_thread().name)))
    assert name == threading.current_thread().name


def test_work_that_comes_as_the_threads_end_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Any:
        await threads.do(Compute(lambda: None))
        threads.end()
        until(lambda: not threads._threads[0].is_alive())
        answers = iter([False])  # as if it had ended between the two looks at it
        monkeypatch.setattr(threads, "_has_ended", lambda: next(answers, True))
        return await threads.do(Compute(lambda: "done"))

    with crypto_threads(1) as threads:
        assert asyncio.run(main()) == "done"


def test_thread_whose_start_was_interrupted_ends_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        if len(started) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with crypto_threads(1) as threads:
        with pytest.raises(KeyboardInterrupt):
            threads.start_all()
        threads.start_all()
    try:
        until(lambda: not any(thread.is_alive() for thread in started))
    finally:
        threads.end()  # a second time, so that a failure is no hang at the end of the tests
    assert len(started) == 2


PROGRAM = """
import asyncio, os, sys, threading, time
from nomyo import _core
from nomyo.exchange.crypto_threads import crypto_threads
from nomyo.exchange.effects import Compute

done = []
begun = threading.Event()

def work():
    begun.set()
    time.sleep(0.01)
    done.append(1)

async def busy():
    await asyncio.gather(*(crypto_threads().do(Compute(work)) for _ in range(40)))
"""


def test_exit_waits_for_what_was_queued_while_no_loop_waits_for_it() -> None:
    program = PROGRAM + (
        "import atexit\n"
        "atexit.register(lambda: print(len(done)))\n"
        "loop = asyncio.new_event_loop()\n"
        "task = loop.create_task(busy())\n"
        "loop.run_until_complete(asyncio.sleep(0.05))\n"
        "for each in asyncio.all_tasks(loop): each._log_destroy_pending = False\n"
        "loop.close()\n"
    )
    assert output_of(program, env=unmeasured()) == "40\n"


def test_loop_of_another_thread_goes_on_while_the_interpreter_ends() -> None:
    program = PROGRAM + (
        "threading.Thread(target=lambda: (asyncio.run(busy()), asyncio.run(busy()), print(len(done)))).start()\n"
        "begun.wait()\n"
    )
    assert output_of(program, env=unmeasured()) == "80\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_child_that_is_forked_while_threads_work_has_its_own() -> None:
    program = PROGRAM + (
        "threading.Thread(target=lambda: asyncio.run(busy())).start()\n"
        "begun.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    inherited = len(done)\n"
        "    asyncio.run(busy())\n"
        "    os._exit(len(done) - inherited)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert output_of(program, env=unmeasured()) == "40\n"
