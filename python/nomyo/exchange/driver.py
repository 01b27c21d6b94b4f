"""Runs a flow: with an event loop, and without.

The drivers send outcomes into the flow outside of any `except` block, so that an error that the flow raises has no
`__context__`: the HTTP library's exceptions hold requests, and those hold keys.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from contextlib import suppress
from typing import Any, TypeVar, assert_never

from .._threads import submit_or_run
from .crypto_threads import crypto_threads
from .effects import Compute, Effect, Flow, Send, Sleep, TakeSlot, UseFiles, Wait
from .http import AsyncHttp, SyncHttp
from .workers import file_pool

T = TypeVar("T")


async def run_async(flow: Flow[T], http: AsyncHttp) -> T:
    """Run a flow in the running event loop; heavy work goes to threads, so that the loop never stalls."""
    outcome: Any = None
    error: Exception | None = None
    try:
        while True:
            effect = flow.send(outcome) if error is None else flow.throw(error)
            outcome = error = None
            try:
                outcome = await _perform_async(effect, http)
            except Exception as raised:  # noqa: BLE001 - the flow decides what becomes of it
                error = raised
    except StopIteration as stop:
        result: T = stop.value
    finally:
        flow.close()
        outcome = error = None  # an error refers to this frame: without this, a cycle would keep the payload alive
    return result


def run_sync(flow: Flow[T], http: SyncHttp) -> T:
    """Run a flow in the calling thread."""
    outcome: Any = None
    error: Exception | None = None
    try:
        while True:
            effect = flow.send(outcome) if error is None else flow.throw(error)
            outcome = error = None
            try:
                outcome = _perform_sync(effect, http)
            except Exception as raised:  # noqa: BLE001 - the flow decides what becomes of it
                error = raised
    except StopIteration as stop:
        result: T = stop.value
    finally:
        flow.close()
        outcome = error = None  # an error refers to this frame: without this, a cycle would keep the payload alive
    return result


async def _perform_async(effect: Effect, http: AsyncHttp) -> Any:
    match effect:
        case TakeSlot():
            return await http.slots.take()
        case Send(request):
            return await http.send(request)
        case Sleep(seconds):
            return await asyncio.sleep(seconds)
        case Compute():
            if effect.is_brief is not None and effect.is_brief():
                return effect.done()
            return await crypto_threads().do(effect)
        case UseFiles(call):
            return await asyncio.wrap_future(submit_or_run(file_pool, call))
        case Wait(future, timeout_s):
            return await _until_done(future, timeout_s)
        case _:
            assert_never(effect)


def _perform_sync(effect: Effect, http: SyncHttp) -> Any:
    match effect:
        case TakeSlot():
            return http.slots.take()
        case Send(request):
            return http.send(request)
        case Sleep(seconds):
            return time.sleep(seconds)
        case Compute():
            return effect.done()
        case UseFiles(call):
            return call()
        case Wait(future, timeout_s):
            wait_for_futures([future], timeout_s)
            return None
        case _:
            assert_never(effect)


async def _until_done(future: Future[Any], timeout_s: float | None) -> None:
    """Wait for a future that others wait for too: if this task is cancelled, the future must not be."""
    done = _done_in_loop(future)
    if timeout_s is None:
        await done
    else:
        await asyncio.wait([done], timeout=timeout_s)


def _done_in_loop(future: Future[Any]) -> asyncio.Future[None]:
    """Return a future of the running loop that ends with another, and may be cancelled alone.

    `asyncio.wrap_future` would cancel the other, too.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def wake(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(finish)

    future.add_done_callback(wake)
    return done
