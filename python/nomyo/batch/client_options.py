"""The options of a batch's client, which a run passes to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from nomyo._near_names import suggestion
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
"""What `SecureCompletionClient` calls the address: a batch has one name for it, as `SecureChatCompletion` has."""
_KNOWN: Final = BatchOptions.__annotations__.keys()


def check_names(options: Mapping[str, Any]) -> None:
    """Refuse an option that no client has, before anything is opened.

    Raises:
        TypeError: An option does not exist; the message names it, and what may have been meant.
    """
    for name in options:
        if name not in _KNOWN:
            meant = ". Did you mean 'base_url'?" if name == _ROUTER_URL else suggestion(name, _KNOWN)
            raise TypeError(f"a batch has no option {name!r}{meant}")


def as_of_client(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as `SecureCompletionClient` takes them.

    The client does not retry, because a pause concerns all rows. Each attempt is paid for, so by default the client
    waits 600 s for a slow model.
    """
    named = {_ROUTER_URL if name == "base_url" else name: value for name, value in options.items()}
    return {"timeout": PATIENT_TIMEOUT_S, **named, "max_retries": 0}
