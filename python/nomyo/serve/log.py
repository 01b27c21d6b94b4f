"""What a server's log tells, and what it never does."""

from __future__ import annotations

import logging
import traceback
from enum import StrEnum


class LogLevel(StrEnum):
    """What the log on stderr tells."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def log_to_stderr(level: LogLevel) -> None:
    """Have our log lines go to stderr from a level on; of other libraries warnings only, since some log requests."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("nomyo").setLevel(level.value.upper())


def log_without_message(logger: logging.Logger, error: Exception) -> None:
    """Log where an unforeseen error came from, but not its words: they may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
    logger.error("unforeseen %s at %s", type(error).__name__, where)
