"""The options of every command that speaks to a router, and what they are for its client."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from nomyo.exchange.settings import DEFAULT_BASE_URL


class Tier(StrEnum):
    """Security tiers."""

    STANDARD = "standard"
    HIGH = "high"
    MAXIMUM = "maximum"


BaseUrl: TypeAlias = Annotated[
    str | None, typer.Option(metavar="URL", help=f"The router; {DEFAULT_BASE_URL} by default.")
]
AllowHttp: TypeAlias = Annotated[bool, typer.Option("--allow-http", help="Allow plain HTTP: for local work only.")]
ServerKeyFingerprint: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="SHA256:...", help="Accept this key of the router and no other; repeatable."),
]
KeyDir: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Use the key pair there; without, a new one in memory.")
]
RequireLockedMemory: TypeAlias = Annotated[
    bool, typer.Option("--require-locked-memory", help="Refuse to work where memory cannot be locked.")
]
SecurityTier: TypeAlias = Annotated[
    Tier | None,
    typer.Option("--security-tier", "--tier", help="The security tier that is asked for.", case_sensitive=False),
]
Timeout: TypeAlias = Annotated[float, typer.Option(help="Seconds that each wait for the router may take.", min=0.001)]


def client_options(
    *,
    base_url: str | None,
    allow_http: bool,
    server_key_fingerprint: list[str] | None,
    key_dir: Path | None,
    require_locked_memory: bool,
    timeout: float,
) -> dict[str, Any]:
    """Return these options as `SecureCompletionClient` takes them; rotated keys go to the directory of the others."""
    return {
        "router_url": DEFAULT_BASE_URL if base_url is None else base_url,
        "allow_http": allow_http,
        "server_key_fingerprint": server_key_fingerprint or None,
        "key_dir": key_dir,
        "key_rotation_dir": key_dir,
        "secure_memory": "require" if require_locked_memory else True,
        "timeout": timeout,
    }
