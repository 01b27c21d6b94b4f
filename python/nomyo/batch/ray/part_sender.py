"""What each actor of a job does: takes places in the input, gives back counts.

Content goes from the input to the router, and from there to the output; what stops the actor is told in words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from nomyo.batch.appended import AppendedFile
from nomyo.batch.ray.completions import Completions, Options
from nomyo.batch.ray.lines import parts_of
from nomyo.batch.ray.part_file import PartFile
from nomyo.batch.ray.parts import Part, rows_in
from nomyo.batch.records import BadRow, Mark, Row, read_row
from nomyo.errors import NomyoError

PARTS_AT_ONCE: Final = 2
"""In an actor: while the last rows of one part are awaited, the next has begun."""
_DONE: Final = pa.schema(
    [
        ("rows", pa.int64()),
        ("failed", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("failure", pa.string()),
    ]
)


class PartSender:
    """What each actor of a job is: takes places in the input, gives back counts.

    Args:
        source: The input's path.
        folder: The output's.
        options: Of the client.
        retry_errors: Whether rows that failed in an earlier run are to be done once more.
    """

    def __init__(self, source: str, folder: str, options: Options, retry_errors: bool) -> None:
        self._source = Path(source)
        self._folder = Path(folder)
        self._options = options
        self._retry_errors = retry_errors
        self._completions: Completions | None = None

    async def __call__(self, block: pa.Table) -> pa.Table:
        """Send what is left of the parts of a block; what stops the batch is returned, since Ray would print it all."""
        done = [await self._outcome(part) for part in parts_of(block)]
        return pa.Table.from_pylist(done, schema=_DONE)

    async def aclose(self) -> None:
        """Close the client; where no actor's end does."""
        if self._completions is not None:
            await self._completions.aclose()

    async def _outcome(self, part: Part) -> dict[str, Any]:
        try:
            if self._completions is None:
                self._completions = Completions(self._options)
            await self._completions.check_router()
            return await _Sent(self._completions, PartFile(self._folder, part)).counts(
                self._source, part, retry_errors=self._retry_errors
            )
        except (NomyoError, ValueError, TypeError) as error:
            return _counts([], failure=str(error))
        except OSError as error:
            return _counts([], failure=f"a file cannot be used on one of the nodes: {error.strerror}")


class _Sent:
    """One part, on its way from the input to its file."""

    def __init__(self, completions: Completions, file: PartFile) -> None:
        self._completions = completions
        self._file = file
        self._tokens = [0, 0]

    async def counts(self, source: Path, part: Part, *, retry_errors: bool) -> dict[str, Any]:
        """Do the part; return what came of it."""
        marks = await asyncio.to_thread(self._file.marks)
        if marks is None or (retry_errors and any(mark.failed for mark in marks)):
            await self._do(source, part, retry_errors=retry_errors)
            marks = await asyncio.to_thread(self._file.marks)
        return _counts(marks or [], self._tokens)

    async def _do(self, source: Path, part: Part, *, retry_errors: bool) -> None:
        kept = await asyncio.to_thread(self._file.kept, retry_errors=retry_errors)
        content = await asyncio.to_thread(lambda: list(rows_in(source, part)))
        rows = [read_row(line, text) for line, text in content if line not in kept]
        async with self._file.appending(part.rows) as file:
            await self._send(rows, file)
        if self._completions.failure is not None:
            raise self._completions.failure
        await asyncio.to_thread(self._file.finish)

    async def _send(self, rows: Iterable[Row | BadRow], file: AppendedFile) -> None:
        sent = [asyncio.create_task(self._completions.outcome(row)) for row in rows]
        try:
            for first in asyncio.as_completed(sent):
                outcome = await first
                if outcome is not None:
                    await file.append(outcome.row)
                    self._tokens = [total + more for total, more in zip(self._tokens, outcome.tokens, strict=True)]
        finally:
            for each in sent:
                each.cancel()


def _counts(marks: list[Mark], tokens: Iterable[int] = (0, 0), failure: str | None = None) -> dict[str, Any]:
    prompt, completion = tokens
    return {
        "rows": len(marks),
        "failed": sum(mark.failed for mark in marks),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "failure": failure,
    }
