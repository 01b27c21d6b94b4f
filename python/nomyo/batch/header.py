"""What `OUTPUT.batch` says: the input that an output belongs to, the order of its rows, and for whom they are sealed.

It holds no content. Whoever can read it can check a guess at the whole input by the digest. Beside a sealed output the
digest is salted and slow, so that each guess takes as long as one at a password; a key to it would have to be kept
somewhere, and a batch goes on with what it was given.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final

from nomyo.batch.lines import Survey
from nomyo.errors import BatchError

SUFFIX: Final = ".batch"
LONGEST_BYTES: Final = 4096
_FORMAT: Final = 1
_BEGIN: Final = b'{"format": '
_ROUNDS: Final = 600_000
"""Of PBKDF2, as for passwords."""


class Header:
    """What a run expects of the header, or writes into a new one.

    Args:
        survey: The input's.
        ordered: Whether rows stand in the order of the input's at the end.
        sealed_for: The fingerprint of the key that rows are sealed for; None where they are not.
        rows_per_part: Of an output in many files, how many rows of the input each is for.
    """

    def __init__(
        self, survey: Survey, *, ordered: bool, sealed_for: str | None, rows_per_part: int | None = None
    ) -> None:
        self._survey = survey
        self._ordered = ordered
        self._sealed_for = sealed_for
        self._rows_per_part = rows_per_part

    def encoded(self) -> bytes:
        """Return it as it is written."""
        salt = None if self._sealed_for is None else secrets.token_hex(16)
        wanted = {
            "format": _FORMAT,
            "input": self._input(salt),
            "ordered": self._ordered,
            "sealed_for": self._sealed_for,
            "rows_per_part": self._rows_per_part,
        }
        return json.dumps(wanted).encode() + b"\n"

    def check(self, content: bytes, name: str, header_name: str) -> None:
        """Hold an output that was begun to what it was begun with.

        Args:
            content: Of its header.
            name: The output's.
            header_name: The header's own.

        Raises:
            BatchError: It is damaged, or says something else.
        """
        begun = _parsed(content)
        if begun.get("format") != _FORMAT:
            raise BatchError(f"{header_name} is damaged, or of another version: name another output")
        self._check_key(begun.get("sealed_for"), name)
        if not self._is_input(begun.get("input")):
            raise BatchError(f"the input is not the one that {name} was begun with: name another output")
        if begun.get("ordered") != self._ordered:
            words = "with" if begun.get("ordered") else "without"
            raise BatchError(f"{name} was begun {words} --ordered: it can only go on so")
        if begun.get("rows_per_part") != self._rows_per_part:
            raise BatchError(f"{name} was begun with rows_per_part={begun.get('rows_per_part')}: go on with that")

    def _check_key(self, begun: Any, name: str) -> None:
        if begun == self._sealed_for:
            return
        if begun is None:
            raise BatchError(f"{name} was begun without --encrypt-to: it can only go on so, or name another output")
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
    """Return whether a file is no header, nor what a power loss left of one: somebody else's, then."""
    return bool(content.strip(b"\0")) and not content.startswith(_BEGIN)


def header_of(output: Path) -> Path:
    """Return where the header of an output is: beside the file itself, where links lead to it."""
    output = Path(os.path.realpath(output))
    return output.with_name(output.name + SUFFIX)


def sealed_for(output: Path) -> str | None:
    """Return the fingerprint of the key that an output is sealed for, where its header is there and says so."""
    try:
        with header_of(output).open("rb") as file:
            fingerprint = _parsed(file.read(LONGEST_BYTES)).get("sealed_for")
    except OSError:
        return None
    return fingerprint if isinstance(fingerprint, str) else None


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
