"""The environment of an agent's process: this process's own, without secrets of ours, and with the way to the proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nomyo.cli.launch.agent import Agent, Sealed

# Secrets of ours. What an agent has, the tools have that its model calls.
_SECRETS: Final = frozenset(
    {"NOMYO_API_KEY", "NOMYO_PROXY_TOKEN", "NOMYO_ROUTER_API_KEYS", "NOMYO_ROUTER_UPSTREAM_API_KEY"}
)
_LOOPBACK: Final = ("127.0.0.1", "localhost")


def surroundings(agent: Agent, sealed: Sealed, own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an agent's process.

    Args:
        agent: The agent.
        sealed: Its proxy.
        own: The environment of this process.
    """
    kept = {name: value for name, value in own.items() if name not in _SECRETS and not name.startswith(agent.withheld)}
    return {**kept, **_reached_directly(own), "DO_NOT_TRACK": "1", **agent.switches, **agent.environment(sealed)}


def _reached_directly(own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep requests for our proxy from going through another one, which would read them."""
    listed = own.get("no_proxy", own.get("NO_PROXY", ""))
    hosts = ",".join(filter(None, [listed, *_LOOPBACK]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}
