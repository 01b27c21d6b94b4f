"""The `openssl` command and Python's `cryptography` read our key files, and we read theirs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import nomyo
from nomyo import _core

PASSWORD = "correct horse, na\u00efve"


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    finished = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout


@pytest.fixture(scope="module")
def foreign_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pkcs8(key: rsa.RSAPrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def same_key(ours: _core.PrivateKey, theirs: rsa.RSAPrivateKey) -> bool:
    pem = theirs.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return ours.public_key.pem.encode() == pem


@pytest.mark.outside("openssl")
@pytest.mark.parametrize("bits", [2048, 4096])
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_openssl_reads_our_key_files(tmp_path: Path, bits: int, password: str | None) -> None:
    key = _core.PrivateKey.generate(bits)
    _core.write_key_directory(tmp_path / "keys", key, password)
    private = str(tmp_path / "keys" / "private_key.pem")

    opened = openssl("pkey", "-in", private, "-check", "-pubout", "-passin", f"pass:{password or ''}")

    assert b"Key is valid" in opened
    assert opened.endswith((tmp_path / "keys" / "public_key.pem").read_bytes())


@pytest.mark.outside("openssl")
def test_password_file_has_the_promised_parameters(tmp_path: Path, client_key: _core.PrivateKey) -> None:
    _core.write_key_directory(tmp_path / "keys", client_key, PASSWORD)

    structure = openssl("asn1parse", "-in", str(tmp_path / "keys" / "private_key.pem"), "-i").decode()

    for part in ("PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", "0927C0"):  # 0x0927C0 = 600,000 rounds
        assert part in structure


def test_cryptography_reads_our_key_files(tmp_path: Path, client_key: _core.PrivateKey) -> None:
    for password in (None, PASSWORD):
        _core.write_key_directory(tmp_path / "keys", client_key, password)
        raw = (tmp_path / "keys" / "private_key.pem").read_bytes()
        theirs = serialization.load_pem_private_key(raw, None if password is None else password.encode())
        assert isinstance(theirs, rsa.RSAPrivateKey)
        assert same_key(client_key, theirs)


@pytest.mark.outside("openssl")
@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256"])
@pytest.mark.parametrize("digest", ["hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA512"])
@pytest.mark.parametrize("rounds", ["1", "2048", "100000"])
def test_we_read_what_openssl_writes(foreign_key: rsa.RSAPrivateKey, cipher: str, digest: str, rounds: str) -> None:
    written = openssl(
        *("pkcs8", "-topk8", "-v2", cipher, "-v2prf", digest, "-iter", rounds, "-passout", f"pass:{PASSWORD}"),
        stdin=pkcs8(foreign_key, serialization.Encoding.PEM),
    )
    assert same_key(_core.PrivateKey.from_pem(written, PASSWORD), foreign_key)
    with pytest.raises(nomyo.SecurityError):
        _core.PrivateKey.from_pem(written, PASSWORD + "x")
    with pytest.raises(nomyo.SecurityError):
        _core.PrivateKey.from_pem(written)


def test_we_read_what_cryptography_writes(foreign_key: rsa.RSAPrivateKey) -> None:
    encryption = serialization.BestAvailableEncryption(PASSWORD.encode())
    written = foreign_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    assert same_key(_core.PrivateKey.from_pem(written, PASSWORD), foreign_key)
    assert same_key(_core.PrivateKey.from_pem(pkcs8(foreign_key, serialization.Encoding.PEM)), foreign_key)


@pytest.mark.outside("openssl")
def test_rounds_beyond_ten_million_are_refused_at_once(foreign_key: rsa.RSAPrivateKey) -> None:
    written = openssl(
        *("pkcs8", "-topk8", "-v2", "aes256", "-iter", "1000", "-passout", f"pass:{PASSWORD}", "-outform", "DER"),
        stdin=pkcs8(foreign_key, serialization.Encoding.PEM),
    )
    # INTEGER 1000 (02 02 03 E8) becomes INTEGER 10,000,001 (02 04 00 98 96 81): every enclosing length grows by two.
    at = written.index(bytes.fromhex("020203e8"))
    grown = bytearray(written[:at] + bytes.fromhex("020400989681") + written[at + 4 :])
    _grow_enclosing(grown, at)
    pem = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n%s-----END ENCRYPTED PRIVATE KEY-----\n" % base64.encodebytes(grown)

    assert b"989681" in openssl("asn1parse", "-i", stdin=pem)
    with pytest.raises(nomyo.SecurityError):
        _core.PrivateKey.from_pem(pem, PASSWORD)


def _grow_enclosing(der: bytearray, inner: int) -> None:
    """Add two to the length of each constructed element around a position."""
    start = 0
    while start < inner:
        first = der[start + 1]
        size = first & 0x7F if first & 0x80 else 0
        header = 2 + size
        length = int.from_bytes(der[start + 2 : start + header]) if size else first
        end = start + header + length
        if der[start] & 0x20 and end > inner:
            if size:
                der[start + 2 : start + header] = (length + 2).to_bytes(size)
            else:
                der[start + 1] = length + 2
            start += header
        else:
            start = end


def test_we_read_the_javascript_clients_own_form(foreign_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    salt, iv = os.urandom(16), os.urandom(16)
    key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 100_000)
    padder = block_padding.PKCS7(128).padder()
    padded = padder.update(pkcs8(foreign_key, serialization.Encoding.DER)) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    body = base64.encodebytes(salt + iv + encryptor.update(padded) + encryptor.finalize())
    pem = b"-----BEGIN PRIVATE KEY-----\n%s-----END PRIVATE KEY-----\n" % body

    assert same_key(_core.PrivateKey.from_pem(pem, PASSWORD), foreign_key)
    for wrong in (None, PASSWORD + "x"):
        with pytest.raises(nomyo.SecurityError):
            _core.PrivateKey.from_pem(pem, wrong)
    (tmp_path / "private_key.pem").write_bytes(pem)
    os.chmod(tmp_path / "private_key.pem", 0o600)
    loaded, _ = _core.load_key_pair(tmp_path / "private_key.pem", None, PASSWORD)
    assert same_key(loaded, foreign_key)


@pytest.mark.outside("openssl")
def test_openssl_unwraps_the_keys_of_our_packages(tmp_path: Path, client_key: _core.PrivateKey) -> None:
    _core.write_key_directory(tmp_path / "keys", client_key)
    package: dict[str, Any] = json.loads(_core.seal({"a": 1}, client_key.public_key))

    aes_key = openssl(
        *("pkeyutl", "-decrypt", "-inkey", str(tmp_path / "keys" / "private_key.pem")),
        *("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256"),
        stdin=base64.b64decode(package["encrypted_aes_key"]),
    )

    assert len(aes_key) == 32


@pytest.mark.outside("openssl")
def test_fingerprint_is_that_of_the_spki(client_key: _core.PrivateKey) -> None:
    der = openssl("pkey", "-pubin", "-outform", "DER", stdin=client_key.public_key.pem.encode())

    digest = base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    assert client_key.public_key.fingerprint == f"SHA256:{digest}"
