"""The address on which a server listens: host, port, TLS files, socket and URL."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from nomyo.exchange.loopback import is_loopback
from nomyo.serve.bounds import Bounds


@dataclass(frozen=True, slots=True)
class Listener:
    """An address to listen on.

    Args:
        host: A name or address; this machine alone by default.
        port: The port; 0 takes a free one when the socket is bound.
        tls_cert: PEM file with the certificate chain; with `tls_key`, the server speaks TLS.
        tls_key: PEM file with its private key.
        bounds: The bounds of its connections.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: str | os.PathLike[str] | None = None
    tls_key: str | os.PathLike[str] | None = None
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"the port must lie between 0 and 65535, not {self.port}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS needs both files, the certificate and its key")

    @property
    def in_clear_beyond_this_machine(self) -> bool:
        """Whether other machines can reach it by plain HTTP."""
        return self.tls_cert is None and not is_loopback(self.host)

    def bind(self) -> socket.socket:
        """Return a bound socket. Raises OSError if the address cannot be used."""
        family, kind, protocol, _name, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # The protocol is given, unlike in socket.create_server: asyncio sets TCP_NODELAY on accepted sockets only if
        # they say TCP. Without TCP_NODELAY, every answer waits 40 ms for a delayed acknowledgement.
        bound = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it would let two servers share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(1024)
        except BaseException:
            bound.close()
            raise
        return bound

    def url(self, bound: socket.socket) -> str:
        """Return the URL under which the bound socket is reached."""
        scheme = "http" if self.tls_cert is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{bound.getsockname()[1]}"
