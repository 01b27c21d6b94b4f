"""Keeps the OpenAI SDK from logging prompts and answers.

At DEBUG (`OPENAI_LOG=debug`), major 2 logs the options of every request, messages included, and errors that quote
answers which it cannot read. A program that imports a transport wants privacy. So the loggers of the SDK that see
content are silent at DEBUG from then on, for all clients. Retries (INFO) and warnings are still logged.
"""

from __future__ import annotations

import logging
from typing import Final

_LOGGERS: Final = ("openai._base_client", "openai._response", "openai._legacy_response")


def silence_debug_log() -> None:
    """Drop the DEBUG lines of the SDK. Idempotent; the SDK need not be installed."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
