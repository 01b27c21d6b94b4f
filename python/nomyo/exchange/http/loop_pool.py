"""The connections of one event loop, closed with it at the latest."""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from ..._late_imports import late_import
from ..._threads import is_no_thread
from ..settings import Settings

if TYPE_CHECKING:
    from .session import Session

_LARGE_BLOCK_BYTES = 1 << 20


def import_session() -> None:
    """Import the module that imports aiohttp, for 0.1 s: only programs that send from an event loop pay for it.

    Raises:
        ConfigurationError: It cannot be imported.
    """

    def load() -> None:
        from . import session  # noqa: F401

        _keep_read_blocks_in_heap()

    late_import("aiohttp", load)


def _keep_read_blocks_in_heap() -> None:
    """Free a large block, so that glibc serves smaller ones from its heap from now on.

    asyncio reads without TLS into blocks of 256 KiB. To a program that has never freed a larger block, glibc gives each
    of them by a mapping of its own: three system calls and page faults for each read (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytearray(_LARGE_BLOCK_BYTES)


class LoopPool:
    """The connections of the running loop."""

    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
        """Make no connection yet. `import_session` has imported what this needs, and `ssl_context` made the context.

        Raises:
            ConfigurationError: The environment names a proxy that cannot be used.
        """
        from .session import Session

        self.loop = asyncio.get_running_loop()
        self.session = Session(settings, context)
        self._guard = _close_with_loop(self.session)
        self._closing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Have the loop close the connections when it shuts its asynchronous generators down."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=_closer(self.loop))
        try:
            await anext(self._guard)  # never waits, so that no other task sees our hooks
        finally:
            sys.set_asyncgen_hooks(*hooks)

    async def aclose(self) -> None:
        """Close the connections; in the loop."""
        await self._guard.aclose()

    def close(self) -> None:
        """Close the connections; from anywhere."""
        if self.loop.is_closed():
            return  # the guard closed them if the loop shut its generators down; otherwise nothing can any more
        if self.loop.is_running():
            self.loop.call_soon_threadsafe(self._start_closing)
        elif not _in_a_loop():
            self.loop.run_until_complete(self.aclose())
        else:  # a thread runs one loop at a time
            self._close_in_thread()

    def _close_in_thread(self) -> None:
        closer = threading.Thread(target=lambda: self.loop.run_until_complete(self.aclose()))
        try:
            closer.start()
        except RuntimeError as error:
            if not is_no_thread(error):
                raise
            return  # the guard closes them when the loop ends; once the loop runs, it closes idle ones anyway
        closer.join()

    def _start_closing(self) -> None:
        self._closing = self.loop.create_task(self.aclose())


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _closer(loop: asyncio.AbstractEventLoop) -> Callable[[AsyncGenerator[None, None]], None]:
    """Return a hook that closes a generator that was dropped, as the loop's own hook does.

    A program may drop the loop along with it. The loop's own hook would then start a task that never ends.
    """
    known = weakref.ref(loop)

    def close(guard: AsyncGenerator[None, None]) -> None:
        alive = known()
        if alive is not None and not alive.is_closed():
            alive.call_soon_threadsafe(alive.create_task, guard.aclose())

    return close


async def _close_with_loop(session: Session) -> AsyncGenerator[None, None]:
    """Close the connections at the latest when their loop ends.

    `asyncio.run` closes every asynchronous generator before it closes the loop. Afterwards
    nothing can close a connection any more ("Event loop is closed").
    """
    try:
        yield
    finally:
        await session.aclose()
