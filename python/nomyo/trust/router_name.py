"""The name of a router among those that are known: its host and port, written in one way.

`https://API.nomyo.ai`, `api.nomyo.ai.` and `api.nomyo.ai:443` are one router. The path counts for nothing, nor does it
count whether the router is reached through TLS: another port is another router.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"http": 80, "https": 443}


def router_name(url: str) -> str:
    """Return the name of a router.

    Args:
        url: Its address, `https://` or `http://`, or host and port alone, for which `https://` is assumed.

    Raises:
        ValueError: It is no such address. The message does not show it, because it may hold a password.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        host = _host(parts.hostname or "")
    except (ValueError, KeyError):
        host, port = "", 0
    if not host or not port or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a router is named by its address: https://HOST, https://HOST:PORT or HOST:PORT")
    return f"{host}:{port}"


def _host(host: str) -> str:
    """Return a host in its one form: an address as RFC 5952 writes it, a name in lower case and ASCII (RFC 5890).

    Raises:
        ValueError: The name is none.
    """
    host = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host if host.isascii() else _ascii_name(host)
    return f"[{address}]" if address.version == 6 else str(address)


def _ascii_name(host: str) -> str:
    import idna  # comes with httpx; only commands are given such names

    return idna.encode(host, uts46=True).decode("ascii")
