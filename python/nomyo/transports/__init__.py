"""Transports for HTTP clients: what a program sends to a server of OpenAI's or Anthropic's form travels sealed instead.

    client = httpx.Client(transport=SecureTransport(), timeout=60.0)

A transport answers `POST` to `{base_url}/chat/completions`, `/responses` and `/messages` (with or without `/v1`) by an
encrypted exchange with the router, and refuses everything else before anything leaves. It takes requests of httpx and
of httpx2, so whatever lets its HTTP client be given (LangChain, LlamaIndex, instructor, the OpenAI SDK) becomes private
by that. For the SDKs themselves, `nomyo.openai` and `nomyo.anthropic` are the shorter way. See docs/openai.md.

Modules, from the ground up; each imports only from those above it:

    sdk_log    keeps the debug logs of SDKs silent, because they show messages
    answers    what the HTTP client gets: answers in its caller's form, and errors
    request    what a request asks for, or why it is refused
    transport  the two transports
"""

from __future__ import annotations

from .sdk_log import silence_debug_log
from .transport import AsyncSecureTransport, SecureTransport

__all__ = ["AsyncSecureTransport", "SecureTransport"]

silence_debug_log()
