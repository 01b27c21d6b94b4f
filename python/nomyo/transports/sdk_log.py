"""Keeps the SDKs of OpenAI and Anthropic from logging prompts and answers.

At DEBUG (`OPENAI_LOG=debug`, `ANTHROPIC_LOG=debug`), they log the options of requests, messages included, and errors
that quote answers which they cannot read. A program that imports a transport wants privacy. So the loggers of the SDKs
that see content are silent at DEBUG from then on, for all clients. Retries (INFO) and warnings are still logged.
"""

from __future__ import annotations

import logging
from typing import Final

_LOGGERS: Final = (
    "openai._base_client",
    "openai._response",
    "openai._legacy_response",
    "anthropic._base_client",
    "anthropic._response",
)


def silence_debug_log() -> None:
    """Drop the DEBUG lines of the SDKs. Idempotent; they need not be installed."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
