"""The threads for RSA work and key generation.

Two pools, so that a key being generated (half a second and more) never stands in front of a
request being sealed or opened. Both are made on first use, shared by all clients of the
process, and made anew in a forked child, which inherits the pool but not its threads.

Their threads are joined when the interpreter exits, so no native code runs on after it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")


@cache
def crypto_pool() -> ThreadPoolExecutor:
    """Return the pool that seals and opens: one thread a core."""
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="nomyo-crypto")


@cache
def key_pool() -> ThreadPoolExecutor:
    """Return the pool that opens, generates and writes our own key pairs."""
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="nomyo-keys")


def submit_or_run(pool: Callable[[], ThreadPoolExecutor], call: Callable[[], T]) -> Future[T]:
    """Have a function called in a pool; here and now where the interpreter is exiting and pools take no more work."""
    try:
        return pool().submit(call)
    except RuntimeError:
        done: Future[T] = Future()
        done.set_result(call())
        return done


def _forget_pools() -> None:
    crypto_pool.cache_clear()
    key_pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
