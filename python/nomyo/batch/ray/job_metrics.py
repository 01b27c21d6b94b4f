"""The metrics file of a job, kept current by a thread, because the driver waits for its actors meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nomyo.batch.metrics_file import MetricsFile, kept_current, metrics_at
from nomyo.batch.run_figures import RunFigures


class _FailedError(Exception):
    """The job failed; its own exception is raised elsewhere."""


def metrics_of(path: str | os.PathLike[str] | None, given: Any, folder: Path) -> MetricsFile | None:
    """Return the metrics file of a job; None if none is wanted.

    Args:
        path: The file.
        given: The input.
        folder: The output.

    Raises:
        ValueError: It lies in the output, is the input, or holds something else already.
        OSError: Its directory does not exist, or it cannot be read.
    """
    if path is not None and Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents:
        raise ValueError("metrics_file must not lie in the output, which has files of the job alone")
    return metrics_at(path, (given,), folder)


@contextmanager
def kept_current_beside(file: MetricsFile | None, figures: RunFigures, tell: Callable[[str], None]) -> Iterator[None]:
    """Write figures at the beginning of the block, every two seconds, and at its end."""
    if file is None:
        yield
        return
    over, failed = threading.Event(), threading.Event()

    async def keep() -> None:
        async with kept_current(file, figures, tell):
            await asyncio.to_thread(over.wait)
            if failed.is_set():
                raise _FailedError

    def run() -> None:
        with suppress(_FailedError):
            asyncio.run(keep())

    thread = threading.Thread(target=run, name="nomyo-metrics")
    thread.start()
    try:
        yield
    except Exception:
        failed.set()
        raise
    finally:
        over.set()
        thread.join()
