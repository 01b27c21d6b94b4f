"""What each actor of a job does: it takes parts of the input by their positions, and gives back counts.

Content goes from the input to the router, and from there to the output. If a failure stops the actor, it is returned as
text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from nomyo._counts import total
from nomyo._finite_json import ascii_json
from nomyo.batch.append_log import AppendLog
from nomyo.batch.error_codes import ErrorCodes
from nomyo.batch.ray.completions import Completions, Options, Outcome
from nomyo.batch.ray.line_dataset import parts_of
from nomyo.batch.ray.part_file import PartFile
from nomyo.batch.ray.part_source import PartRows, PartSource
from nomyo.batch.ray.parts import Part
from nomyo.batch.records import BadRow, Mark, Row, code_of
from nomyo.batch.verdict import Reasons
from nomyo.errors import NomyoError

PARTS_AT_ONCE: Final = 2
"""Parts under way in an actor: while the last rows of one part are awaited, the next part has begun."""
_DONE: Final = pa.schema(
    [
        ("line", pa.int64()),
        ("rows", pa.int64()),
        ("failed", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("codes", pa.string()),
        ("reasons", pa.string()),
        ("limit", pa.string()),
        ("failure", pa.string()),
    ]
)


class PartSender:
    """The class of a job's actors: sends the parts that it is given, and returns counts.

    Args:
        source: The input.
        folder: The path of the folder with the parts' journals.
        options: The options of the client.
        retry_errors: Whether rows that failed in an earlier run are sent once more.
    """

    def __init__(self, source: PartSource, folder: str, options: Options, retry_errors: bool) -> None:
        self._source = source
        self._folder = Path(folder)
        self._options = options
        self._retry_errors = retry_errors
        self._completions: Completions | None = None

    async def __call__(self, block: pa.Table) -> pa.Table:
        """Send the missing rows of a block's parts. A failure is returned: Ray would print an exception in full."""
        done = [await self._outcome(part) for part in parts_of(block)]
        return pa.Table.from_pylist(done, schema=_DONE)

    async def aclose(self) -> None:
        """Close the client, if no actor that ends closes it."""
        if self._completions is not None:
            await self._completions.aclose()

    async def _outcome(self, part: Part) -> dict[str, Any]:
        try:
            if self._completions is None:
                self._completions = Completions(self._options)
            await self._completions.check_router()
            return await _PartRun(self._completions, PartFile(self._folder, part)).counts(
                self._source, part, retry_errors=self._retry_errors
            )
        except (NomyoError, ValueError, TypeError) as error:
            return _counts(part, [], failure=str(error))
        except OSError as error:
            return _counts(part, [], failure=f"a file cannot be used on one of the nodes: {error.strerror}")


class _PartRun:
    """One part, on its way from the input to its file."""

    def __init__(self, completions: Completions, file: PartFile) -> None:
        self._completions = completions
        self._file = file
        self._tokens = [0, 0]
        self._codes = ErrorCodes()
        self._reasons = Reasons()

    async def counts(self, source: PartSource, part: Part, *, retry_errors: bool) -> dict[str, Any]:
        """Send the part's missing rows, and complete the part; return the counts of the whole part."""
        marks = await asyncio.to_thread(self._file.marks)
        is_sent = marks is not None and not (retry_errors and any(mark.failed for mark in marks))
        if not is_sent or not await asyncio.to_thread(source.is_complete, part, self._file):
            rows = await asyncio.to_thread(source.open, part)
            if is_sent or await self._send_missing(rows, part, retry_errors=retry_errors):
                await asyncio.to_thread(rows.complete, self._file)
            marks = await asyncio.to_thread(self._file.kept_marks, retry_errors=False)
        told = {"codes": ascii_json(self._codes), "reasons": ascii_json(dict(self._reasons.most_frequent_first()))}
        return _counts(part, marks or [], self._tokens, limit=self._completions.limit, **told)

    async def _send_missing(self, rows: PartRows, part: Part, *, retry_errors: bool) -> bool:
        """Send the rows that are not done; return whether the part is finished, or a limit ended the job before."""
        kept = await asyncio.to_thread(self._file.kept, retry_errors=retry_errors)
        requests = await asyncio.to_thread(rows.requests, kept)
        async with self._file.appending(part.rows) as file:
            await self._send(requests, file)
        if self._completions.failure is not None:
            raise self._completions.failure
        if self._completions.limit is not None and len(self._file.kept_rows()) < part.rows:
            return False
        await asyncio.to_thread(self._file.finish)
        return True

    async def _send(self, rows: Iterable[Row | BadRow], file: AppendLog) -> None:
        sent = [asyncio.create_task(self._completions.outcome(row)) for row in rows]
        held_back: list[Outcome] = []
        try:
            for first in asyncio.as_completed(sent):
                outcome = await first
                if outcome is None:
                    continue
                if outcome.held_back is not None:
                    held_back.append(outcome)
                    continue
                await self._write(outcome, file)
            await self._end_with(held_back, file)
        finally:
            for each in sent:
                each.cancel()

    async def _end_with(self, held_back: Iterable[Outcome], file: AppendLog) -> None:
        """Write the refusals that were held back, unless they stop the batch; then their rows stay to be done."""
        refusals = [outcome.held_back for outcome in held_back if outcome.held_back is not None]
        if refusals:
            answers = await asyncio.to_thread(self._file.output_has_answers)
            self._completions.stop_if_account_at_fault(refusals, earlier_answers=answers)
        for outcome in held_back if self._completions.failure is None else []:
            await self._write(outcome, file)

    async def _write(self, outcome: Outcome, file: AppendLog) -> None:
        await file.append(outcome.row)
        self._tokens = list(map(total, self._tokens, outcome.tokens))
        if outcome.failure is not None:
            self._codes.add(code_of(outcome.failure))
            self._reasons.add(outcome.failure)


def _counts(part: Part, marks: list[Mark], tokens: Iterable[int] = (0, 0), **told: str | None) -> dict[str, Any]:
    prompt, completion = tokens
    return {
        "line": part.line,
        "rows": len(marks),
        "failed": sum(mark.failed for mark in marks),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "codes": "{}",
        "reasons": "{}",
        "limit": None,
        "failure": None,
        **told,
    }
