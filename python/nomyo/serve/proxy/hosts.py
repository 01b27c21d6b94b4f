"""Under which names the proxy answers, and to pages of which origin.

A page on the internet can make a browser send requests to 127.0.0.1. What stops it:

- Its name. A site can have its own name point to 127.0.0.1 (DNS rebinding) and would then be of the same origin as the
  proxy; but the browser still sends that name in `Host`, and the proxy answers to names of this machine alone.
- Its origin. Browsers tell it in `Origin` and `Sec-Fetch-Site` (Fetch, section 3.2; Fetch Metadata), and no page sets
  these itself. There are no CORS headers: no other origin may read an answer, and a preflight fails.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers

from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.host_header import is_address, parse_host
from nomyo.serve.proxy.refusal import Refusal

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Hosts:
    """Decides by a request's headers whether it is meant for the proxy.

    Args:
        config: Where the proxy listens, and which further names are its own.
    """

    def __init__(self, config: ProxyConfig) -> None:
        self._scheme = "http" if config.listener.tls_cert is None else "https"
        self._any_address = config.remote
        listened = config.listener.host.lower()
        self._local = _LOCAL | {f"[{listened}]" if ":" in listened else listened}
        self._allowed: Collection[str] = frozenset(host.lower() for host in config.allowed_hosts)

    def check(self, headers: Headers, port: int) -> None:
        """Check the name and the origin of a request.

        Args:
            headers: The request's headers.
            port: The port on which it came in.

        Raises:
            Refusal: 421 for a name that is not ours, 403 for a page of another origin.
        """
        named = headers.getlist("Host")
        host = named[0].lower() if len(named) == 1 else ""
        if not self._is_ours(host, port):
            raise Refusal(421, "foreign_host", "The proxy does not answer under this name (see --allow-host)")
        own = f"{self._scheme}://{host}"
        if any(origin.lower() != own for origin in headers.getlist("Origin")):
            raise Refusal(403, "foreign_origin", "The proxy does not answer to pages of another origin")
        if any(site.lower() not in _OWN_SITE for site in headers.getlist("Sec-Fetch-Site")):
            raise Refusal(403, "foreign_origin", "The proxy does not answer to pages of another site")

    def _is_ours(self, host: str, port: int) -> bool:
        named = parse_host(host)
        if named is None:
            return False
        if named.name in self._allowed or host in self._allowed:
            return True
        if (_DEFAULT_PORTS[self._scheme] if named.port is None else named.port) != port:
            return False
        # DNS rebinding needs a name: no site can have an address as its name.
        return named.name in self._local or (self._any_address and is_address(named.name))
