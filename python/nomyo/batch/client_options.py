"""The options of a batch's client, which a run hands on."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Final

from nomyo.client import SecureCompletionClient

_ROUTER_URL: Final = "router_url"
_KNOWN: Final = {"base_url", *signature(SecureCompletionClient).parameters}


def check_names(options: Mapping[str, Any]) -> None:
    """Refuse an option that no client has, before anything is opened.

    Raises:
        TypeError: There is one; its name is told.
    """
    for name in options:
        if name not in _KNOWN:
            raise TypeError(f"a batch has no option {name!r}")
    if "base_url" in options and _ROUTER_URL in options:
        raise TypeError(f"base_url and {_ROUTER_URL} are two names for one option")


def as_of_client(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as `SecureCompletionClient` takes them. It does not retry: a pause concerns all rows."""
    named = {_ROUTER_URL if name == "base_url" else name: value for name, value in options.items()}
    return {**named, "max_retries": 0}
