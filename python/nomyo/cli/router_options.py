"""The options that all commands share which speak to a router, and their form for the client."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from nomyo.cli.option_groups import takes_options
from nomyo.errors import SecurityError
from nomyo.exchange.protocol import check_header_value
from nomyo.exchange.settings import DEFAULT_BASE_URL, PATIENT_TIMEOUT_S, ClientOptions
from nomyo.trust.known_routers import default_path


class Tier(StrEnum):
    """Security tiers."""

    STANDARD = "standard"
    HIGH = "high"
    MAXIMUM = "maximum"


class Attest(StrEnum):
    """What is done with the attestation of a router's TPM."""

    IGNORE = "ignore"
    CHECK = "check"
    REQUIRE = "require"


HideMemory: TypeAlias = Annotated[
    bool, typer.Option("--hide-memory", help="Keep keys and content where not even root can read them.")
]
SecurityTier: TypeAlias = Annotated[
    Tier | None,
    typer.Option(
        "--security-tier",
        "--tier",
        metavar="standard|high|maximum",
        help="The security tier of requests.",
        case_sensitive=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOptions:
    """The options of every command that speaks to a router. A new field becomes an option of all of them."""

    base_url: Annotated[str | None, typer.Option(metavar="URL", help=f"The router; {DEFAULT_BASE_URL} by default.")] = (
        None
    )
    allow_http: Annotated[bool, typer.Option("--allow-http", help="Allow plain HTTP: for local work only.")] = False
    server_key_fingerprint: Annotated[
        list[str] | None,
        typer.Option(metavar="SHA256:...", help="Accept this key of the router and no other; repeatable."),
    ] = None
    known_routers: Annotated[
        Path | None,
        typer.Option(
            metavar="[PATH]",
            help="Remember the router's first key there, and refuse another one later; without PATH, in the file of"
            " `nomyo trust`.",
        ),
    ] = None
    attestation: Annotated[
        Attest,
        typer.Option(
            metavar="ignore|check|require",
            help="What is done with the attestation of the router's TPM: nothing; noted; required.",
            case_sensitive=False,
        ),
    ] = Attest.CHECK
    attestation_policy: Annotated[
        Path | None, typer.Option(metavar="PATH", help="TOML file that it is compared with (`nomyo trust record`).")
    ] = None
    key_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Use the key pair there; by default, a new one in memory.")
    ] = None
    require_locked_memory: Annotated[
        bool, typer.Option("--require-locked-memory", help="Refuse to work if memory cannot be locked.")
    ] = False
    pad_requests: Annotated[
        bool,
        typer.Option("--pad-requests", help="Pad requests inside the seal, and ask for padded answers."),
    ] = False
    audit_log: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Add a hash-chained line to this file for each request.")
    ] = None
    audit_model: Annotated[bool, typer.Option("--audit-model", help="Name the model in the lines of --audit-log.")] = (
        False
    )
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Seconds for an answer's headers, then for its body; 60 at most for a connection.",
            min=0.001,
        ),
    ] = PATIENT_TIMEOUT_S

    def of_client(self) -> dict[str, Any]:
        """Return them as `SecureCompletionClient` takes them; rotated keys go to the directory of the others."""
        known = ClientOptions.__annotations__.keys() | {"allow_http", "timeout"}
        return {
            **{each.name: getattr(self, each.name) for each in fields(self) if each.name in known},
            "router_url": DEFAULT_BASE_URL if self.base_url is None else self.base_url,
            "attestation": self.attestation.value,
            "server_key_fingerprint": self.server_key_fingerprint or None,
            "key_rotation_dir": self.key_dir,
            "secure_memory": "require" if self.require_locked_memory else True,
        }


takes_router_options = takes_options(RouterOptions)
"""Returns a command for typer in which options take the place of its parameter of type `RouterOptions`."""


def with_default_file(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with the default file behind a `--known-routers` that has no value.

    Raises:
        typer.BadParameter: The user has no home directory.
    """
    option, ended, words = "--known-routers", False, []
    for word, following in zip_longest(arguments, arguments[1:], fillvalue="--"):
        ended = ended or word == "--"
        bare = word == option and not ended and following.startswith("-")
        words.append(f"{option}={_default_file()}" if bare else word)
    return words


def _default_file() -> str:
    try:
        return str(default_path())
    except ValueError as error:
        raise typer.BadParameter(f"--known-routers: {error}") from None


def check_api_key() -> None:
    """Refuse an API key that cannot be sent, as a mistake in what the command was given.

    Raises:
        typer.BadParameter: `NOMYO_API_KEY` holds one.
    """
    try:
        check_header_value("NOMYO_API_KEY", os.environ.get("NOMYO_API_KEY", ""))
    except SecurityError as error:
        raise typer.BadParameter(str(error)) from None
