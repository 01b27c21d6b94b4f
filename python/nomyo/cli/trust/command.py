"""`nomyo trust`: the keys by which routers are known, attestations, and audit logs."""

from __future__ import annotations

from collections.abc import Sequence

from nomyo.cli.command_app import run
from nomyo.cli.trust import attested, audit_logs, known_keys, logged_keys
from nomyo.cli.trust.group import NAME, app

__all__ = ["app", "main"]

SUBCOMMANDS_IN = (known_keys, logged_keys, audit_logs, attested)
"""The modules whose import adds the subcommands to the group."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)
