"""A real router whose answers are texts of a test's own, sealed by Python's `cryptography`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from support.faults import FaultyRouter
from support.peer import seal_for

HEAD: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


# What routers name in their errors beside words, in each form: a body, and `type`, `param` and `code` of it.
NAMED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "OpenAI's form": (
        b'{"error": {"message": "its words", "type": "a_type", "param": "n", "code": "a_code"}}',
        {"type": "a_type", "param": "n", "code": "a_code"},
    ),
    "a numeric code": (b'{"error": {"message": "its words", "code": 4711}}', {"code": 4711}),
    "an object in detail": (
        b'{"detail": {"message": "its words", "code": "a_code", "param": "n"}}',
        {"code": "a_code", "param": "n"},
    ),
    "flat": (b'{"object": "error", "message": "its words", "type": "T", "code": 400}', {"type": "T", "code": 400}),
    "no names that can be": (b'{"detail": "its words", "code": ["x"], "type": true, "param": null}', {}),
    "no object": (b'["its words"]', {}),
}
# A `Retry-After` header, and what a caller is told.
RETRY_AFTERS: list[tuple[str, str]] = [("7", "7"), ("0", "0"), ("1.5", "1.5"), ("1800", "1800")]


def completion(*messages: Any, **further: Any) -> dict[str, Any]:
    """Return a chat completion with a choice for each message."""
    choices = [{"index": i, "message": message, "finish_reason": "stop"} for i, message in enumerate(messages)]
    return {**HEAD, "choices": choices, "usage": USAGE, **further}


def answer_with(router: FaultyRouter, content: Any) -> None:
    """Have a router answer with a value as JSON, or with the very text given, sealed for whoever asks."""
    answer_in_turn(router, itertools.repeat(content))


def answer_in_turn(router: FaultyRouter, contents: Iterable[Any]) -> None:
    """Have a router answer with one content after the other, each as in `answer_with`."""
    left = iter(contents)

    def sealed(_: bytes) -> bytes:
        content = next(left)
        text = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        return seal_for(unquote(router.posts[-1].headers["x-public-key"]), text)

    router.change = sealed
