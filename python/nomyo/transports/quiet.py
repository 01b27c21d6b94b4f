"""Keeps the OpenAI SDK from logging prompts and answers.

At DEBUG (`OPENAI_LOG=debug`), major 2 logs the options of every request, messages included, and the errors of answers
that it cannot read, which quote them. Whoever imports a transport asked for privacy: so the loggers of the SDK that
see content say nothing at DEBUG any more, whichever client they speak of. Retries (INFO) and warnings go on.
"""

from __future__ import annotations

import logging
from typing import Final

_LOGGERS: Final = ("openai._base_client", "openai._response", "openai._legacy_response")


def silence_debug_log() -> None:
    """Drop what the SDK would log at DEBUG. Idempotent; the SDK need not be there."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
