"""The thread pools for key generation and for files.

Key generation has a pool of its own, because it takes half a second and more: requests that are sealed or opened
(`crypto_threads.py`) never wait for it. All clients of the process share the pools, which are made on first use. A
forked child makes its own: it inherits the pools, but not their threads.

The interpreter joins their threads when it exits, so that no native code runs on after it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def key_pool() -> ThreadPoolExecutor:
    """Return the pool that opens, generates and writes our own key pairs."""
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="nomyo-keys")


@cache
def file_pool() -> ThreadPoolExecutor:
    """Return the pool that reads and writes files for an event loop.

    With the loop's own executor, `asyncio.run` starts one more thread at its end to join it, and fails if the machine
    gives none.
    """
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="nomyo-files")


def _forget_pools() -> None:
    key_pool.cache_clear()
    file_pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
