"""Under which names the proxy answers, and to pages of which origin.

A page on the internet can make a browser send requests to 127.0.0.1. What stops it:

- Its name. A site can have its own name point to 127.0.0.1 (DNS rebinding) and would then be of the same origin as the
  proxy; but the browser still sends that name in `Host`, and the proxy answers to names of this machine alone.
- Its origin. Browsers tell it in `Origin` and `Sec-Fetch-Site` (Fetch, section 3.2; Fetch Metadata), and no page sets
  these itself. There are no CORS headers: no other origin may read an answer, and a preflight fails.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.refusal import Refusal

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Hosts:
    """Decides by a request's headers whether it is meant for the proxy.

    Args:
        config: Where it listens, and which names are its own.
    """

    def __init__(self, config: ProxyConfig) -> None:
        self._scheme = "http" if config.listener.tls_cert is None else "https"
        self._any_address = config.remote
        self._local = _LOCAL | {config.listener.host.lower()}
        self._allowed: Collection[str] = frozenset(host.lower() for host in config.allowed_hosts)

    def check(self, headers: Headers, port: int) -> None:
        """Let a request pass.

        Args:
            headers: The request's.
            port: Where it came in.

        Raises:
            Refusal: 421 for a name that is not ours, 403 for a page of another origin.
        """
        host = headers.get("Host", "").lower()
        if not self._is_ours(host, port):
            raise Refusal(421, "foreign_host", "The proxy does not answer under this name (see --allow-host)")
        own = f"{self._scheme}://{host}"
        if any(origin.lower() != own for origin in headers.getlist("Origin")):
            raise Refusal(403, "foreign_origin", "The proxy does not answer to pages of another origin")
        if any(site.lower() not in _OWN_SITE for site in headers.getlist("Sec-Fetch-Site")):
            raise Refusal(403, "foreign_origin", "The proxy does not answer to pages of another site")

    def _is_ours(self, host: str, port: int) -> bool:
        parts = _parted(host)
        if parts is None:
            return False
        name, named_port = parts
        if name in self._allowed or host in self._allowed:
            return True
        if (named_port or _DEFAULT_PORTS[self._scheme]) != port:
            return False
        # An address cannot be rebound: no site has one for its name.
        return name in self._local or (self._any_address and _is_address(name))


def _parted(host: str) -> tuple[str, int | None] | None:
    """Return name and port of a `Host` header, IPv6 without brackets; None where it cannot be read."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.netloc != host or "@" in host:
        return None
    return name, port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
