"""What `create` was asked for: the call, and the options of a client for another router."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .exchange.call import Call
from .exchange.settings import Settings
from .exchange.startup import warn_of_plain_http
from .parameters import Messages, hint_for, warn_of_misspelt


def prepare(
    request: Mapping[str, Any] | None, model: str | None, messages: Messages | None, params: dict[str, Any]
) -> tuple[Call, str | None]:
    """Return what `create` was asked for: the call, and another router's URL if one was named.

    Raises:
        TypeError: The request is not a mapping, or lacks the model or the messages.
    """
    if request is not None and not isinstance(request, Mapping):
        raise TypeError(f"the request must be a mapping, not {type(request).__name__}")
    named = {"model": model, "messages": messages}
    payload = {**(request or {}), **{name: value for name, value in named.items() if value is not None}, **params}
    missing = [name for name in named if payload.get(name) is None]
    if missing:
        raise TypeError(f"the request lacks {' and '.join(missing)}{hint_for(missing, payload)}")
    warn_of_misspelt(payload)
    call = Call(payload, api_key=payload.get("api_key"), security_tier=payload.get("security_tier"))
    return call, payload.get("base_url")


def settings_for(settings: Settings, base_url: str) -> Settings:
    """Return the options of a temporary client for another router.

    Raises:
        ValueError, TypeError: `base_url` is no router's URL.
    """
    elsewhere = dataclasses.replace(settings, base_url=base_url)
    if elsewhere.plain_http and elsewhere.allow_http and not settings.plain_http:
        warn_of_plain_http(stacklevel=7)
    return elsewhere
