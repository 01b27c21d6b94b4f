"""What the native core offers to Python, apart from keys, JSON and buffers."""

from __future__ import annotations

import json
import os
import re
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nomyo import SecureBuffer, SecurityError, _core
from support.by_hand import Owner
from support.core_work import PAYLOAD, in_child, short_lived_key

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


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


def test_every_failure_up_to_the_tag_reads_alike(key: _core.PrivateKey, package: bytes) -> None:
    owner = Owner(key)
    other = _core.PrivateKey.generate(2048)
    flipped = bytearray(package)
    flipped[package.index(b'"ciphertext": "') + 20] ^= 1
    damaged = [b"", b"{}", package[:-1], package + b"x", bytes(flipped), _core.seal(PAYLOAD, other.public_key)]
    damaged.append(owner.seal(b"{}", version="2.0"))
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
        for wrong in ({"a": ["é\ud800", {2}]}, {"a": [{1}]}, {"a": float("nan")}):
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


def test_core_says_what_it_was_built_from_and_with() -> None:
    info = _core.build_info()

    assert info["version"] == "1.0.0"
    assert info["commit"] is None or re.fullmatch("[0-9a-f]{40}", info["commit"])
    assert (info["dirty"] is None) == (info["commit"] is None)
    assert info["rustc"].startswith("rustc 1.")
    assert info["target"].count("-") >= 2
    assert (info["profile"], info["opt_level"], info["debug"]) == ("release", "3", False)
    assert info["crypto"] == _core.crypto_version()
    assert "/" not in info["flags"]  # no folder of the machine that built it


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
    cannot: list[Any] = [{"a": {1}}, {"a": float("nan")}, {}, []]
    for refused in cannot:
        assert not _core.fits(refused, 1000)
