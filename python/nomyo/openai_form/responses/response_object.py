"""A whole response, from a completion and from what its request asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from ..._counts import count
from .output import output_of
from .request import ResponsesRequest
from .usage import usage_of

# What a completion has beside the fields that are translated: it is passed on, as in a chat.
_TRANSLATED: Final = frozenset(
    {"choices", "created", "id", "model", "object", "service_tier", "system_fingerprint", "usage"}
)


def response_of(completion: Mapping[str, Any], request: ResponsesRequest) -> dict[str, Any]:
    """Return the response that a completion is.

    Raises:
        UnfitAnswerError: It is not clear what the model said.
    """
    output = output_of(completion, request.tools)
    created = count(completion.get("created"))
    model = completion.get("model")
    tier = completion.get("service_tier")
    further = {name: value for name, value in completion.items() if name not in _TRANSLATED}
    response = {
        "id": f"resp_{output.id}",
        "object": "response",
        "created_at": int(time.time()) if created is None else created,
        "status": "incomplete" if output.incomplete else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": output.incomplete} if output.incomplete else None,
        **request.echo,
        "max_tool_calls": None,
        "model": model if isinstance(model, str) and model else request.payload["model"],
        "output": output.items,
        "previous_response_id": None,
        "store": False,
        "truncation": "disabled",
        "usage": usage_of(completion.get("usage")),
    }
    if isinstance(tier, str):
        response["service_tier"] = tier
    return {**{name: value for name, value in further.items() if name not in response}, **response}
