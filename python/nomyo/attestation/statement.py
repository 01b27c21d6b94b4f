"""The router's `tpm_attestation`, read strictly.

All of it comes from the router that is examined. Every text is bounded before it is decoded, and what does not have the
documented form is refused as a whole.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .policy import BANKS, PCR_COUNT

MAX_BASE64_CHARS: Final = 2736
"""What 2,048 bytes take (rounded up to whole groups), the most that the core examines."""
_MAX_CERTIFICATE_CHARS: Final = 22 * 1024
_MAX_CERTIFICATES: Final = 8
_MAX_BANKS_CHARS: Final = 512
_INDEX: Final = re.compile(r"0|[1-9][0-9]?", re.ASCII)
_HEX: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)


class MalformedStatementError(ValueError):
    """It does not have the documented form; the message says where, and quotes nothing."""


class Statement(NamedTuple):
    """A quote, and what it is said to be about."""

    quote: bytes
    """TPMS_ATTEST."""
    signature: bytes
    """TPMT_SIGNATURE."""
    public: bytes
    """TPM2B_PUBLIC: the key that signed."""
    pcrs: Mapping[str, Mapping[str, str]]
    """The values that are given, by bank and index, in lower-case hexadecimal."""
    certificates: tuple[bytes, ...]
    """In DER, the key's own first; empty if there are none."""


def read_statement(given: Mapping[str, Any]) -> Statement:
    """Read an attestation that says that it is available.

    Raises:
        MalformedStatementError: It does not have the documented form.
    """
    pcrs = _pcrs(given.get("pcr_values"))
    if "pcr_banks" in given:
        _check_banks(given["pcr_banks"], pcrs)
    return Statement(
        _decoded(given, "quote_b64"),
        _decoded(given, "signature_b64"),
        _decoded(given, "aik_pubkey_b64"),
        pcrs,
        _certificates(given.get("aik_certificates_b64")),
    )


def _decoded(given: Mapping[str, Any], name: str) -> bytes:
    return _bytes_of(given.get(name), name, MAX_BASE64_CHARS)


def _bytes_of(text: object, name: str, longest: int) -> bytes:
    if not isinstance(text, str) or not text:
        raise MalformedStatementError(f"{name} is missing, or no text")
    if len(text) > longest:
        raise MalformedStatementError(f"{name} is longer than any TPM writes")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # the latter of text that is not ASCII
        pass
    raise MalformedStatementError(f"{name} is no base64")


def _pcrs(given: object) -> dict[str, dict[str, str]]:
    if not isinstance(given, Mapping) or not given:
        raise MalformedStatementError("pcr_values is missing, or no object")
    return {_known_bank(bank): _values(bank, values) for bank, values in given.items()}


def _known_bank(bank: str) -> str:
    if bank not in BANKS:
        raise MalformedStatementError("it has values of a bank that is not known here")
    return bank


def _values(bank: str, given: object) -> dict[str, str]:
    if not isinstance(given, Mapping) or not given:
        raise MalformedStatementError("pcr_values has a bank without values")
    for index, value in given.items():
        if not _INDEX.fullmatch(index) or int(index) >= PCR_COUNT:
            raise MalformedStatementError("pcr_values has a PCR that there is not")
        if not isinstance(value, str) or len(value) != BANKS[bank] or not _HEX.fullmatch(value):
            raise MalformedStatementError("pcr_values has a value that is no digest of its bank in hexadecimal")
    return {index: given[index].lower() for index in sorted(given, key=int)}


def _check_banks(given: object, pcrs: Mapping[str, Mapping[str, str]]) -> None:
    """Check that `pcr_banks` ("sha256:0,7,10", several joined by `+` as tpm2-tools have it) names the given values."""
    if not isinstance(given, str) or len(given) > _MAX_BANKS_CHARS:
        raise MalformedStatementError("pcr_banks is no text, or too long")
    named: dict[str, set[str]] = {}
    for each in re.split(r"[+; ]+", given.strip()):
        bank, _, indices = each.partition(":")
        if bank in named:
            raise MalformedStatementError("pcr_banks names a bank twice")
        named[bank] = set(indices.split(","))
    if named != {bank: set(values) for bank, values in pcrs.items()}:
        raise MalformedStatementError("pcr_banks names other PCRs than pcr_values has")


def _certificates(given: object) -> tuple[bytes, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > _MAX_CERTIFICATES:
        raise MalformedStatementError("aik_certificates_b64 is no list, or too long")
    return tuple(_bytes_of(each, "aik_certificates_b64", _MAX_CERTIFICATE_CHARS) for each in given)
