"""The files of a batch: opened before its first row, and finished after its last, in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from nomyo._threads import submit_or_run
from nomyo.batch.input_lines import Survey
from nomyo.batch.journal import Journal
from nomyo.batch.sealed import Seal
from nomyo.batch.source import Source
from nomyo.exchange.workers import file_pool

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Opened:
    """The files of a batch."""

    source: Source
    survey: Survey
    journal: Journal


async def open_files(source: Source, *wanted: Any) -> Opened:
    """Open the files of a batch in a thread. If this is cancelled, all of them are closed again."""
    cancelled = threading.Event()
    opening = in_thread(_open_now, cancelled.is_set, source, *wanted)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        cancelled.set()
        with suppress(Exception):
            opened = await opening
            source.close()
            await opened.journal.aclose()
        raise


def in_thread(function: Callable[..., _T], *arguments: Any) -> asyncio.Future[_T]:
    """Run a function that may block in a thread for files."""
    return asyncio.wrap_future(submit_or_run(file_pool, partial(function, *arguments)))


def _open_now(
    cancelled: Callable[[], bool],
    source: Source,
    stopped: Callable[[], bool],
    ordered: bool,
    retry_errors: bool,
    concurrency: int,
    seal: Seal | None,
    counts_tokens: bool,
) -> Opened:
    survey = source.open(cancelled, stopped)
    try:
        journal = Journal(
            source.journal,
            survey,
            ordered=ordered,
            retry_errors=retry_errors,
            max_unsynced=concurrency,
            seal=seal,
            counts_tokens=counts_tokens,
        )
    except BaseException:
        source.close()
        raise
    return Opened(source, survey, journal)


async def finish(source: Source, seal: Seal | None) -> Any:
    """Have the source write its output, or return its table. If this is cancelled, wait until it leaves the journal."""
    cancelled = threading.Event()
    finishing = in_thread(source.finish, seal, cancelled.is_set)
    try:
        return await asyncio.shield(finishing)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([finishing])
        raise
