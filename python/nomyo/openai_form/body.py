"""Reads a chat completion in OpenAI's form, as programs send it by HTTP: what is sealed, and which fields are not.

`stream` and `stream_options` are not sent to the router, which always gives a whole answer: they say how the answer is
handed to the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .._api_form import FormRequest, MalformedRequestError
from .._unique_json import RepeatedNameError, parse_unique_json
from ..errors import SecurityError
from ..exchange.protocol import NOT_SEALED, OF_THE_CLIENT, SECURITY_TIERS, check_security_tier

_READ_HERE: Final = frozenset(NOT_SEALED | {"model", "messages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatBody(FormRequest):
    """A chat completion that was read from a body. Its payload is the body without the fields that are not sent on."""

    stream: bool
    include_usage: bool


def read_chat_body(body: bytes, header_tiers: Sequence[str]) -> ChatBody:
    """Read a body.

    Args:
        body: JSON in UTF-8.
        header_tiers: The values of the request's `X-Security-Tier` headers.

    Raises:
        MalformedRequestError: The request cannot be sent, or not as its caller meant it.
    """
    fields = parsed_body(body, _READ_HERE)
    for name in sorted(OF_THE_CLIENT & fields.keys()):
        raise MalformedRequestError(f"{name} has no place in a request's body: it is a setting of what sends it", name)
    stream = fields.get("stream")
    if not isinstance(stream, bool | None):
        raise MalformedRequestError("stream must be true or false", "stream")
    return ChatBody(
        payload={name: value for name, value in fields.items() if name not in NOT_SEALED},
        security_tier=tier_named([*header_tiers, fields.get("security_tier")]),
        stream=bool(stream),
        include_usage=_include_usage(fields),
    )


def parsed_body(body: bytes, read_here: Collection[str]) -> dict[str, Any]:
    """Return a body as a dict. The parser's errors hold the whole body, so they do not leave this function.

    Args:
        body: JSON in UTF-8.
        read_here: The fields that an error may name. Any other name is content.

    Raises:
        MalformedRequestError: It is no JSON object, or an object in it has a name twice.
    """
    try:
        parsed = parse_unique_json(body.decode("utf-8"))
    except RepeatedNameError as error:
        parsed = MalformedRequestError(str(error), error.name if error.name in read_here else None)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, MalformedRequestError):
        raise parsed
    if not isinstance(parsed, dict):
        raise MalformedRequestError("the body must be one JSON object in UTF-8")
    return parsed


def tier_named(named: Sequence[Any]) -> str | None:
    """Return the security tier that is named; None if none is.

    Args:
        named: What the headers and the body give.

    Raises:
        MalformedRequestError: There is no such tier; or two different ones, of which one may be a mistake.
    """
    tiers = [tier for tier in named if tier is not None]
    try:
        for tier in tiers:
            check_security_tier(tier)
    except (TypeError, ValueError, SecurityError):
        tiers.append(None)
    if any(tier != tiers[0] for tier in tiers):
        words = f"the security tier must be one of {', '.join(SECURITY_TIERS)}; the same wherever it is named"
        raise MalformedRequestError(words, "security_tier")
    return tiers[0] if tiers else None


def _include_usage(fields: dict[str, Any]) -> bool:
    options = fields.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
