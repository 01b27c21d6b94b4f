"""Finds a round of the throughput run."""

from __future__ import annotations

from typing import Any


def rate(run: dict[str, Any], client: str, at_once: int) -> dict[str, Any]:
    """Return what was measured of a client at a concurrency."""
    found: dict[str, Any] = next(r for r in run["rounds"] if (r["client"], r["at_once"]) == (client, at_once))
    return found
