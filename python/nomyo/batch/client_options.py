"""The options of a batch's client, which a run passes to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from nomyo.exchange.settings import PATIENT_TIMEOUT_S, ClientOptions, SecureMemory

if TYPE_CHECKING:
    import httpx


class BatchOptions(ClientOptions, total=False):
    """The options of `SecureCompletionClient`, with `base_url` for its `router_url`, but for `max_retries`."""

    base_url: str
    allow_http: bool
    api_key: str | None
    secure_memory: SecureMemory
    timeout: float
    key_size: int
    http_client: httpx.AsyncClient | None


_ROUTER_URL: Final = "router_url"
_KNOWN: Final = BatchOptions.__annotations__.keys() | {_ROUTER_URL}


def check_names(options: Mapping[str, Any]) -> None:
    """Refuse an option that no client has, before anything is opened.

    Raises:
        TypeError: An option does not exist (the message names it), or the address is given under both its names.
    """
    for name in options:
        if name not in _KNOWN:
            raise TypeError(f"a batch has no option {name!r}")
    if "base_url" in options and _ROUTER_URL in options:
        raise TypeError(f"base_url and {_ROUTER_URL} are two names for one option")


def as_of_client(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as `SecureCompletionClient` takes them.

    The client does not retry, because a pause concerns all rows. Each attempt is paid for, so by default the client
    waits 600 s for a slow model.
    """
    named = {_ROUTER_URL if name == "base_url" else name: value for name, value in options.items()}
    return {"timeout": PATIENT_TIMEOUT_S, **named, "max_retries": 0}
