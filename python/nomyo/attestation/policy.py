"""What an attestation is compared with: values of PCRs, keys, roots, and the verdict that is the least.

A policy is a mapping, or a TOML file of the same form:

    least = "as-pinned"

    [pcrs.sha256]
    0 = ["c66c37d3..."]
    7 = ["d65003de...", "0b1c22aa..."]   # either is accepted

A mistake in it is an error when the client is made, never when an answer comes.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from os import PathLike
from typing import Any, Final, NamedTuple, NoReturn

from .. import _core
from .found import VERDICTS, PolicySource

BANKS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
"""The known banks, and the hexadecimal digits of a value."""
PCR_COUNT: Final = 24
MAX_POLICY_BYTES: Final = 1024 * 1024
_FIELDS: Final = ("pcrs", "keys", "roots", "least")
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_INDEX: Final = re.compile(r"0|[1-9][0-9]?")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


class Policy(NamedTuple):
    """A policy, checked."""

    pcrs: Mapping[tuple[str, int], frozenset[str]]
    """The accepted values of each PCR, by bank and index, in lower-case hexadecimal."""
    keys: frozenset[str] = frozenset()
    """The fingerprints of the accepted keys; empty for any key."""
    roots: tuple[bytes, ...] = ()
    """Certificates in DER that may vouch for a key."""
    least: str = "unpinned"
    """The worst verdict that is accepted where attestation is required."""


NO_POLICY: Final = Policy({})


class _MistakeError(Exception):
    """A policy's mistake.

    Args:
        place: The names that lead to it.
        words: What was expected.
    """

    def __init__(self, place: tuple[str, ...], words: str) -> None:
        super().__init__(words)
        self.place = place
        self.words = words


def read_policy(source: PolicySource | None) -> Policy:
    """Read a policy.

    Args:
        source: A mapping, or the path of a TOML file; None for no policy. A relative path of `roots` is relative to
            that file.

    Raises:
        TypeError: `source` is neither.
        ValueError: There is a mistake in it. The message names its line, or its place in the mapping.
        OSError: The file, or that of the roots, cannot be read.
    """
    if source is None:
        return NO_POLICY
    if isinstance(source, Mapping):
        try:
            return _policy(source, "")
        except _MistakeError as mistake:
            place, words = ".".join(mistake.place), mistake.words
        raise ValueError(f"attestation_policy{'.' if place else ''}{place}: {words}")
    if not isinstance(source, (str, PathLike)):
        raise TypeError(f"attestation_policy must be a path or a mapping, not {type(source).__name__}")
    return _policy_of_file(os.fspath(source))


def _policy_of_file(path: str) -> Policy:
    import tomllib  # hardly any client has such a file

    text = _text(path)
    try:
        return _policy(tomllib.loads(text), os.path.dirname(path))
    except _MistakeError as mistake:
        words = f"{path}, line {_line_of(text, mistake.place)}: {'.'.join(mistake.place)}: {mistake.words}"
    except RecursionError:
        words = f"{path}: its values are nested too deeply"
    except ValueError as error:  # a TOMLDecodeError, which ends with "(at line 3, column 7)"; or a number is too long
        words = f"{path}: {error}"
    raise ValueError(f"attestation_policy: {words}")


def _text(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(MAX_POLICY_BYTES + 1)
    if len(content) > MAX_POLICY_BYTES:
        raise ValueError(f"attestation_policy: {path} has more than {MAX_POLICY_BYTES:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
    raise ValueError(f"attestation_policy: {path}, line {line}: it is not UTF-8")


def _line_of(text: str, place: tuple[str, ...]) -> int:
    """Return the line of a place. Each name is sought behind the one before it; the last one that is found counts."""
    number, start = 1, 0
    lines = text.splitlines()
    for name in place:
        found = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
        for index in range(start, len(lines)):
            if found.search(lines[index].partition("#")[0]):
                number, start = index + 1, index
                break
    return number


def _policy(given: Mapping[str, Any], directory: str) -> Policy:
    for name in given:
        if name not in _FIELDS:
            raise _MistakeError((str(name),), f"there is no such field; there are {', '.join(_FIELDS)}")
    # What is there and empty is a mistake: whoever wrote it means to pin.
    pcrs = _pcrs(given["pcrs"]) if "pcrs" in given else {}
    keys = _keys(given["keys"]) if "keys" in given else frozenset()
    roots = _roots(given.get("roots"), directory)
    least = given.get("least", _least(bool(pcrs or keys), bool(roots)))
    if least not in VERDICTS[1:]:
        raise _MistakeError(("least",), f"expected one of {', '.join(VERDICTS[1:])}")
    if least == "endorsed" and not roots:
        raise _MistakeError(("least",), "no answer can be endorsed without roots")
    if least == "as-pinned" and not (pcrs or keys or roots):
        raise _MistakeError(("least",), "no answer can be as pinned: the policy has no pcrs, keys or roots")
    return Policy(pcrs=pcrs, keys=keys, roots=roots, least=least)


def _least(pins: bool, roots: bool) -> str:
    if pins:
        return "as-pinned"
    return "endorsed" if roots else "unpinned"


def _pcrs(given: object) -> dict[tuple[str, int], frozenset[str]]:
    pcrs = {}
    for bank, values in _items(given, ("pcrs",)):
        if bank not in BANKS:
            raise _MistakeError(("pcrs", bank), f"there is no such bank; there are {', '.join(BANKS)}")
        for index, accepted in _items(values, ("pcrs", bank)):
            place = ("pcrs", bank, index)
            if not _INDEX.fullmatch(index) or int(index) >= PCR_COUNT:
                raise _MistakeError(place, f"there is no such PCR; there are 0 to {PCR_COUNT - 1}")
            pcrs[bank, int(index)] = _values(accepted, BANKS[bank], place)
    return pcrs


def _items(given: object, place: tuple[str, ...]) -> list[tuple[str, Any]]:
    if not isinstance(given, Mapping):
        raise _MistakeError(place, f"expected a table, not {type(given).__name__}")
    if not given:
        raise _MistakeError(place, "expected a table with at least one name")
    return [(str(name), value) for name, value in given.items()]


def _values(given: object, digits: int, place: tuple[str, ...]) -> frozenset[str]:
    values = [given] if isinstance(given, str) else given
    if not isinstance(values, list | tuple | set | frozenset) or not values:
        raise _MistakeError(place, "expected accepted values, at least one")
    for value in values:
        if not isinstance(value, str) or len(value) != digits or not _HEX.fullmatch(value):
            raise _MistakeError(place, f"expected values of {digits} hexadecimal digits")
    return frozenset(value.lower() for value in values)


def _keys(given: object) -> frozenset[str]:
    keys = [given] if isinstance(given, str) else given
    if not isinstance(keys, list | tuple | set | frozenset) or not keys:
        _refuse_keys()
    for key in keys:
        if not isinstance(key, str) or not _FINGERPRINT.fullmatch(key):
            _refuse_keys()
    return frozenset(keys)


def _refuse_keys() -> NoReturn:
    raise _MistakeError(("keys",), 'expected fingerprints: "SHA256:" and 43 base64 characters each')


def _roots(given: object, directory: str) -> tuple[bytes, ...]:
    if given is None:
        return ()
    if not isinstance(given, str | PathLike) or not os.fspath(given) or "\0" in str(given):
        raise _MistakeError(("roots",), "expected the path of a PEM file")
    path = os.path.join(directory, os.fspath(given))
    with open(path, "rb") as file:
        text = file.read(MAX_POLICY_BYTES).decode("ascii", "replace")
    roots: list[bytes] = []
    for pem in _CERTIFICATE.findall(text):
        try:
            der = ssl.PEM_cert_to_DER_cert(pem)
        except ValueError:  # no base64
            der = b""
        if not _core.is_certificate(der):
            raise _MistakeError(("roots",), f"certificate {len(roots) + 1} of {path} is none")
        roots.append(der)
    if not roots:
        raise _MistakeError(("roots",), f"{path} has no certificate")
    return tuple(roots)
