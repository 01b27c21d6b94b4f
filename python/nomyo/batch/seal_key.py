"""The keys of a sealed output, as a user names them: the public key for a run, the private key to read its output."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from nomyo import _core
from nomyo._files.opening import open_to_read
from nomyo._warn import warn
from nomyo.batch.sealed import Seal
from nomyo.errors import SecurityError
from nomyo.exchange.key_file_warnings import warnings_of
from nomyo.exchange.settings import DEFAULT_KEY_DIR
from nomyo.memory import SecureBuffer

_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_MAX_BYTES: Final = 64 * 1024
# What users often give in place of a public key, and how they get the public key from it.
_MISTAKEN: Final = {
    "PRIVATE KEY": "a private key, which is not for here: `openssl pkey -in PATH -pubout` prints the public one",
    "CERTIFICATE": "a certificate: `openssl x509 -in PATH -noout -pubkey` prints its public key",
    "RSA PUBLIC KEY": "a public key as PKCS#1: `openssl rsa -RSAPublicKey_in -in PATH -pubout` prints it as SPKI",
}


def seal_to(path: str | os.PathLike[str] | None, client_options: Mapping[str, Any]) -> Seal | None:
    """Return the seal for the public key in a file; None if `path` is None.

    Args:
        path: The PEM file of an RSA public key.
        client_options: The options of the client that sends. Its own key is refused.

    Raises:
        ValueError: The file holds no public key, or the client's own key.
        OSError: The file cannot be read.
    """
    if path is None:
        return None
    key = read_public_key(path)
    _refuse_own(key, (client_options.get(name, DEFAULT_KEY_DIR) for name in ("key_dir", "key_rotation_dir")))
    return Seal(key, locked_required=client_options.get("secure_memory") == "require")


def read_public_key(path: str | os.PathLike[str]) -> _core.PublicKey:
    """Read the key that rows are to be sealed for: an RSA key of 2048 to 8192 bits, as SPKI in PEM.

    The file is read into locked memory. Its content leaves that memory only if nothing in it is private.

    Raises:
        ValueError: The file holds something else; the message says what.
        OSError: The file cannot be read.
    """
    path = Path(os.fspath(path))
    found = "a file that is too long for a key" if _is_too_long(path) else _key_or_fault(path)
    if isinstance(found, str):
        raise ValueError(f"encrypt_to must be an RSA public key in PEM: {path} holds {found}")
    return found


def open_private_key(
    key_dir: str | os.PathLike[str] | None,
    private_key: str | os.PathLike[str] | None,
    password: str | SecureBuffer | None,
) -> _core.PrivateKey | None:
    """Open the private key of a sealed output, from a key directory or a PEM file; return None if neither is given.

    Raises:
        ValueError: Both are given.
        SecurityError: The key cannot be opened: wrong password, a damaged file, a link, a foreign owner.
        OSError: A file cannot be read.
    """
    if key_dir is not None and private_key is not None:
        raise ValueError("give key_dir or private_key, not both")
    if key_dir is not None:
        key, condition = _core.load_key_directory(key_dir, password)
        place = key_dir
    elif private_key is not None:
        key, condition = _core.load_key_pair(private_key, None, password)
        place = private_key
    else:
        return None
    for note in warnings_of(condition, place):  # below the caller are `clears_traceback` and `read`
        warn(note, stacklevel=4)
    return key


def _refuse_own(key: _core.PublicKey, directories: Iterable[Any]) -> None:
    """Refuse the key of the client's own pair: a rotation replaces that pair, and then nothing opens the rows.

    Args:
        key: The key that rows are to be sealed for.
        directories: The directories in which the client has its key pair, or writes a new one; None is skipped.

    Raises:
        ValueError: The key is the one in such a directory.
    """
    for directory in directories:
        if directory is not None and _public_key_in(Path(os.fspath(directory))) == key:
            raise ValueError(
                "encrypt_to must not be the key of the client itself, which is rotated: nothing opens the rows then; "
                "`nomyo keys generate --key-dir DIR` makes another"
            )


def _public_key_in(directory: Path) -> _core.PublicKey | None:
    try:
        with open(open_to_read(directory / "public_key.pem"), "rb") as file:
            return _core.PublicKey.from_pem(file.read(_MAX_BYTES))
    except (OSError, SecurityError):  # the client that uses the directory reports what is wrong with it
        return None


def _is_too_long(path: Path) -> bool:
    return path.stat().st_size > _MAX_BYTES


def _key_or_fault(path: Path) -> _core.PublicKey | str:
    """Return the key in a file, or words on what the file holds instead."""
    with SecureBuffer.from_file(path) as content, content.data as view:
        labels = {label.decode() for label in _LABEL.findall(view)}
        if any("PRIVATE KEY" in label for label in labels):
            return _MISTAKEN["PRIVATE KEY"].replace("PATH", str(path))
        for label in sorted(labels & _MISTAKEN.keys()):
            return _MISTAKEN[label].replace("PATH", str(path))
        if labels != {"PUBLIC KEY"}:
            return "no PEM block labelled PUBLIC KEY"
        pem = bytes(view)
    try:
        return _core.PublicKey.from_pem(pem)
    except SecurityError as error:
        return f"something else: {error}"
