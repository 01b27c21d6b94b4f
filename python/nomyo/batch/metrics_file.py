"""A file with the figures of a run, for schedulers and monitors: replaced atomically, every few seconds.

It tells of the work and never fails it: if it cannot be written, one warning says so, and the batch goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from nomyo._files.new_files import check_directory, created, remove_leftover, replace, staged
from nomyo._threads import submit_or_run
from nomyo.batch.header import header_of
from nomyo.batch.run_figures import FIRST_BYTES, RunFigures
from nomyo.exchange.workers import file_pool

INTERVAL_S: Final = 2.0
PROMETHEUS_SUFFIX: Final = ".prom"


class MetricsFile:
    """A file of figures: text for Prometheus if its name ends in `.prom`, else JSON.

    Args:
        path: The file. If it is new, only its owner can read it; else it keeps its mode.
        files: The input and the output of the batch, which it must not be.
        output: The file whose companions it must not be, either.

    Raises:
        ValueError: It is one of these, a directory or a device, or holds something else already.
        OSError: Its directory does not exist, or it cannot be read.
    """

    def __init__(self, path: Path, files: Iterable[Path], output: Path) -> None:
        self._path = Path(os.path.realpath(path))  # the file is replaced, not a link to it
        self._is_prometheus = path.suffix == PROMETHEUS_SUFFIX
        real = Path(os.path.realpath(output))
        for other in (*files, output, header_of(output), staged(real)):
            if self._path == Path(os.path.realpath(other)) or (other.exists() and _same(self._path, other)):
                raise ValueError(
                    "metrics_file must be a file of its own, not the input, the output or a file beside it"
                )
        if self._path.exists() and not self._path.is_file():
            raise ValueError(f"metrics_file must be a file, and {path} is none")
        check_directory(self._path)
        if self._path.exists() and not _is_ours(self._path):
            raise ValueError(f"metrics_file would replace {path}, which holds something else: name another file")

    def write(self, figures: RunFigures) -> None:
        """Replace the file.

        Raises:
            OSError: It cannot be written. The old one stays.
        """
        content = figures.as_prometheus() if self._is_prometheus else figures.as_json()
        remove_leftover(self._path)
        if self._path.exists():
            replace(self._path, [content])
            return
        with created(self._path) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(content)


def metrics_at(path: str | os.PathLike[str] | None, of_batch: Iterable[object], journal: Path) -> MetricsFile | None:
    """Return the metrics file of a run; None if none is wanted.

    Args:
        path: The file.
        of_batch: The input and the output, as the caller named them; those that are no paths are passed over.
        journal: The journal of the batch.

    Raises:
        ValueError, OSError: As from `MetricsFile`.
    """
    if path is None:
        return None
    return MetricsFile(Path(path), [Path(each) for each in of_batch if isinstance(each, str | os.PathLike)], journal)


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(max(map(len, FIRST_BYTES)))
    return not begin or begin.startswith(FIRST_BYTES)


@asynccontextmanager
async def kept_current(
    file: MetricsFile | None, figures: RunFigures, tell: Callable[[str], None]
) -> AsyncIterator[None]:
    """Write figures at the beginning of the block, every two seconds, and at its end."""
    if file is None:
        yield
        return
    writer = _Writer(file, figures, tell)
    task = asyncio.create_task(writer.run())
    failed = False
    try:
        yield
    except Exception:
        failed = True
        raise
    finally:
        figures.end(failed=failed)
        writer.ended.set()
        await task


class _Writer:
    def __init__(self, file: MetricsFile, figures: RunFigures, tell: Callable[[str], None]) -> None:
        self._file = file
        self._figures = figures
        self._tell = tell
        self._warned = False
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Write until the run has ended, and then once more: never twice at the same time."""
        while not self.ended.is_set():
            await self._write()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), INTERVAL_S)
        await self._write()

    async def _write(self) -> None:
        """Write the figures in a thread; the first failure is told."""
        try:
            await asyncio.wrap_future(submit_or_run(file_pool, lambda: self._file.write(self._figures)))
        except Exception as error:  # noqa: BLE001 - whatever it is, rows are being paid for
            if not self._warned:
                self._warned = True
                why = error.strerror if isinstance(error, OSError) else type(error).__name__
                self._tell(f"the batch goes on, but its metrics file cannot be written: {why}")
