"""A request of ours as a request of httpx, for a client that the caller brought."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ..effects import Request, Timeouts
from .upload import Pieces

if TYPE_CHECKING:
    import httpx


def build_httpx_request(
    client: httpx.Client | httpx.AsyncClient,
    request: Request,
    content: bytes | Pieces,
    timeouts: Timeouts,
    trace: Callable[[str, Any], Any],
) -> httpx.Request:
    """Return the request as the caller's client would make it, with the headers that it adds to all.

    Args:
        client: The caller's.
        request: Ours.
        content: Its body.
        timeouts: How long its parts may take.
        trace: httpx has httpcore call it with each event, which is how a deadline learns what phase has begun.
    """
    return client.build_request(
        request.method,
        request.url,
        headers=headers_of(request),
        content=content or None,
        timeout=httpx_timeout(timeouts),
        extensions={"trace": trace},
    )


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers of a request, with the length of its body."""
    length = {"Content-Length": str(len(request.body))} if request.body else {}
    return {**request.headers, **length}


def httpx_timeout(timeouts: Timeouts) -> httpx.Timeout:
    """Return the timeouts in httpx's form.

    The wait for a connection of the pool ends too: the caller's pool may have fewer connections than there are
    requests, and it loses a connection if an exception interrupts a request.
    """
    import httpx

    return httpx.Timeout(connect=timeouts.connect_s, read=timeouts.read_s, write=timeouts.write_s, pool=timeouts.pool_s)


def check_client_type(client: object, wanted: Literal["Client", "AsyncClient"]) -> None:
    """Refuse an `http_client` of another kind.

    Only those who bring a client wait for the import of httpx, which takes longer than all else that a client needs.

    Raises:
        TypeError: It is neither None nor of the wanted kind.
    """
    if client is None:
        return
    import httpx

    if not isinstance(client, getattr(httpx, wanted)):
        raise TypeError(f"http_client must be an httpx.{wanted}, not {type(client).__name__}")
