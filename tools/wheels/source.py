"""The folder that is built: its commit, and the date of that."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A clone of the repository.

    commit: 40 hexadecimal digits, with `-dirty` behind them if files differ from it. date: of the commit, in seconds
    since 1970.
    """

    folder: Path
    commit: str
    date: int


def source(folder: Path) -> Source:
    """Look at a clone. Raises subprocess.CalledProcessError if `folder` is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    dirty = "-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else ""
    return Source(folder.resolve(), commit + dirty, int(_git(folder, "log", "-1", "--format=%ct")))


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
