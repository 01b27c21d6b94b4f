"""Runs a batch in an event loop that signals stop, and shows its progress."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nomyo._signals import not_ignored, on_signal
from nomyo.batch.progress import NoProgress, PlainProgress, Progress
from nomyo.batch.runner import run_async
from nomyo.batch.stop import Stop
from nomyo.batch.summary import Summary
from nomyo.cli.batch.progress_bar import BarProgress
from nomyo.cli.command_app import report
from nomyo.cli.foreground import is_own_terminal


async def until_interrupted(name: str, source: Path, output: Path, options: Mapping[str, Any]) -> Summary:
    """Run a batch. The first signal lets what is under way come to its end; the second does not."""
    stop = Stop()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if stop.requested:
            task.cancel()
        else:
            report(
                name,
                "stopping when what is under way is answered; the same command goes on. Once more stops at once",
            )
            stop()

    for number in not_ignored(signal.SIGINT, signal.SIGTERM):
        on_signal(loop, number, interrupt)
    return await run_async(source, output, stop=stop, **options)


def progress_on_stderr(name: str, *, quiet: bool) -> Progress:
    """Return what shows the progress of a command: a bar, lines, or nothing."""
    if quiet or sys.stderr is None:
        return NoProgress()
    can_draw = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and is_own_terminal(sys.stderr.fileno())
    return (BarProgress if can_draw else PlainProgress)(sys.stderr, name)
