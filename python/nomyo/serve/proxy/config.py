"""The proxy's settings: plain values, checked once, never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nomyo.exchange.loopback import is_loopback
from nomyo.exchange.protocol import PAYLOAD_LIMIT_BYTES, check_security_tier
from nomyo.serve.listener import Listener
from nomyo.serve.proxy.host_header import parse_host
from nomyo.serve.proxy.model_names import Alias, ModelNames

DEFAULT_PORT: Final = 8800
SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """All settings of a proxy except those of its client.

    Args:
        token: The bearer token that callers need; None serves everybody on this machine.
        listener: Where it listens, and its TLS files.
        allow_remote: Whether it may listen on an address that other machines reach.
        allowed_hosts: Names (`name` or `name:port`) under which it is reached, beside those of this machine.
        models: The models that `/v1/models` lists.
        aliases: Further names, under which callers ask for one of the router's models.
        security_tier: The tier of requests that name none.
        max_body_bytes: The largest body of a request.
        max_at_once: How many requests are at the router at once.
        max_waiting: How many more requests may wait; further ones get 429.
        patience_s: Seconds for which a request waits at most.
        body_timeout_s: Seconds within which a request's body must have arrived.
    """

    token: str | None = field(repr=False)
    listener: Listener = field(default_factory=lambda: Listener(port=DEFAULT_PORT))
    allow_remote: bool = False
    allowed_hosts: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()
    security_tier: str | None = None
    max_body_bytes: int = PAYLOAD_LIMIT_BYTES
    max_at_once: int = 32
    max_waiting: int = 64
    patience_s: float = 60.0
    body_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.token is not None:
            _check_token(self.token)
        if self.remote:
            self._check_remote()
        if unusable := [host for host in self.allowed_hosts if parse_host(host) is None]:
            raise ValueError(f"an allowed host is a name, or name:port, without http://; not {unusable[0]!r}")
        ModelNames(self.models, self.aliases)  # refuses names that cannot be
        check_security_tier(self.security_tier)
        if min(self.max_body_bytes, self.max_at_once) < 1 or self.max_waiting < 0:
            raise ValueError("the bounds of bodies and of requests at once must be 1 or more")
        if min(self.patience_s, self.body_timeout_s) <= 0:
            raise ValueError("patience_s and body_timeout_s must be above 0")

    @property
    def model_names(self) -> ModelNames:
        """The models that it lists, and what callers mean by a name."""
        return ModelNames(self.models, self.aliases)

    @property
    def remote(self) -> bool:
        """Whether other machines can reach it."""
        return not is_loopback(self.listener.host)

    def _check_remote(self) -> None:
        if not self.allow_remote:
            raise ValueError(
                f"other machines could reach {self.listener.host}, and what they send comes here unsealed:"
                " listen on 127.0.0.1, or allow it with allow_remote=True (--allow-remote)"
            )
        if self.token is None:
            raise ValueError("a proxy that other machines can reach needs a token")


def _check_token(token: str) -> None:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"the token must be {SHORTEST_TOKEN} or more printable ASCII characters without spaces")
