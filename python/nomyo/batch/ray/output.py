"""The folder of a cluster's batch: which input it belongs to, and who works on it.

`batch.json` identifies the input and how it was cut, is written before the first row, and is locked (flock(2)) while
a job runs, as `nomyo.batch.journal` does with `OUTPUT.batch`. It holds no content.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from nomyo.batch.lines import Survey
from nomyo.batch.rewrite import sync_directory
from nomyo.errors import BatchError

_HEADER: Final = "batch.json"
_FORMAT: Final = 1


class OutputFolder:
    """The folder that a job writes to, locked; `with` lets go of it.

    Args:
        path: Made where it is not there, for its owner alone.
        survey: What identifies the input.
        rows_per_part: How it was cut.

    Raises:
        BatchError: It is another batch's, or holds something else, or another job works on it.
        OSError: It cannot be made or written.
    """

    def __init__(self, path: Path, survey: Survey, rows_per_part: int) -> None:
        self.path = path
        path.mkdir(mode=0o700, exist_ok=True)
        header = path / _HEADER
        if not header.exists() and any(path.iterdir()):
            raise BatchError(f"{path.name} holds something else already: name another output")
        self._lock = os.open(header, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._take_lock()
            self._check_or_write(survey, rows_per_part)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def _take_lock(self) -> None:
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        raise BatchError(f"another job is working on {self.path.name}")

    def _check_or_write(self, survey: Survey, rows_per_part: int) -> None:
        wanted = {
            "format": _FORMAT,
            "input": {"size_bytes": survey.size_bytes, "sha256": survey.sha256},
            "rows_per_part": rows_per_part,
        }
        begun = self._read()
        if begun is None:
            os.pwrite(self._lock, json.dumps(wanted).encode() + b"\n", 0)
            os.fsync(self._lock)
            sync_directory(self.path / _HEADER)
        elif begun.get("format") != _FORMAT:
            raise BatchError(f"{_HEADER} is damaged, or of another version: name another output")
        elif begun.get("input") != wanted["input"]:
            raise BatchError(f"the input is not the one that {self.path.name} was begun with: name another output")
        elif begun.get("rows_per_part") != rows_per_part:
            raise BatchError(
                f"{self.path.name} was begun with rows_per_part={begun.get('rows_per_part')}: go on with that"
            )

    def _read(self) -> dict[str, Any] | None:
        """Return what the header says; None where nothing stands there yet."""
        text = os.pread(self._lock, 4096, 0)
        if not text:
            return None
        with suppress(ValueError):
            begun = json.loads(text)
            if isinstance(begun, dict):
                return begun
        return {}
