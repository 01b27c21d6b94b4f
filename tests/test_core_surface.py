"""What the native core offers to Python, apart from JSON and buffers."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import pickle
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from by_hand import Owner
from nomyo import DisposedError, SecureBuffer, SecurityError, _core

PASSWORD = "correct horse é"
PAYLOAD = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}]}

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


@pytest.fixture(scope="module")
def key(client_key: _core.PrivateKey) -> _core.PrivateKey:
    return client_key


@pytest.fixture(scope="module")
def package(key: _core.PrivateKey) -> bytes:
    return _core.seal(PAYLOAD, key.public_key)


def short_lived_key(key: _core.PrivateKey) -> _core.PrivateKey:
    """A copy that a test may wipe."""
    with key.to_pem() as pem:
        return _core.PrivateKey.from_pem(pem)


def in_child(work: Callable[[], object]) -> str:
    """What `work` returns or raises in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = f"returned {work()!r}"
        except BaseException as error:  # noqa: BLE001
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child died: {status}"
    return answer


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


@pytest.mark.parametrize("bits", [0, 1024, 2047, 3072, 8192])
def test_size_of_a_generated_key_is_one_of_two(bits: int) -> None:
    with pytest.raises(ValueError, match="2048 or 4096 bits"):
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


# Packages


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, SecureBuffer])
def test_package_may_be_any_buffer(key: _core.PrivateKey, package: bytes, form: Callable[[bytes], Any]) -> None:
    assert _core.open_package(form(package), key) == (PAYLOAD, "hybrid-aes256-rsa4096", None)


@pytest.mark.parametrize("package", [None, "text", 5, [123, 125]])
def test_package_of_another_type_is_a_type_error(key: _core.PrivateKey, package: Any) -> None:
    with pytest.raises(TypeError, match="a package is bytes-like"):
        _core.open_package(package, key)


@pytest.mark.parametrize("stamp", [None, 0, 1_700_000_000, -5, 1_700_000_000.25])
def test_time_stamp_of_the_outer_object_is_returned(key: _core.PrivateKey, stamp: float | None) -> None:
    content, algorithm, processed_at = _core.open_package(Owner(key).seal(b"{}", processed_at=stamp), key)
    assert (content, algorithm) == ({}, "hybrid-aes256-rsa4096")
    assert processed_at == stamp
    assert type(processed_at) is type(stamp)


def test_time_stamp_is_written_last(key: _core.PrivateKey) -> None:
    package = _core.seal(PAYLOAD, key.public_key, processed_at=1_700_000_000)
    assert package.endswith(b', "processed_at": 1700000000}')
    assert list(json.loads(package)) == [
        "version",
        "algorithm",
        "encrypted_payload",
        "encrypted_aes_key",
        "key_algorithm",
        "payload_algorithm",
        "processed_at",
    ]


def test_no_two_packages_are_alike(key: _core.PrivateKey) -> None:
    packages = [json.loads(_core.seal(PAYLOAD, key.public_key)) for _ in range(50)]
    for field in ("nonce", "ciphertext", "tag"):
        assert len({package["encrypted_payload"][field] for package in packages}) == 50
    assert len({package["encrypted_aes_key"] for package in packages}) == 50


def test_every_failure_to_open_reads_alike(key: _core.PrivateKey, package: bytes) -> None:
    owner = Owner(key)
    other = _core.PrivateKey.generate(2048)
    flipped = bytearray(package)
    flipped[package.index(b'"ciphertext": "') + 20] ^= 1
    damaged = [b"", b"{}", package[:-1], package + b"x", bytes(flipped), _core.seal(PAYLOAD, other.public_key)]
    damaged += [
        owner.seal(b"{}", version="2.0"),
        owner.seal(b"not JSON"),
        owner.seal(b"[]"),
        owner.seal(b'{"a":"\xff"}'),
    ]
    messages = set()
    for case in damaged:
        try:
            raise KeyError("an exception that is being handled")
        except KeyError:
            with pytest.raises(SecurityError) as caught:
                _core.open_package(case, key)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        messages.add(str(caught.value))
    assert len(messages) == 1


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_package_is_sealed_for_keys_of_any_size(bits: int) -> None:
    private = rsa.generate_private_key(65537, bits)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = _core.PrivateKey.from_pem(pem)
    assert key.bits == key.public_key.bits == bits
    assert json.loads(Owner(key).open(_core.seal(PAYLOAD, key.public_key))) == PAYLOAD


def test_threads_seal_and_open_at_once(key: _core.PrivateKey) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(30):
                payload = {"text": f"{number} {turn} é" * (turn * 500), "n": number}
                assert _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_wrong_key_types_are_type_errors(key: _core.PrivateKey, package: bytes) -> None:
    with pytest.raises(TypeError):
        _core.seal(PAYLOAD, key)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.open_package(package, key.public_key)  # type: ignore[arg-type]


# Key files


def test_directory_gets_a_pair_and_keeps_it(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    first, created, too_open = _core.open_key_directory(directory, 2048, PASSWORD)
    assert (created, too_open) == (True, [])
    second, created, too_open = _core.open_key_directory(str(directory), 2048, SecureBuffer(PASSWORD.encode()))
    assert (created, too_open) == (False, [])
    third, too_open = _core.load_key_pair(directory / "private_key.pem", directory / "public_key.pem", PASSWORD)
    assert too_open == []
    assert first.public_key == second.public_key == third.public_key


def test_directory_takes_another_pair(tmp_path: Path, key: _core.PrivateKey) -> None:
    _core.open_key_directory(tmp_path, 2048)
    _core.write_key_directory(tmp_path, key)
    assert _core.open_key_directory(tmp_path, 4096)[0].public_key == key.public_key


def test_file_whose_mode_lets_others_in_is_named(tmp_path: Path, key: _core.PrivateKey) -> None:
    _core.write_key_directory(tmp_path, key)
    private = tmp_path / "private_key.pem"
    private.chmod(0o644)
    assert _core.load_key_pair(private)[1] == [str(private)]


def test_missing_key_file_is_an_os_error(tmp_path: Path) -> None:
    missing = tmp_path / "private_key.pem"
    with pytest.raises(FileNotFoundError) as caught:
        _core.load_key_pair(missing)
    assert caught.value.filename == str(missing)


def test_key_file_that_cannot_be_opened_is_named(tmp_path: Path, key: _core.PrivateKey) -> None:
    _core.write_key_directory(tmp_path, key, PASSWORD)
    with pytest.raises(SecurityError, match=r"private_key\.pem: .*password"):
        _core.load_key_pair(tmp_path / "private_key.pem", password="another password")


# Fork


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_secrets_of_the_parent_are_refused_in_a_forked_child(key: _core.PrivateKey, package: bytes) -> None:
    buffer = SecureBuffer(b"secret")
    uses: list[Callable[[], object]] = [
        lambda: _core.open_package(package, key),
        key.to_pem,
        lambda: bytes(buffer),
        lambda: memoryview(buffer),
        lambda: _core.seal({"a": buffer}, key.public_key),
    ]
    for use in uses:
        answer = in_child(use)
        assert answer.startswith("SecurityError: ")
        assert "fork" in answer
    assert _core.open_package(package, key)[0] == PAYLOAD
    assert bytes(buffer) == b"secret"


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_forked_child_works_with_keys_and_buffers_of_its_own(key: _core.PrivateKey) -> None:
    public = key.public_key

    def work() -> object:
        own = _core.PrivateKey.generate(2048)
        sealed = _core.seal({"a": SecureBuffer(b"mine"), "b": "é" * 100_000}, own.public_key)
        return (
            _core.open_package(sealed, own)[0]["a"],
            len(_core.seal(PAYLOAD, public)) > 0,
            _core.PublicKey.from_pem(public.pem) == public,
        )

    assert in_child(work) == "returned ('mine', True, True)"


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_secrets_of_the_parent_can_be_let_go_in_a_forked_child(key: _core.PrivateKey) -> None:
    short, buffer = short_lived_key(key), SecureBuffer(b"secret")
    lock = _core.PageLock(bytearray(10))
    locked_before = lock.locked

    def work() -> object:
        short.wipe()
        buffer.wipe()
        buffer.close()
        locked = lock.locked
        lock.release()
        return short.wiped, buffer.closed, locked, repr(short) != repr(key)

    assert in_child(work) == "returned (True, True, False, True)"
    assert lock.locked is locked_before
    lock.release()


# The process


def test_warm_up_leaves_other_threads_running() -> None:
    _core.warm_up()
    _core.warm_up()


def test_memory_status_has_figures(key: _core.PrivateKey) -> None:
    status = _core.memory_status()
    memory = {"locked_bytes", "unlocked_bytes", "unlocked_peak_bytes", "in_use_bytes"}
    assert set(status) == {*memory, "limit_bytes", "budget_bytes", "page_size"}
    assert all(type(figure) is int for figure in status.values())
    assert status["locked_bytes"] + status["unlocked_bytes"] >= status["in_use_bytes"] > 0
    assert status["limit_bytes"] >= -1
    assert status["page_size"] in (4096, 16384, 65536)


def test_nothing_is_left_in_use_behind_the_work(key: _core.PrivateKey) -> None:
    def work() -> None:
        payload = {"text": "x" * 3_000_000, "wide": "é" * 200_000}
        assert _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload
        for wrong in ({"a": ["é\ud800"]}, {"a": [{1}]}, {"a": float("nan")}):
            with pytest.raises((TypeError, ValueError)):
                _core.seal(wrong, key.public_key)
        with pytest.raises(SecurityError):
            _core.open_package(b"{}", key)
        short_lived_key(key).wipe()

    work()
    before = _core.memory_status()["in_use_bytes"]
    for _ in range(20):
        work()
    assert _core.memory_status()["in_use_bytes"] <= before + 4096


def test_can_lock_is_measured() -> None:
    assert _core.can_lock() in (True, False)


def test_crypto_library_is_named() -> None:
    assert _core.crypto_version().startswith("AWS-LC")


def test_payload_ids_are_uuids_of_version_4_and_differ() -> None:
    drawn = {_core.new_payload_id() for _ in range(10_000)}
    assert len(drawn) == 10_000
    for text in drawn:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)


def test_payload_fits_when_it_can_be_sealed_within_the_limit() -> None:
    payload = {"text": "é" * 100}
    size_bytes = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    assert _core.fits(payload, size_bytes)
    assert not _core.fits(payload, size_bytes - 1)
    for refused in ({"a": {1}}, {"a": float("nan")}, {"a": "\ud800"}, {}, []):
        assert not _core.fits(refused, 1000)  # type: ignore[arg-type]
