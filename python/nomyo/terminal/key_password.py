"""The password of a key pair: from a file, or asked for where the pair has one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import typer

from nomyo.exchange.settings import SHORTEST_PASSWORD
from nomyo.memory import SecureBuffer
from nomyo.terminal import password
from nomyo.terminal.command_app import tell

# RFC 7468, section 11. A plain key of the same length begins with a label and the DER's first, constant bytes.
_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_READABLE_BY_OTHERS: Final = 0o077


def password_for(name: str, key_dir: Path, password_file: Path | None) -> SecureBuffer | None:
    """Return the password that opens a pair; None where it needs none. The caller closes it.

    Raises:
        OSError, ValueError: The file cannot be read.
        typer.BadParameter: It has to be asked for, and there is no terminal.
    """
    return _password_for(name, key_dir / "private_key.pem", key_dir, password_file)


def password_for_file(name: str, private_key: Path, password_file: Path | None) -> SecureBuffer | None:
    """Return the password that opens a private key's PEM, in the way of `password_for`."""
    return _password_for(name, private_key, private_key, password_file)


def new_password(name: str, password_file: Path | None, option: str) -> SecureBuffer:
    """Return a password for a pair that is to be written; raises as `password_for`. The caller closes it.

    Args:
        name: Of the command.
        password_file: Holds it; it is asked for where None.
        option: What names such a file.
    """
    if password_file is not None:
        return read_password_file(name, password_file)
    what = f"New password, at least {SHORTEST_PASSWORD} characters"
    return _ask(lambda: password.ask_twice(what), f"{option} or --no-password")


def read_password_file(name: str, path: Path) -> SecureBuffer:
    """Read a password from a file, with a warning where others can, too."""
    if _lets_others_read(path):
        tell(name, f"warning: others can read {path}: chmod 600")
    return password.from_file(path)


def is_encrypted(private_key: Path) -> bool:
    """Say whether a private key's file is labelled as encrypted; nothing else of it is read.

    False where it cannot be read: whoever opens it says why.
    """
    try:
        descriptor = os.open(private_key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.read(descriptor, len(_ENCRYPTED)) == _ENCRYPTED
    finally:
        os.close(descriptor)


def _password_for(name: str, private_key: Path, called: Path, password_file: Path | None) -> SecureBuffer | None:
    if password_file is not None:
        return read_password_file(name, password_file)
    if not is_encrypted(private_key):
        return None
    return _ask(lambda: password.ask(f"Password of {called}: "), "--password-file")


def _ask(question: Callable[[], SecureBuffer], option: str) -> SecureBuffer:
    try:
        return question()
    except password.NoTerminalError:
        raise typer.BadParameter(f"a password is needed, and there is no terminal to ask on: give {option}") from None
    except EOFError:
        raise typer.Abort from None


def _lets_others_read(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & _READABLE_BY_OTHERS)
