"""Gets the password of a key pair from a file, or asks for it if the pair has one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import typer

from nomyo import _core
from nomyo.cli import password_prompt
from nomyo.cli.command_app import report
from nomyo.errors import SecurityError
from nomyo.exchange.passwords import from_file
from nomyo.exchange.settings import SHORTEST_PASSWORD
from nomyo.memory import SecureBuffer

_READABLE_BY_OTHERS: Final = 0o077


def password_for(name: str, key_dir: Path, password_file: Path | None) -> SecureBuffer | None:
    """Return the password that opens a pair; None if it needs none. The caller closes it.

    Raises:
        OSError, ValueError: The file cannot be read.
        typer.BadParameter: The password has to be asked for, and there is no terminal.
    """
    return _password_for(name, key_dir / "private_key.pem", key_dir, password_file)


def password_for_file(name: str, private_key: Path, password_file: Path | None) -> SecureBuffer | None:
    """Return the password that opens a private key's PEM file, as `password_for` does for a directory."""
    return _password_for(name, private_key, private_key, password_file)


def new_password(name: str, password_file: Path | None, option: str) -> SecureBuffer:
    """Return a password for a pair that is to be written; raises as `password_for`. The caller closes it.

    Args:
        name: The command's name.
        password_file: The file with the password; None asks on the terminal.
        option: The option that names such a file.
    """
    if password_file is not None:
        return read_password_file(name, password_file)
    what = f"New password, at least {SHORTEST_PASSWORD} characters"
    return _ask(lambda: password_prompt.ask_twice(what), f"{option} or --no-password")


def read_password_file(name: str, path: Path) -> SecureBuffer:
    """Read a password from a file. If others can read the file, too, write a warning."""
    if _lets_others_read(path):
        report(name, f"warning: others can read {path}: chmod 600")
    return from_file(path)


def is_encrypted(private_key: Path) -> bool:
    """Return whether a private key's file is encrypted. The file is read into locked memory.

    Returns False if it cannot be read; opening it will then say why.
    """
    try:
        return _core.is_encrypted_key_file(private_key)
    except (SecurityError, OSError):
        return False


def _password_for(name: str, private_key: Path, called: Path, password_file: Path | None) -> SecureBuffer | None:
    if password_file is not None:
        return read_password_file(name, password_file)
    if not is_encrypted(private_key):
        return None
    return _ask(lambda: password_prompt.ask(f"Password of {called}: "), "--password-file")


def _ask(question: Callable[[], SecureBuffer], option: str) -> SecureBuffer:
    try:
        return question()
    except password_prompt.NoTerminalError:
        raise typer.BadParameter(f"a password is needed, and there is no terminal to ask on: give {option}") from None
    except EOFError:
        raise typer.Abort from None


def _lets_others_read(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    is_judged = os.name == "posix" and stat.S_ISREG(status.st_mode)  # Windows makes up the modes that it tells
    return is_judged and bool(status.st_mode & _READABLE_BY_OTHERS)
