"""The files of our own key pair: which of them a client reads and writes, and which it leaves alone.

Rules:

- A client writes a rotated pair over its own, or over one that it read from or wrote to that directory before. It
  leaves the pair of another program, and goes on to rotate in memory.
- If another client of the same directory has rotated meanwhile, this client uses that one's pair: it is what the next
  start would find there.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from .. import _core
from .._printable import printable
from .._system_errors import is_of_the_system
from ..errors import SecurityError
from .key_directory import make_key_directory
from .key_file_warnings import warnings_of
from .new_keys import NewKeys
from .settings import Password, Settings
from .trace import timed

T = TypeVar("T")

_PATH_CHARS = 4096
_IN_MEMORY = "; key_dir=None keeps the key pair in memory"


class OpenedKeys(NamedTuple):
    """A pair from a key directory, from two files, or newly generated."""

    private_key: _core.PrivateKey
    warnings: tuple[str, ...] = ()
    """What the user is to be warned of."""


class KeyFiles:
    """The key files of one client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, _core.PublicKey] = {}
        """By directory: the public half of the pair that this client last read from it, or wrote to it."""
        self._given: set[str] = set()
        """The warnings that the user had: each would come again at every rotation."""

    def open(self) -> OpenedKeys:
        """Open the pair in the key directory, or make one there; without a key directory, make one in memory."""
        settings = self._settings
        _core.warm_up()
        if settings.key_dir is None:
            return OpenedKeys(self._generated(settings.key_size))
        directory = os.fspath(settings.key_dir)
        return self._without_repeats(_naming("key_dir", lambda: self._opened(directory), _IN_MEMORY))

    def load(self, private_path: str, public_path: str | None, password: Password | None) -> OpenedKeys:
        """Read a pair from two files."""
        key, condition = _core.load_key_pair(private_path, public_path, password)
        self._known[os.path.dirname(private_path)] = key.public_key
        return OpenedKeys(key, tuple(warnings_of(condition, private_path)))

    def generate(self, new_keys: NewKeys) -> OpenedKeys:
        """Make a pair; if it is to be saved, write it over whatever pair is there."""
        key = self._generated(new_keys.bits)
        target = new_keys.directory
        if target is None:
            return OpenedKeys(key)
        make_key_directory(target)
        condition = _naming("key_dir", partial(_core.write_key_directory, target, key, new_keys.password))
        self._say_made(target)
        self._known[target] = key.public_key
        return OpenedKeys(key, tuple(warnings_of(condition, target)))

    def rotate(self, present: _core.PublicKey) -> OpenedKeys:
        """Make a pair that replaces the present one, and write it to the directory for rotated pairs."""
        return self._without_repeats(self._rotated(present))

    def _rotated(self, present: _core.PublicKey) -> OpenedKeys:
        settings = self._settings
        new = self._generated(settings.key_size)
        target = settings.rotation_target
        if target is None:
            return OpenedKeys(new)
        target = os.fspath(target)
        own = [present, self._known.get(target, present)]
        make_key_directory(target)
        rotate = partial(_core.rotate_key_directory, target, new, own, settings.key_rotation_password)
        condition = _naming("key_rotation_dir", rotate)
        if condition is None:
            return self._despite_foreign_pair(target, new)
        self._known[target] = new.public_key
        return OpenedKeys(new, tuple(warnings_of(condition, target)))

    def _despite_foreign_pair(self, target: str, new: _core.PrivateKey) -> OpenedKeys:
        """Return the pair to use if the directory holds a pair that is not ours."""
        found = self._reopened(target) if target in self._known else None
        if found is None:
            return OpenedKeys(new, (_foreign_pair_warning(target),))
        new.wipe()
        return found

    def _reopened(self, directory: str) -> OpenedKeys | None:
        """Return the pair that another client left in a directory; None if we cannot open it."""
        try:
            return self._opened(directory)
        except SecurityError:
            return None
        except OSError as error:
            if not is_of_the_system(error):
                raise
            return None

    def _opened(self, directory: str) -> OpenedKeys:
        settings = self._settings
        make_key_directory(directory)
        with timed(settings.log, "key directory opened"):
            key, created, condition, plain = _core.open_key_directory(
                directory, settings.key_size, settings.key_rotation_password
            )
        settings.log.debug("key pair %s: %s", "generated" if created else "loaded", key.public_key.fingerprint)
        if created:
            self._say_made(directory)
        self._known[directory] = key.public_key
        return OpenedKeys(key, (*warnings_of(condition, directory), *_plain_file_warnings(plain, directory)))

    def _say_made(self, directory: str) -> None:
        self._settings.log.info("a key pair was made in %s", printable(directory, _PATH_CHARS))

    def _generated(self, bits: int) -> _core.PrivateKey:
        with timed(self._settings.log, f"RSA-{bits} key pair generated"):
            return _core.PrivateKey.generate(bits)

    def _without_repeats(self, opened: OpenedKeys) -> OpenedKeys:
        """Leave out the warnings that the user had before."""
        warnings = tuple(warning for warning in opened.warnings if warning not in self._given)
        self._given.update(warnings)
        return opened._replace(warnings=warnings)


def _foreign_pair_warning(target: str) -> str:
    return (
        f"{target} holds a key pair that this client neither loaded nor wrote, or cannot open; it stays, and"
        " rotated pairs are in memory only: give the client a key_rotation_dir of its own (best its key_dir)"
    )


def _plain_file_warnings(path: str | None, directory: str) -> Iterator[str]:
    if path is not None:
        yield (
            f"{path} is not encrypted, although there is a key_rotation_password: encrypt it with"
            f" `nomyo keys password --key-dir {shlex.quote(directory)}`; the next rotation into it does, too"
        )


def _naming(option: str, work: Callable[[], T], way_out: str = "") -> T:
    """Return what `work` does; an error of the system gets the option's name, and the way out of a read-only place.

    The default directory is below the working directory, so a user may never have named the path of the error.
    """
    try:
        return work()
    except OSError as error:
        if not is_of_the_system(error):
            raise
        words = f"{option} cannot be used: {error.strerror}"
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            words += way_out
        naming = OSError(error.errno, words, error.filename)
    raise naming
