"""The log of a server: without content, and bounded whatever strangers do."""

from __future__ import annotations

import asyncio
import logging
import traceback
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

REFUSALS_LOGGED: Final = 20
"""How many lines of one kind refused requests may leave in a log in a minute. Further lines are only counted."""


AnyLog: TypeAlias = "logging.Logger | BoundedLog"


class LogLevel(StrEnum):
    """The level of the log on stderr."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def log_to_stderr(level: LogLevel) -> None:
    """Write our log lines from `level` on to stderr, but only warnings of other libraries, since some log requests."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("nomyo").setLevel(level.value.upper())


def log_without_message(logger: AnyLog, error: BaseException) -> None:
    """Log the place of an unforeseen error, but not its message, which may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
    logger.error("unforeseen %s at %s", type(error).__name__, where)


class BoundedLog(logging.LoggerAdapter[logging.Logger]):
    """Logs lines that strangers can cause: the first few of each kind, then in each span of time only their number.

    A kind is a line's words before its arguments are put in. Belongs to one event loop; lines of other threads
    are logged as they are.

    Args:
        logger: The logger that gets the lines.
        lines: How many lines of each kind are logged as they are, until a span passes without further ones.
        span_s: The length of a span in seconds.
    """

    def __init__(self, logger: logging.Logger, lines: int = 1, span_s: float = 60.0) -> None:
        super().__init__(logger)
        self._lines = lines
        self._span_s = span_s
        self._kinds: dict[object, _Kind] = {}

    @property
    def level(self) -> int:
        """The level of the logger, for which uvicorn asks."""
        return self.logger.level

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Log a line, or count it."""
        if not self.isEnabledFor(level):
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no event loop: asyncio logs failed tasks in the thread in which they are collected
            super().log(level, msg, *args, **options)
            return
        kind = self._kinds.get(msg)
        if kind is None:
            kind = self._kinds[msg] = _Kind(level)
            loop.call_later(self._span_s, self._end_span, msg)
        kind.logged += 1
        if kind.logged <= self._lines:
            super().log(level, msg, *args, **options)
        else:
            kind.counted += 1
            kind.last = str(msg) % args if args else str(msg)

    def log_counts(self) -> None:
        """Log the counts of all kinds now."""
        for kind in self._kinds.values():
            self._log_count(kind)

    def _end_span(self, msg: object) -> None:
        if self._log_count(self._kinds[msg]):
            asyncio.get_running_loop().call_later(self._span_s, self._end_span, msg)
        else:
            del self._kinds[msg]

    def _log_count(self, kind: _Kind) -> bool:
        """Log how many lines of a kind were only counted. Returns False if there were none."""
        if not kind.counted:
            return False
        super().log(kind.level, "%d more like this one: %s", kind.counted, kind.last)
        kind.counted = 0
        return True


@dataclass(slots=True)
class _Kind:
    level: int
    logged: int = 0
    counted: int = 0
    last: str = ""
