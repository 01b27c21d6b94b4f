"""The head of a request of ours as bytes: what all requests to one address begin with is made once."""

from __future__ import annotations

from collections.abc import Mapping

from .connection_options import user_agent

# Those of httpx, so that the headers do not tell the twins apart.
CONSTANT_HEADERS = {"Accept": "*/*", "User-Agent": user_agent()}


def head_start(method: str, target: str, host: str, more: Mapping[str, str]) -> str:
    """Return the lines that the heads of all requests to one address begin with.

    Args:
        method: GET or POST.
        target: The path with its query, or the whole address for a proxy without a tunnel (RFC 9112, section 3.2).
        host: The value of Host.
        more: Headers of the proxy.
    """
    return f"{method} {target} HTTP/1.1\r\n" + _lines({"Host": host, **CONSTANT_HEADERS, **more})


def whole_head(start: str, headers: Mapping[str, str], size_bytes: int) -> bytes:
    """Return a request's head.

    Args:
        start: By `head_start`.
        headers: The request's own.
        size_bytes: Of the body that follows; 0 for none.

    Raises:
        ValueError: A header has a line end, which would smuggle other headers in (RFC 9110, section 5.5).
    """
    length = f"Content-Length: {size_bytes}\r\n" if size_bytes else ""
    lines = _lines(headers)
    if len(lines.splitlines()) != len(headers):
        raise ValueError("a header must not have a line end")
    return f"{start}{lines}{length}\r\n".encode("ascii")


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
