"""The header file `OUTPUT.batch`: an output's input, the order of its rows, and the key that they are sealed for.

It holds no content. Whoever can read it can check a guess at the whole input by the digest. For a sealed output, the
digest is salted and slow, so that each guess takes as long as a guess at a password. It has no secret key, because that
key would have to be kept somewhere, and a batch goes on with nothing but its own arguments.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any, Final

from nomyo._files.opening import open_to_read
from nomyo.batch.input_lines import Survey
from nomyo.errors import BatchError

SUFFIX: Final = ".batch"
MAX_BYTES: Final = 4096
_FORMAT: Final = 1
_BEGIN: Final = b'{"format": '
_MAX_ROWS: Final = 10**18
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ROUNDS: Final = 600_000
"""Rounds of PBKDF2, as for passwords."""


class Header:
    """What a run expects in the header, or writes into a new one.

    Args:
        survey: What identifies the input.
        ordered: Whether the finished output has the order of the input.
        sealed_for: The fingerprint of the key that rows are sealed for; None if they are not sealed.
        rows_per_part: If the output consists of many files, how many rows of the input each is for; else None.
    """

    def __init__(
        self, survey: Survey, *, ordered: bool, sealed_for: str | None, rows_per_part: int | None = None
    ) -> None:
        self._survey = survey
        self._ordered = ordered
        self._sealed_for = sealed_for
        self._rows_per_part = rows_per_part

    def encoded(self) -> bytes:
        """Return the content of the header file."""
        salt = None if self._sealed_for is None else secrets.token_hex(16)
        wanted = {
            "format": _FORMAT,
            "input": self._input(salt),
            "ordered": self._ordered,
            "sealed_for": self._sealed_for,
            "rows_per_part": self._rows_per_part,
        }
        return json.dumps(wanted, allow_nan=False).encode() + b"\n"

    def check(self, content: bytes, name: str, header_name: str) -> None:
        """Check that an existing output was begun with the same input and options.

        Args:
            content: The content of its header file.
            name: The output's name, for errors.
            header_name: The header file's name, for errors.

        Raises:
            BatchError: The header is damaged, or another input or other options were used.
        """
        begun = _parsed(content)
        if not _is_header(begun):
            raise BatchError(f"{header_name} is damaged, or of another version: name another output")
        self._check_key(begun.get("sealed_for"), name)
        if not self._is_input(begun.get("input")):
            raise BatchError(f"{self._survey.called} is not the one that {name} was begun with: name another output")
        if begun.get("ordered") != self._ordered:
            words = "with" if begun.get("ordered") else "without"
            raise BatchError(f"{name} was begun {words} --ordered: go on in the same way, or name another output")
        if begun.get("rows_per_part") != self._rows_per_part:
            raise BatchError(f"{name} was begun with rows_per_part={begun.get('rows_per_part')}: go on with that")

    def _check_key(self, begun: Any, name: str) -> None:
        if begun == self._sealed_for:
            return
        if begun is None:
            raise BatchError(f"{name} was begun without --encrypt-to: go on without it, or name another output")
        given = "" if self._sealed_for is None else f", not {self._sealed_for}"
        raise BatchError(f"{name} is sealed: it can only go on with --encrypt-to and the key {begun}{given}")

    def _is_input(self, begun: Any) -> bool:
        if not isinstance(begun, dict):
            return False
        salt = begun.get("salt")
        if self._sealed_for is not None and not isinstance(salt, str):
            return False
        return bool(begun == self._input(salt))

    def _input(self, salt: str | None) -> dict[str, Any]:
        survey = self._survey
        if salt is None:
            return {"size_bytes": survey.size_bytes, "sha256": survey.sha256}
        slow = hashlib.pbkdf2_hmac("sha256", survey.sha256.encode(), salt.encode(), _ROUNDS)
        return {"size_bytes": survey.size_bytes, "salt": salt, "pbkdf2_sha256": slow.hex()}


def is_foreign(content: bytes) -> bool:
    """Return whether a file is neither a header nor what a power loss left of one, and so belongs to somebody else."""
    return bool(content.strip(b"\0")) and not content.startswith(_BEGIN)


def header_of(output: Path) -> Path:
    """Return the path of an output's header: beside the file itself, even if the output is named through links."""
    output = Path(os.path.realpath(output))
    return output.with_name(output.name + SUFFIX)


def sealed_for(output: Path) -> str | None:
    """Return the fingerprint of the key that an output is sealed for; None if it is not sealed or has no header."""
    try:
        with open(open_to_read(header_of(output)), "rb") as file:
            begun = _parsed(file.read(MAX_BYTES))
    except OSError:
        return None
    return begun.get("sealed_for") if _is_header(begun) else None


def _parsed(content: bytes) -> dict[str, Any]:
    """Return the content of a header; an empty dict if it is not a JSON object."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _is_header(begun: dict[str, Any]) -> bool:
    """Return whether a header has this version's form. Errors quote its values, so these must be of a known form."""
    fingerprint, rows_per_part = begun.get("sealed_for"), begun.get("rows_per_part")
    return (
        type(begun.get("format")) is int
        and begun["format"] == _FORMAT
        and isinstance(begun.get("ordered"), bool)
        and (fingerprint is None or (isinstance(fingerprint, str) and bool(_FINGERPRINT.fullmatch(fingerprint))))
        and (rows_per_part is None or (type(rows_per_part) is int and 0 < rows_per_part <= _MAX_ROWS))
    )
