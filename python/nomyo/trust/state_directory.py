r"""Where files of a user's state are by default.

Linux and the like: `$XDG_STATE_HOME/nomyo`, or `~/.local/state/nomyo` (XDG Base Directory Specification 0.8). macOS:
`~/Library/Application Support/nomyo`. Windows: `%LOCALAPPDATA%\nomyo`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def state_directory() -> Path:
    """Return the directory; it need not exist.

    Raises:
        ValueError: The user has no home directory.
    """
    try:
        return _base() / "nomyo"
    except RuntimeError:  # of `Path.home`
        raise ValueError("this user has no home directory: name the file") from None


def make_state_directory() -> None:
    """Make the directory, and those above it, for this user alone."""
    directory = state_directory()
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def _base() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if os.name == "nt" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local)
    named = os.environ.get("XDG_STATE_HOME", "")
    # The specification says to ignore a relative path.
    return Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state"
