"""A chat completion in OpenAI's form, as programs send it by HTTP: what is sealed, and what concerns its way.

How the answer is told to the caller is decided here, not by the router, which gives it whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import SecurityError
from .exchange.protocol import NOT_SEALED, OF_THE_CLIENT, SECURITY_TIERS, check_security_tier

_NOT_FOR_THE_ROUTER: Final = NOT_SEALED | {"stream", "stream_options"}


class ChatBodyError(ValueError):
    """A body that is no chat completion; shows no content.

    Args:
        words: What is wrong.
        param: The field that is at fault.
    """

    def __init__(self, words: str, param: str | None = None) -> None:
        super().__init__(words)
        self.param = param


@dataclass(frozen=True, slots=True)
class ChatBody:
    """What a body asks for; its content is not in its repr."""

    payload: dict[str, Any] = field(repr=False)
    """What is sealed: the body as it came, without what concerns the way."""
    security_tier: str | None
    stream: bool
    include_usage: bool


def read_chat_body(body: bytes, header_tiers: Sequence[str]) -> ChatBody:
    """Read a body.

    Args:
        body: JSON in UTF-8.
        header_tiers: What the request's `X-Security-Tier` headers hold.

    Raises:
        ChatBodyError: It cannot be sent, or would not be as it was meant.
    """
    asked = _parsed(body)
    for name in sorted(OF_THE_CLIENT & asked.keys()):
        raise ChatBodyError(f"{name} has no place in a request's body: it is a setting of what sends it", name)
    stream = asked.get("stream")
    if not isinstance(stream, bool | None):
        raise ChatBodyError("stream must be true or false", "stream")
    return ChatBody(
        payload={name: value for name, value in asked.items() if name not in _NOT_FOR_THE_ROUTER},
        security_tier=_tier([*header_tiers, asked.get("security_tier")]),
        stream=bool(stream),
        include_usage=_include_usage(asked),
    )


def _parsed(body: bytes) -> dict[str, Any]:
    """Return a body as an object; errors of the parser hold all of it, and stay here."""
    try:
        asked = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise ChatBodyError("the body must be one JSON object in UTF-8")
    return asked


def _tier(named: Sequence[Any]) -> str | None:
    """Return the one tier that is named; of two, the weaker might have been a mistake."""
    tiers = [tier for tier in named if tier is not None]
    try:
        for tier in tiers:
            check_security_tier(tier)
    except (TypeError, ValueError, SecurityError):
        tiers.append(None)
    if any(tier != tiers[0] for tier in tiers):
        words = f"the security tier must be one of {', '.join(SECURITY_TIERS)}; the same wherever it is named"
        raise ChatBodyError(words, "security_tier")
    return tiers[0] if tiers else None


def _include_usage(asked: dict[str, Any]) -> bool:
    options = asked.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
