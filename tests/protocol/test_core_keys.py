"""The keys of the native core, and the files that they lie in, as Python has them."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from nomyo import DisposedError, SecureBuffer, SecurityError, _core
from support.by_hand import Owner
from support.core_work import PASSWORD, PAYLOAD, short_lived_key

# Public keys


def test_public_key_is_as_cryptography_has_it(key: _core.PrivateKey) -> None:
    public = key.public_key
    theirs = serialization.load_pem_public_key(public.pem.encode())
    assert isinstance(theirs, rsa.RSAPublicKey)
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    assert theirs.public_bytes(serialization.Encoding.PEM, spki).decode() == public.pem
    digest = hashlib.sha256(theirs.public_bytes(serialization.Encoding.DER, spki)).digest()
    assert public.fingerprint == "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    assert public.bits == theirs.key_size == 2048
    assert repr(public) == f"<PublicKey 2048 bits, {public.fingerprint}>"


def test_public_keys_are_equal_by_value(key: _core.PrivateKey) -> None:
    same = _core.PublicKey.from_pem(key.public_key.pem)
    other = _core.PrivateKey.generate(2048).public_key
    assert same == key.public_key == _core.PublicKey.from_pem(key.public_key.pem.encode())
    assert len({same, key.public_key, other}) == 2
    assert same != other
    assert same != key.public_key.pem
    assert same.__eq__(1) is NotImplemented


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no PEM",
        b"\xff",
        "\ud800",
        "é",
        "x" * 100_000,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ],
)
def test_what_is_no_public_key_is_refused(pem: str | bytes) -> None:
    with pytest.raises(SecurityError) as caught:
        _core.PublicKey.from_pem(pem)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "theirs", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)], ids=["EC", "RSA-1024"]
)
def test_public_key_of_another_kind_is_refused(theirs: Any) -> None:
    pem = theirs.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SecurityError, match="RSA"):
        _core.PublicKey.from_pem(pem)


@pytest.mark.parametrize("pem", [None, 5, ["x"]])
def test_pem_of_another_type_is_a_type_error(pem: Any) -> None:
    with pytest.raises(TypeError):
        _core.PublicKey.from_pem(pem)
    with pytest.raises(TypeError):
        _core.PrivateKey.from_pem(pem)


# Private keys


def test_generated_key_seals_and_opens(key: _core.PrivateKey, package: bytes) -> None:
    assert json.loads(Owner(key).open(package)) == PAYLOAD
    assert _core.open_package(package, key)[0] == PAYLOAD


@pytest.mark.parametrize("bits", [0, 1024, 2047, 3071, 8192])
def test_size_of_a_generated_key_is_one_of_two(bits: int) -> None:
    with pytest.raises(ValueError, match="2048, 3072 or 4096 bits"):
        _core.PrivateKey.generate(bits)


@pytest.mark.parametrize("password", [None, PASSWORD, SecureBuffer(PASSWORD.encode())], ids=type)
def test_private_key_goes_through_pem(key: _core.PrivateKey, password: str | SecureBuffer | None) -> None:
    with key.to_pem(password) as pem:
        again = _core.PrivateKey.from_pem(pem, password)
        theirs = serialization.load_pem_private_key(bytes(pem), None if password is None else PASSWORD.encode())
    assert isinstance(theirs, rsa.RSAPrivateKey)
    assert again.public_key == key.public_key


def test_wrong_password_is_a_security_error(key: _core.PrivateKey) -> None:
    with key.to_pem(PASSWORD) as pem:
        for password in (None, "another password", SecureBuffer(b"another password")):
            with pytest.raises(SecurityError) as caught:
                _core.PrivateKey.from_pem(pem, password)
            assert caught.value.__context__ is None


@pytest.mark.parametrize("password", ["", "short", "1234567", SecureBuffer(b"1234567")])
def test_password_has_eight_characters(key: _core.PrivateKey, password: str | SecureBuffer) -> None:
    with pytest.raises(ValueError, match="8 characters"):
        key.to_pem(password)


def test_password_of_another_kind_is_refused(key: _core.PrivateKey) -> None:
    with pytest.raises(TypeError, match="a password is str or SecureBuffer, not bytes"):
        key.to_pem(b"correct horse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lone surrogate") as caught:
        key.to_pem("correct horse \ud800")
    assert type(caught.value) is ValueError
    assert caught.value.__context__ is None
    with pytest.raises(ValueError, match="UTF-8"):
        key.to_pem(SecureBuffer(b"correct horse \xff"))


@pytest.mark.parametrize(
    "pem", [b"", b"no PEM", bytes(100_000), b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"], ids=len
)
def test_what_is_no_private_key_is_refused(pem: bytes) -> None:
    for source in (pem, bytearray(pem), memoryview(pem)):
        with pytest.raises(SecurityError):
            _core.PrivateKey.from_pem(source)


def test_private_key_shows_its_fingerprint_alone(key: _core.PrivateKey) -> None:
    short = short_lived_key(key)
    assert repr(short) == str(short) == f"<PrivateKey 2048 bits, {key.public_key.fingerprint}>"
    short.wipe()
    assert repr(short) == f"<PrivateKey 2048 bits, {key.public_key.fingerprint}, wiped>"


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, pickle.dumps, lambda key: pickle.dumps(key, 0), lambda key: key.__reduce__()],
)
def test_private_key_cannot_be_copied(key: _core.PrivateKey, duplicate: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(key)


@pytest.mark.parametrize("name", ["PrivateKey", "PublicKey", "SecureBuffer", "PageLock"])
def test_classes_are_final(name: str) -> None:
    with pytest.raises(TypeError):
        type("Sub", (getattr(_core, name),), {})


@pytest.mark.parametrize("name", ["PrivateKey", "PublicKey"])
def test_keys_come_from_their_factories_alone(name: str) -> None:
    with pytest.raises(TypeError):
        getattr(_core, name)()


def test_wiped_key_raises_disposed_error(key: _core.PrivateKey, package: bytes, tmp_path: Path) -> None:
    wiped = short_lived_key(key)
    wiped.wipe()
    wiped.wipe()
    assert wiped.wiped
    assert not key.wiped
    uses: list[Callable[[], object]] = [
        wiped.to_pem,
        lambda: _core.open_package(package, wiped),
        lambda: _core.write_key_directory(tmp_path, wiped),
    ]
    for use in uses:
        with pytest.raises(DisposedError) as caught:
            use()
        assert caught.value.__context__ is None
    assert wiped.public_key == key.public_key
    assert wiped.bits == 2048


def test_operation_under_way_ends_before_its_key_is_wiped(key: _core.PrivateKey) -> None:
    large = _core.seal({"text": "x" * 9_000_000}, key.public_key)
    for _ in range(10):
        short = short_lived_key(key)
        outcomes: list[object] = []

        def work(short: _core.PrivateKey = short, outcomes: list[object] = outcomes) -> None:
            try:
                while True:
                    outcomes.append(len(_core.open_package(large, short)[0]["text"]))
            except DisposedError as error:
                outcomes.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.01)
        short.wipe()
        thread.join()
        assert isinstance(outcomes.pop(), DisposedError)
        assert set(outcomes) <= {9_000_000}


def test_generating_keys_leaves_other_threads_running() -> None:
    done = threading.Event()

    def generate() -> None:
        for _ in range(3):
            _core.PrivateKey.generate(2048)
        done.set()

    thread = threading.Thread(target=generate)
    thread.start()
    turns = 0
    while not done.is_set():
        turns += 1
        time.sleep(0.001)
    thread.join()
    assert turns > 3


# Key files


def test_directory_gets_a_pair_and_keeps_it(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    first, created, condition, plain = _core.open_key_directory(directory, 2048, PASSWORD)
    assert (created, condition.too_open, condition.lockless, plain) == (True, [], False, None)
    second, created, condition, plain = _core.open_key_directory(str(directory), 2048, SecureBuffer(PASSWORD.encode()))
    assert (created, condition.too_open, condition.lockless, plain) == (False, [], False, None)
    third, condition = _core.load_key_pair(directory / "private_key.pem", directory / "public_key.pem", PASSWORD)
    assert condition.too_open == []
    assert first.public_key == second.public_key == third.public_key


def test_directory_takes_another_pair(tmp_path: Path, key: _core.PrivateKey) -> None:
    _core.open_key_directory(tmp_path, 2048)
    _core.write_key_directory(tmp_path, key)
    assert _core.open_key_directory(tmp_path, 4096)[0].public_key == key.public_key


def test_file_whose_mode_lets_others_in_is_named(tmp_path: Path, key: _core.PrivateKey) -> None:
    _core.write_key_directory(tmp_path, key)
    private = tmp_path / "private_key.pem"
    private.chmod(0o644)
    assert _core.load_key_pair(private)[1].too_open == [str(private)]


def test_missing_key_file_is_an_os_error(tmp_path: Path) -> None:
    missing = tmp_path / "private_key.pem"
    with pytest.raises(FileNotFoundError) as caught:
        _core.load_key_pair(missing)
    assert caught.value.filename == str(missing)


def test_key_file_that_cannot_be_opened_is_named(tmp_path: Path, key: _core.PrivateKey) -> None:
    _core.write_key_directory(tmp_path, key, PASSWORD)
    with pytest.raises(SecurityError, match=r"private_key\.pem: .*password"):
        _core.load_key_pair(tmp_path / "private_key.pem", password="another password")
