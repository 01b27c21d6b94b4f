"""The keys of a sealed output, as a user names them: the public one for a run, the private one to read it."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from nomyo import _core
from nomyo.batch.sealed import Seal
from nomyo.errors import SecurityError
from nomyo.exchange.settings import DEFAULT_KEY_DIR
from nomyo.memory import SecureBuffer

_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_LONGEST_BYTES: Final = 64 * 1024
# What is often taken for a public key, and how its public key is got at.
_MISTAKEN: Final = {
    "PRIVATE KEY": "a private key, which is not for here: `openssl pkey -in PATH -pubout` prints the public one",
    "CERTIFICATE": "a certificate: `openssl x509 -in PATH -noout -pubkey` prints its public key",
    "RSA PUBLIC KEY": "a public key as PKCS#1: `openssl rsa -RSAPublicKey_in -in PATH -pubout` prints it as SPKI",
}


def seal_to(path: str | os.PathLike[str] | None, client_options: Mapping[str, Any]) -> Seal | None:
    """Return the seal for a public key's file; None where there is none to be sealed for.

    Args:
        path: As `read_public_key` takes it.
        client_options: Of the client that sends: the key must be none of its own.

    Raises:
        ValueError: It holds no public key, or the client's own.
        OSError: It cannot be read.
    """
    if path is None:
        return None
    key = read_public_key(path)
    _refuse_own(key, (client_options.get(name, DEFAULT_KEY_DIR) for name in ("key_dir", "key_rotation_dir")))
    return Seal(key, locked_required=client_options.get("secure_memory") == "require")


def read_public_key(path: str | os.PathLike[str]) -> _core.PublicKey:
    """Read the key that rows are to be sealed for: an RSA key of 2048 to 8192 bits, as SPKI in PEM.

    The file is read into locked memory, and leaves that only when nothing in it is private.

    Raises:
        ValueError: It holds something else, which is named.
        OSError: It cannot be read.
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
    """Open the key that rows were sealed for, from a key directory or a PEM; None where neither is given.

    Raises:
        ValueError: Both are given.
        SecurityError: It cannot be opened: wrong password, damaged, a link, a foreign owner.
        OSError: It cannot be read.
    """
    if key_dir is not None and private_key is not None:
        raise ValueError("give key_dir or private_key, not both")
    if key_dir is not None:
        key, too_open = _core.load_key_directory(key_dir, password)
    elif private_key is not None:
        key, too_open = _core.load_key_pair(private_key, None, password)
    else:
        return None
    for path in too_open:  # below the caller are `discreet` and `read`
        warnings.warn(
            f"{path} can be read or changed by others: set its mode to 0600 (a directory's to 0700)", stacklevel=4
        )
    return key


def _refuse_own(key: _core.PublicKey, directories: Iterable[Any]) -> None:
    """Refuse the key pair of the client itself, which is replaced every day: nothing would open the rows then.

    Args:
        key: That rows are to be sealed for.
        directories: Where the client has its key pair, or writes a new one; those that are None count for nothing.

    Raises:
        ValueError: It is the one in such a directory.
    """
    for directory in directories:
        if directory is not None and _public_key_in(Path(os.fspath(directory))) == key:
            raise ValueError(
                "encrypt_to must not be the key of the client itself, which is rotated: nothing opens the rows then; "
                "`nomyo keys generate --key-dir DIR` makes another"
            )


def _public_key_in(directory: Path) -> _core.PublicKey | None:
    try:
        return _core.PublicKey.from_pem((directory / "public_key.pem").read_bytes())
    except (OSError, SecurityError):  # whoever uses the directory says what is wrong with it
        return None


def _is_too_long(path: Path) -> bool:
    return path.stat().st_size > _LONGEST_BYTES


def _key_or_fault(path: Path) -> _core.PublicKey | str:
    """Return the key in a file, or what is there instead of one."""
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
