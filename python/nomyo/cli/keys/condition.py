"""Checks the condition of a key directory, as far as that is possible without opening the private key.

What the clients refuse (links that others could exchange, foreign owners; `rust/core/src/key_files`) is a finding here
too, and so is what they accept and should not have to. On Windows neither owners nor who may open a file are examined:
a client warns of these when it loads the pair.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nomyo import _core
from nomyo.errors import SecurityError

PRIVATE: Final = "private_key.pem"
PUBLIC: Final = "public_key.pem"
_STAGED: Final = (".private_key.pem.new", ".public_key.pem.new")
_BY_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and what to do about it."""

    path: str
    problem: str
    advice: str


def findings(key_dir: Path) -> Iterator[Finding]:
    """Yield the problems of a key directory, its files and the directories above it.

    Raises:
        OSError: There is no such directory, or it cannot be searched.
    """
    status = key_dir.lstat()
    if not stat.S_ISDIR(status.st_mode):
        yield _of_kind(key_dir, status, "directory")
        return
    yield from _of_owner(key_dir, status)
    if _lets_in(status, _WRITABLE_BY_OTHERS) and not _is_secret_volume(key_dir, status):
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
    is_linked = stat.S_ISLNK(status.st_mode)
    judged = _followed(path) if is_linked else status
    if isinstance(judged, Finding):
        yield judged
        return
    yield from _of_file(path, judged)
    if _lets_in(judged, _BY_OTHERS):
        secret = f"chmod 600 {path}; a mounted secret: `defaultMode: 0400`"
        advice = secret if is_linked else f"chmod 600 {path}; nomyo keys rotate"
        yield _finding(path, f"its mode {stat.S_IMODE(judged.st_mode):04o} lets others in", advice)
    if judged.st_nlink > 1:
        problem = f"it has {judged.st_nlink} names (hard links): another may outlive a rotation"
        yield _finding(path, problem, f"find and remove the others (find / -xdev -samefile {path})")


def _public(path: Path, *, has_private: bool) -> Iterator[Finding]:
    try:
        status = path.lstat()
    except FileNotFoundError:
        if has_private:
            yield _finding(path, "there is none", "nothing depends on it; nomyo keys rotate writes one")
        return
    judged = _followed(path) if stat.S_ISLNK(status.st_mode) else status
    if isinstance(judged, Finding):
        yield judged
        return
    yield from _of_file(path, judged)
    if _lets_in(judged, _WRITABLE_BY_OTHERS):
        yield _finding(path, "others can write to it", f"chmod 644 {path}")


def _lets_in(status: os.stat_result, bits: int) -> bool:
    """Return whether a mode has some of these bits; Windows has no modes, and makes up those that it tells."""
    return os.name == "posix" and bool(status.st_mode & bits)


def _of_file(path: Path, status: os.stat_result) -> Iterator[Finding]:
    if stat.S_ISREG(status.st_mode):
        yield from _of_owner(path, status)
    else:
        yield _of_kind(path, status, "regular file")


def _followed(path: Path) -> os.stat_result | Finding:
    """Return the status of a link's target, or why clients do not follow the link."""
    try:
        _core.is_encrypted_key_file(path)  # by the rules for links, whatever is in it
        return path.stat()
    except SecurityError as error:
        advice = "put the real file in its place, or let nobody else exchange a link or directory on the way"
        return _finding(path, f"it {str(error).removeprefix(f'{path}: ')}", advice)
    except OSError as error:
        return _finding(path, f"it is a symbolic link, and does not open: {error.strerror}", "put the real file there")


def _is_secret_volume(key_dir: Path, status: os.stat_result) -> bool:
    """Return whether this is a secret as Kubernetes mounts it: sticky, so that nobody else can exchange its links."""
    return bool(status.st_mode & stat.S_ISVTX) and (key_dir / PRIVATE).is_symlink()


def _staged(key_dir: Path) -> Iterator[Finding]:
    for path in (key_dir / name for name in _STAGED):
        if os.path.lexists(path):
            problem = "a replacement that did not end left it behind"
            yield _finding(path, problem, "start a client with this directory, or nomyo keys rotate: both remove it")


def _above(key_dir: Path) -> Iterator[Finding]:
    """Check the directories above: whoever may write in one of them may replace our directory by another."""
    for path in key_dir.absolute().parents:
        status = path.stat()
        yield from _of_owner(path, status)
        if _lets_in(status, _WRITABLE_BY_OTHERS) and not status.st_mode & stat.S_ISVTX:
            yield _finding(path, f"others can exchange what is in it, {key_dir} too", f"chmod go-w {path}")


def _of_owner(path: Path, status: os.stat_result) -> Iterator[Finding]:
    if hasattr(os, "geteuid") and status.st_uid not in (os.geteuid(), 0):
        yield _finding(path, f"it belongs to user {status.st_uid}", f"chown {os.geteuid()} {path}")


def _of_kind(path: Path, status: os.stat_result, wanted: str) -> Finding:
    if stat.S_ISLNK(status.st_mode):
        return _finding(path, "it is a symbolic link, which is not followed", "put the real one in its place")
    return _finding(path, f"it is not a {wanted}", "move it away; nomyo keys generate")


def _finding(path: Path, problem: str, advice: str) -> Finding:
    return Finding(str(path), problem, advice)
