"""The router's settings: plain values, checked once, never changed afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from nomyo.exchange.loopback import is_loopback
from nomyo.exchange.settings import KEY_SIZES
from nomyo.serve.listener import Listener

SECURITY_TIERS: Final = ("standard", "high", "maximum")
DEFAULT_TIER: Final = "standard"
MEBIBYTE: Final = 1024 * 1024
_SWTPM: Final = re.compile(r"swtpm:([A-Za-z0-9.-]+):([1-9][0-9]{0,4})")
_PCR: Final = "(?:[0-9]|1[0-9]|2[0-3])"
_BANK: Final = f"sha(?:256|384|512):{_PCR}(?:,{_PCR})*"
_PCRS: Final = re.compile(f"{_BANK}(?:\\+{_BANK})*")


def processor_count() -> int:
    """Return the number of processors, at least 1."""
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests one API key may send; the defaults are the public service's.

    Args:
        requests_per_second: How many requests are allowed in any second.
        burst_requests: How many are allowed in one second of each window; at least `requests_per_second`.
        burst_window_s: Seconds from the start of one burst to the start of the next.
    """

    requests_per_second: int = 2
    burst_requests: int = 4
    burst_window_s: float = 10.0

    def __post_init__(self) -> None:
        if self.requests_per_second < 1:
            raise ValueError(f"requests_per_second must be 1 or more, not {self.requests_per_second}")
        if self.burst_requests < self.requests_per_second:
            raise ValueError("burst_requests must not be below requests_per_second")
        if self.burst_window_s < 1.0:
            raise ValueError(f"burst_window_s must be 1 or more, not {self.burst_window_s}")


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """An OpenAI-compatible server that answers instead of the echo model.

    Args:
        url: Its base URL, with or without a final `/v1`.
        api_key: The bearer token for this server; never the token of the router's own client.
        timeout_s: Seconds within which the whole answer must have arrived.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the upstream must be an http:// or https:// URL")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("the upstream's URL must hold no user, password, query or fragment; give its key apart")
        if self.timeout_s <= 0:
            raise ValueError(f"the upstream's timeout_s must be above 0, not {self.timeout_s}")

    @property
    def in_clear_beyond_this_machine(self) -> bool:
        """Whether decrypted requests leave this machine over plain HTTP."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")


@dataclass(frozen=True, slots=True)
class TpmConfig:
    """A TPM 2.0 whose quotes the router adds to its answers.

    Args:
        address: A device (`/dev/tpmrm0`), or `swtpm:HOST:PORT`.
        pcrs: The PCRs that are quoted, as tpm2-tools have them: a bank and its PCRs; several joined by `+`.
        key: The kind of key that is made for each request: "ecc" (P-256), or "rsa" (2048 bits), which takes longer.
    """

    address: str
    pcrs: str = "sha256:0,7,10"
    key: str = "ecc"

    def __post_init__(self) -> None:
        if not self.address.startswith("/") and not _SWTPM.fullmatch(self.address):
            raise ValueError(f"the TPM must be a device or swtpm:HOST:PORT, not {self.address!r}")
        if not _PCRS.fullmatch(self.pcrs) or not _are_distinct(self.pcrs):
            raise ValueError("PCRs are selected as in sha256:0,7,10 (sha256, sha384 or sha512; 0 to 23; each once)")
        if self.key not in ("ecc", "rsa"):
            raise ValueError(f"the TPM's key must be ecc or rsa, not {self.key!r}")

    @property
    def tcti(self) -> str:
        """The address in tpm2-tools' form."""
        swtpm = _SWTPM.fullmatch(self.address)
        return f"swtpm:host={swtpm[1]},port={swtpm[2]}" if swtpm else f"device:{self.address}"


def _are_distinct(pcrs: str) -> bool:
    selections = [each.split(":") for each in pcrs.split("+")]
    lists = [indices.split(",") for _, indices in selections]
    return len({bank for bank, _ in selections}) == len(selections) and all(len({*one}) == len(one) for one in lists)


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """All settings of a router.

    Args:
        listener: Where it listens, and its TLS files.
        key_bits: The size of its own RSA key: 2048, 3072 or 4096.
        key_rotation_interval_s: Seconds after which it replaces its key; 0 for never.
        key_rotation_grace_s: Seconds for which a replaced key is still accepted; 0 for not at all.
        api_keys: The bearer tokens that are accepted. If empty, every request is.
        tier_models: The models that each security tier allows. A tier that is not named allows all.
        rate_limit: The limit of each API key, or of each address if no key came; None for no limit.
        upstream: The server that answers; None for the built-in echo model.
        tpm: The TPM that attests; None for none.
        max_plaintext_bytes: The largest decrypted request.
        max_response_bytes: The largest answer before it is sealed.
        max_requests_in_flight: How many requests are answered at once; further ones get 503.
        crypto_threads: How many threads do RSA work. By default, one for each processor.
        body_timeout_s: Seconds within which a request's body must have arrived.
    """

    listener: Listener = field(default_factory=Listener)
    key_bits: int = 4096
    key_rotation_interval_s: float = 0.0
    key_rotation_grace_s: float = 300.0
    api_keys: frozenset[str] = field(default=frozenset(), repr=False)
    tier_models: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rate_limit: RateLimit | None = None
    upstream: UpstreamConfig | None = None
    tpm: TpmConfig | None = None
    max_plaintext_bytes: int = 10 * MEBIBYTE
    max_response_bytes: int = 32 * MEBIBYTE
    max_requests_in_flight: int = 1024
    crypto_threads: int = field(default_factory=processor_count)
    body_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.key_bits not in KEY_SIZES:
            raise ValueError(f"key_bits must be 2048, 3072 or 4096, not {self.key_bits}")
        if self.key_rotation_interval_s < 0 or self.key_rotation_grace_s < 0:
            raise ValueError("the rotation's interval and grace must be 0 or more seconds")
        if unknown := set(self.tier_models) - set(SECURITY_TIERS):
            raise ValueError(f"no such security tier: {', '.join(sorted(unknown))}; there are {SECURITY_TIERS}")
        if not all(key.isascii() and key.isprintable() and key.strip() == key != "" for key in self.api_keys):
            raise ValueError("an API key must be printable ASCII without spaces around it")
        if min(self.max_plaintext_bytes, self.max_response_bytes, self.max_requests_in_flight) < 1:
            raise ValueError("the router's limits must be 1 or more")
        if self.crypto_threads < 1 or self.body_timeout_s <= 0:
            raise ValueError("crypto_threads must be 1 or more, body_timeout_s above 0")

    @property
    def max_body_bytes(self) -> int:
        """The longest package that is read: the longest plaintext in base64, and room for everything around it."""
        return 4 * (self.max_plaintext_bytes // 3 + 1) + 16 * 1024
