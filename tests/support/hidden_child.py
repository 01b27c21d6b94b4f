"""Programs that hide their memory and are searched while they work, in a forked child, and while they end.

    python tests/support/hidden_child.py NAME sync|async JOB

It has those of `scanned_child.py` too.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.scanned_child import Child, asked, main, work
from support.twins import AsyncTwin


@work
def under_way(child: Child) -> None:
    """32 requests wait for their answers."""
    chat = child.chat(max_connections=32)
    assert isinstance(child.twin, AsyncTwin)
    send = getattr(chat, child.job["method"])

    async def begin() -> list[asyncio.Task[Any]]:
        every = itertools.islice(itertools.cycle(child.messages()), 32)
        tasks = [asyncio.create_task(send(model="m", messages=messages)) for messages in every]
        while _sockets() < 32:
            done, _ = await asyncio.wait(tasks, timeout=0.1)
            assert not done
        return tasks

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    tasks = child.twin.call(begin)
    child.say_ready()
    child.twin.call(end)
    child.twin.close()
    sys.exit()


def _sockets() -> int:
    """Count the sockets of this process: one for each request that is sent, and some of asyncio's."""
    links = (os.path.realpath(entry.path) for entry in os.scandir("/proc/self/fd"))
    return sum("socket:" in link for link in links)


@work
def forked(child: Child) -> None:
    """A child of fork has what its parent has, and waits in its place."""
    asked(child)
    child.pid = os.fork()
    if child.pid == 0:
        signal.pause()


@work
def ending(child: Child) -> None:
    """The process waits while it ends."""
    asked(child)
    atexit.register(child.say_ready)
    sys.exit()


if __name__ == "__main__":
    main()
