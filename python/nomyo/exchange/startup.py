"""What a new client turns on and checks: the debug log, the protection of memory, plain HTTP, the API key."""

from __future__ import annotations

from .._warn import warn
from ..memory import check_working_memory
from .settings import Settings
from .trace import enable_debug_log


def check_client(settings: Settings, *, stacklevel: int) -> None:
    """Turn the debug log on if the client asked for it, and warn of what weakens the client.

    Args:
        settings: The client's.
        stacklevel: As in `warnings.warn`.

    Raises:
        SecurityError: `secure_memory` is "require", and memory cannot be locked.
    """
    if settings.debug:
        enable_debug_log()
    check_working_memory(settings.secure_memory, stacklevel=stacklevel + 1)
    if settings.plain_http and settings.allow_http:
        warn_of_plain_http(stacklevel=stacklevel + 1)
    if settings.needs_api_key:
        _warn_of_missing_api_key(settings, stacklevel=stacklevel + 1)


def warn_of_plain_http(*, stacklevel: int) -> None:
    """Warn that the client speaks to its router without TLS."""
    warn(
        "the router is spoken to over plain HTTP: whoever is on the way can read the API key and"
        " replace the router's key; never do this in production",
        stacklevel=stacklevel,
    )


def _warn_of_missing_api_key(settings: Settings, *, stacklevel: int) -> None:
    warn(
        f"there is no API key for {settings.base_url}: set NOMYO_API_KEY; in Python, api_key takes one, too,"
        ' and api_key="" is right for a router that asks for none',
        stacklevel=stacklevel,
    )
