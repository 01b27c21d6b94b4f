"""An event loop that was dropped without being closed is let go, with its connections, while the client lives on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nomyo
from nomyo.serve.router.running import RunningRouter
from support.connections import connections_to
from support.silent import unread

PROGRAM = Path(__file__).parents[1] / "support" / "dropped_loops.py"
FILES_OF_A_LOOP = 5
"""Its selector, the pair of sockets that wakes it, and two connections."""
HELLO = [{"role": "user", "content": "Hello"}]


def test_dropped_loops_leave_no_file_open_and_no_word(router: RunningRouter, key_directory: Path) -> None:
    words = [sys.executable, str(PROGRAM), router.url, str(key_directory)]
    finished = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    before, after, disposed = json.loads(finished.stdout)
    print(before, after, disposed)
    assert after - before <= 2 * FILES_OF_A_LOOP  # a thread of a pool remembers the last
    assert disposed <= before


class BareLoop(asyncio.SelectorEventLoop):
    """Takes no attributes beside its own, as a loop written in C may."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_nomyo"):
            raise AttributeError(name)
        super().__setattr__(name, value)


def test_loop_that_takes_no_attributes_has_one_pool(router: RunningRouter, key_directory: Path) -> None:
    async def main() -> None:
        async with nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory, max_connections=1) as chat:
            await asyncio.gather(*(chat.create(model="m", messages=HELLO) for _ in range(3)))
            assert connections_to(router.url) == 1
        assert connections_to(router.url) == 0

    with asyncio.Runner(loop_factory=BareLoop) as runner:
        runner.run(main())


UPLOADING = """
import asyncio, gc, sys, warnings, nomyo
warnings.simplefilter("ignore")
url, key_dir = sys.argv[1:]
chat = nomyo.SecureChatCompletion(url, True, key_dir=key_dir)
loop = asyncio.new_event_loop()
large = [{"role": "user", "content": "x" * 6_000_000}]
task = loop.create_task(chat.create(model="m", messages=large))
loop.run_until_complete(asyncio.sleep(1))
assert not task.done()
loop.close()
del task, loop
gc.collect()
chat.dispose()
"""


def test_loop_that_is_closed_within_an_upload_is_no_exception_in_a_finalizer(
    router: RunningRouter, key_directory: Path
) -> None:
    with unread(router.url) as scene:
        words = [sys.executable, "-c", UPLOADING, scene.url, str(key_directory)]
        finished = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "Exception ignored" not in finished.stderr
