"""In what condition a key directory is, as far as that can be told without opening the private key.

What the clients refuse (links, foreign owners; `rust/core/src/key_files`) is a finding here too, and so is what they
accept and should not have to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PRIVATE: Final = "private_key.pem"
PUBLIC: Final = "public_key.pem"
_STAGED: Final = (".private_key.pem.new", ".public_key.pem.new")
_BY_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, and what to do about it."""

    path: str
    problem: str
    advice: str


def findings(key_dir: Path) -> Iterator[Finding]:
    """Yield what is wrong with a key directory, its files and the directories above it.

    Raises:
        OSError: There is no such directory, or it cannot be searched.
    """
    status = key_dir.lstat()
    if not stat.S_ISDIR(status.st_mode):
        yield _of_kind(key_dir, status, "directory")
        return
    yield from _of_owner(key_dir, status)
    if status.st_mode & _WRITABLE_BY_OTHERS:
        yield _finding(key_dir, "others can exchange the files in it", f"chmod 700 {key_dir}")
    yield from _above(key_dir)
    yield from _private(key_dir / PRIVATE)
    yield from _public(key_dir / PUBLIC, has_private=os.path.lexists(key_dir / PRIVATE))
    yield from _staged(key_dir)


def _private(path: Path) -> Iterator[Finding]:
    try:
        status = path.lstat()
    except FileNotFoundError:
        yield _finding(path, "there is none", "nomyo keys generate")
        return
    if not stat.S_ISREG(status.st_mode):
        yield _of_kind(path, status, "regular file")
        return
    yield from _of_owner(path, status)
    if status.st_mode & _BY_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        yield _finding(path, f"its mode {mode:04o} lets others in", f"chmod 600 {path}; nomyo keys rotate")
    if status.st_nlink > 1:
        problem = f"it has {status.st_nlink} names (hard links): another may outlive a rotation"
        yield _finding(path, problem, f"find and remove the others (find / -xdev -samefile {path})")


def _public(path: Path, *, has_private: bool) -> Iterator[Finding]:
    try:
        status = path.lstat()
    except FileNotFoundError:
        if has_private:
            yield _finding(path, "there is none", "nothing depends on it; nomyo keys rotate writes one")
        return
    if not stat.S_ISREG(status.st_mode):
        yield _of_kind(path, status, "regular file")
        return
    yield from _of_owner(path, status)
    if status.st_mode & _WRITABLE_BY_OTHERS:
        yield _finding(path, "others can write to it", f"chmod 644 {path}")


def _staged(key_dir: Path) -> Iterator[Finding]:
    for path in (key_dir / name for name in _STAGED):
        if os.path.lexists(path):
            problem = "a replacement that did not end left it behind"
            yield _finding(path, problem, "start a client with this directory, or nomyo keys rotate: both remove it")


def _above(key_dir: Path) -> Iterator[Finding]:
    """Look at the directories above: who may write in one may put another directory in the place of ours."""
    for path in key_dir.absolute().parents:
        status = path.stat()
        yield from _of_owner(path, status)
        if status.st_mode & _WRITABLE_BY_OTHERS and not status.st_mode & stat.S_ISVTX:
            yield _finding(path, f"others can exchange what is in it, {key_dir} too", f"chmod go-w {path}")


def _of_owner(path: Path, status: os.stat_result) -> Iterator[Finding]:
    if status.st_uid not in (os.geteuid(), 0):
        yield _finding(path, f"it belongs to user {status.st_uid}", f"chown {os.geteuid()} {path}")


def _of_kind(path: Path, status: os.stat_result, wanted: str) -> Finding:
    if stat.S_ISLNK(status.st_mode):
        return _finding(path, "it is a symbolic link, which is not followed", "put the real one in its place")
    return _finding(path, f"it is not a {wanted}", "move it away; nomyo keys generate")


def _finding(path: Path, problem: str, advice: str) -> Finding:
    return Finding(str(path), problem, advice)
