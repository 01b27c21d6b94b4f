"""What an agent is told of the proxy, and what is known of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

TOKEN_VARIABLE: Final = "NOMYO_LAUNCH_TOKEN"  # noqa: S105 - the name of a variable
"""Carries the proxy's token to agents that have no variable of their own for it."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The proxy of one agent, and the model behind it.

    Args:
        url: The proxy's address, without `/v1`.
        token: The token that the proxy wants.
        model: The model that the agent shall use for everything.
        patience_s: Seconds that an answer may take: it comes whole, and nothing of it before its end.
    """

    url: str
    token: str = field(repr=False)
    model: str
    patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What is known of an agent.

    Args:
        title: What it is called.
        package: Its package on npm.
        arguments: Makes the words that stand before the user's own on its command line. None of them is a secret.
        environment: Makes the variables by which it finds the proxy.
        switches: The variables that switch off its telemetry and update checks.
        withheld: How the names of variables begin that could lead it past the proxy; it does not get them.
    """

    title: str
    package: str
    arguments: Callable[[Sealed], list[str]]
    environment: Callable[[Sealed], dict[str, str]]
    switches: Mapping[str, str]
    withheld: tuple[str, ...]
