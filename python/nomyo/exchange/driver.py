"""Runs a flow: with an event loop, and without.

The drivers send outcomes into the flow outside of any `except` block, so that an error that the flow raises has no
`__context__`: the HTTP library's exceptions hold requests, and those hold keys.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import Any, TypeVar, assert_never

from .._threads import submit_or_run
from .effects import Compute, Effect, Flow, Send, Sleep, TakeSlot, UseFiles, Wait
from .http import AsyncHttp, SyncHttp
from .workers import crypto_pool, file_pool

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
        case Compute(call):
            return await asyncio.wrap_future(submit_or_run(crypto_pool, call))
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
        case Compute(call) | UseFiles(call):
            return call()
        case Wait(future, timeout_s):
            wait_for_futures([future], timeout_s)
            return None
        case _:
            assert_never(effect)


async def _until_done(future: Future[Any], timeout_s: float | None) -> None:
    """Wait for a future that others wait for too: if this task is cancelled, the future must not be."""
    await asyncio.wait([asyncio.wrap_future(_mirror(future))], timeout=timeout_s)


def _mirror(future: Future[Any]) -> Future[None]:
    """Return a future that ends with another: asyncio cancels it in the other's place."""
    mirror: Future[None] = Future()

    def finish(_: Future[Any]) -> None:
        if mirror.set_running_or_notify_cancel():
            mirror.set_result(None)

    future.add_done_callback(finish)
    return mirror
