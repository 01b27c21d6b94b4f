"""What a TPM writes when it quotes its PCRs, made without one; each field can be another, signed all the same.

Written from the TPM 2.0 Library, Part 2, with Python's `cryptography`; nothing of ours is used. So it is also what
anybody can do who has no TPM.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PAYLOAD_ID: Final = "00000000-0000-4000-8000-000000000001"
PCRS: Final = {"sha256": {"0": "aa" * 32, "7": "bb" * 32, "10": "00" * 32}}
ALGORITHMS: Final = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
RESTRICTED_SIGNING: Final = 0x00050072
"""fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign."""
NULL: Final = 0x0010


@functools.cache
def key_of(kind: str) -> Any:
    """Return a private key, made once: "rsa", "p256", "p384", or another of these with a number behind it."""
    kind = kind.rstrip("0123456789") if kind.startswith("rsa") else kind.partition("-")[0]
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1()}[kind])


@dataclass(frozen=True, kw_only=True)
class SoftTpm:
    """Quotes; the defaults are those of a TPM whose quote passes every check."""

    payload_id: str = PAYLOAD_ID
    pcrs: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: PCRS)
    """The values that are in the PCRs."""
    given: Mapping[str, Mapping[str, str]] | None = None
    """The values that are told, if they are others."""
    kind: str = "rsa"
    scheme: str = "rsassa"
    hash: str = "sha256"
    magic: int = 0xFF544347
    type: int = 0x8018
    qualifying_data: bytes | None = None
    attributes: int = RESTRICTED_SIGNING
    selected: Mapping[str, Mapping[str, Any]] | None = None
    """The PCRs that are selected, in this order of banks, if they are others than those that are hashed."""
    digest: bytes | None = None
    signed_by: str | None = None
    """The kind of another key that signs."""
    change_quote: Callable[[bytes], bytes] = bytes
    change_signature: Callable[[bytes], bytes] = bytes
    change_public: Callable[[bytes], bytes] = bytes
    certificates: tuple[bytes, ...] = ()

    def attestation(self) -> dict[str, Any]:
        """Return `tpm_attestation` as the service documents it."""
        quote = self.change_quote(self.quote())
        given = self.pcrs if self.given is None else self.given
        attestation: dict[str, Any] = {
            "is_available": True,
            "pcr_banks": "+".join(f"{bank}:{','.join(values)}" for bank, values in given.items()),
            "pcr_values": {bank: dict(values) for bank, values in given.items()},
            "quote_b64": _base64(quote),
            "signature_b64": _base64(self.change_signature(self.signature(quote))),
            "aik_pubkey_b64": _base64(self.change_public(self.public())),
        }
        if self.certificates:
            attestation["aik_certificates_b64"] = [_base64(each) for each in self.certificates]
        return attestation

    def quote(self) -> bytes:
        """TPMS_ATTEST (section 10.12.12)."""
        expected = hashlib.sha256(self.payload_id.encode()).digest()[:16]
        selected = self.pcrs if self.selected is None else self.selected
        values = b"".join(
            bytes.fromhex(values[index]) for values in self.pcrs.values() for index in sorted(values, key=int)
        )
        digest = hashlib.new(self.hash, values).digest() if self.digest is None else self.digest
        return (
            struct.pack(">IH", self.magic, self.type)
            + _sized(b"\x00\x0b" + bytes(32))
            + _sized(expected if self.qualifying_data is None else self.qualifying_data)
            + struct.pack(">QIIBQ", 1234, 1, 0, 1, 0x2019)
            + struct.pack(">I", len(selected))
            + b"".join(_selection(bank, values) for bank, values in selected.items())
            + _sized(digest)
        )

    def signature(self, quote: bytes) -> bytes:
        """TPMT_SIGNATURE (section 11.3.4)."""
        key = key_of(self.signed_by or self.kind)
        algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}[self.hash]
        head = struct.pack(">HH", _SCHEMES[self.scheme], ALGORITHMS[self.hash])
        if self.scheme == "ecdsa":
            length = key.key_size // 8
            numbers = decode_dss_signature(key.sign(quote, ec.ECDSA(algorithm)))
            return head + b"".join(_sized(number.to_bytes(length, "big")) for number in numbers)
        pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.MAX_LENGTH)
        return head + _sized(key.sign(quote, pss if self.scheme == "rsapss" else padding.PKCS1v15(), algorithm))

    def public(self) -> bytes:
        """TPM2B_PUBLIC (section 12.2.5)."""
        numbers = key_of(self.kind).public_key().public_numbers()
        scheme = struct.pack(">HHH", NULL, _SCHEMES[self.scheme], ALGORITHMS[self.hash])
        if isinstance(numbers, rsa.RSAPublicNumbers):
            kind = 0x0001
            unique = struct.pack(">HI", 2048, 0) + _sized(numbers.n.to_bytes(256, "big"))
        else:
            kind = 0x0023
            curve, length = {"p256": (3, 32), "p384": (4, 48)}[self.kind.partition("-")[0]]
            point = (numbers.x, numbers.y)
            unique = struct.pack(">HH", curve, NULL)
            unique += b"".join(_sized(number.to_bytes(length, "big")) for number in point)
        return _sized(struct.pack(">HHI", kind, 0x000B, self.attributes) + _sized(b"") + scheme + unique)


_SCHEMES: Final = {"rsassa": 0x0014, "rsapss": 0x0016, "ecdsa": 0x0018}


def _selection(bank: str, values: Mapping[str, Any]) -> bytes:
    bits = sum(1 << int(index) for index in values)
    return struct.pack(">HB", ALGORITHMS[bank], 3) + bits.to_bytes(3, "little")


def _sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class SoftAttester:
    """Attests in a router's answers with a soft TPM, or with what `instead` holds."""

    def __init__(self) -> None:
        self.tpm: SoftTpm | None = SoftTpm()
        self.instead: Any = None

    def attestation(self, payload_id: str) -> Any:
        if self.tpm is None:
            return self.instead
        return dataclasses.replace(self.tpm, payload_id=payload_id).attestation()

    def close(self) -> None:
        """Do nothing."""
