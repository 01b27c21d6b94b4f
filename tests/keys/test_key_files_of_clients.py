"""Which key files a client reads, writes and leaves alone: a password that is new, and pairs of other programs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives import serialization

import nomyo
from nomyo import _core
from nomyo.cli.keys.command import main as keys_command
from support.faults import FaultyRouter
from support.twins import Twin
from support.waiting import until

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
ID = "8c8e4a5e-52a5-4a3c-8ab6-0b1c9fa5d2c4"
PASSWORD = "correct horse"
NEVER = 1e6


@pytest.fixture(scope="module")
def others_key() -> _core.PrivateKey:
    return _core.PrivateKey.generate(2048)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def is_encrypted(directory: Path) -> bool:
    return (directory / "private_key.pem").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def keys_used(router: FaultyRouter) -> list[str]:
    return [unquote(post.headers["x-public-key"]) for post in router.posts]


def rotate(client: Any) -> None:
    """Have a rotation now, as its timer would in a thread of its own."""
    client._exchange._keys.rotate()


class TestPasswordThatBegins:
    def test_plain_pair_is_used_with_one_warning(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        keys = tmp_path / "my keys"
        _core.write_key_directory(keys, client_key)
        before = contents(keys)
        client = twin.client(faulty_router.url, key_dir=keys, key_rotation_password=PASSWORD)

        with pytest.warns(UserWarning, match="is not encrypted") as warned:
            twin.call(client.send_secure_request, HELLO, ID)
        twin.call(client.send_secure_request, HELLO, ID)

        (words,) = [str(one.message) for one in warned if "encrypted" in str(one.message)]
        assert str(keys / "private_key.pem") in words
        assert f"nomyo keys password --key-dir '{keys}'" in words
        assert PASSWORD not in words
        assert set(keys_used(faulty_router)) == {client_key.public_key.pem}
        assert contents(keys) == before

    def test_next_rotation_writes_it_encrypted(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        keys = tmp_path / "keys"
        _core.write_key_directory(keys, client_key)
        options = {"key_dir": keys, "key_rotation_dir": keys, "key_rotation_password": PASSWORD}

        client = twin.client(faulty_router.url, **options, key_rotation_interval=0.2)
        until(lambda: is_encrypted(keys))
        client.dispose()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "the router is spoken to over plain HTTP")
            again = twin.client(faulty_router.url, **options)
            twin.call(again.send_secure_request, HELLO, ID)
        assert keys_used(faulty_router) == [(keys / "public_key.pem").read_text()]

    def test_command_that_the_warning_names_encrypts_the_pair(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        keys, password = tmp_path / "keys", tmp_path / "password"
        _core.write_key_directory(keys, client_key)
        password.write_text(PASSWORD)
        password.chmod(0o600)

        with pytest.raises(SystemExit) as ended:
            keys_command(["password", "--key-dir", str(keys), "--new-password-file", str(password)])
        client = twin.client(faulty_router.url, key_dir=keys, key_rotation_password=PASSWORD)
        twin.call(client.send_secure_request, HELLO, ID)

        assert not ended.value.code
        assert is_encrypted(keys)
        assert keys_used(faulty_router) == [client_key.public_key.pem]

    @pytest.mark.parametrize("damage", [b"not a key", "half", "other password"])
    def test_damaged_file_or_wrong_password_stays_an_error_and_no_rotation_replaces_it(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: _core.PrivateKey, damage: Any
    ) -> None:
        keys = tmp_path / "keys"
        private = keys / "private_key.pem"
        _core.write_key_directory(keys, client_key, "another password" if damage == "other password" else None)
        if damage == "half":
            private.write_bytes(private.read_bytes()[:300])
        elif isinstance(damage, bytes):
            private.write_bytes(damage)
        before = contents(keys)
        client = twin.client(faulty_router.url, key_dir=keys, key_rotation_dir=keys, key_rotation_password=PASSWORD)

        for _ in range(2):
            with pytest.raises(nomyo.SecurityError):
                twin.call(client.send_secure_request, HELLO, ID)
            rotate(client)

        assert contents(keys) == before


class TestGeneratedPair:
    def test_file_has_the_client_s_own_password(self, twin: Twin, tmp_path: Path) -> None:
        client = twin.client("https://127.0.0.1:9", key_rotation_password=PASSWORD)

        twin.call(client.generate_keys, save_to_file=True, key_dir=tmp_path / "k")

        raw = (tmp_path / "k" / "private_key.pem").read_bytes()
        assert serialization.load_pem_private_key(raw, PASSWORD.encode())

    def test_password_of_the_call_takes_precedence(self, twin: Twin, tmp_path: Path) -> None:
        client = twin.client("https://127.0.0.1:9", key_rotation_password=PASSWORD)

        twin.call(client.generate_keys, save_to_file=True, key_dir=tmp_path / "k", password="another password")

        raw = (tmp_path / "k" / "private_key.pem").read_bytes()
        assert serialization.load_pem_private_key(raw, b"another password")

    def test_encrypted_pair_is_not_replaced_by_a_plain_one(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        _core.write_key_directory(tmp_path / "k", client_key, PASSWORD)
        before = contents(tmp_path / "k")
        client = twin.client(faulty_router.url)
        twin.call(client.send_secure_request, HELLO, ID)

        with pytest.raises(nomyo.SecurityError, match="nomyo keys password --no-password") as raised:
            twin.call(client.generate_keys, save_to_file=True, key_dir=tmp_path / "k")
        twin.call(client.send_secure_request, HELLO, ID)

        assert "private_key.pem" in raised.value.message
        assert contents(tmp_path / "k") == before
        assert len(set(keys_used(faulty_router))) == 1

    def test_password_is_taken_away_where_that_is_asked_for_in_words(
        self, twin: Twin, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        keys, password = tmp_path / "k", tmp_path / "password"
        _core.write_key_directory(keys, client_key, PASSWORD)
        password.write_text(PASSWORD)
        password.chmod(0o600)

        with pytest.raises(SystemExit) as ended:
            keys_command(["password", "--key-dir", str(keys), "--password-file", str(password), "--no-password"])
        client = twin.client("https://127.0.0.1:9")
        twin.call(client.generate_keys, save_to_file=True, key_dir=keys)

        assert not ended.value.code
        assert not is_encrypted(keys)


class TestLoadedPair:
    @pytest.mark.parametrize(
        ("encrypted", "password", "words"),
        [
            (True, None, "is encrypted: its password is needed"),
            (True, "another password", "password"),
            (False, PASSWORD, "a password was given, but"),
        ],
    )
    def test_file_that_the_password_does_not_open_is_a_security_error_and_the_present_pair_stays(
        self,
        twin: Twin,
        faulty_router: FaultyRouter,
        tmp_path: Path,
        client_key: _core.PrivateKey,
        key_directory: Path,
        others_key: _core.PrivateKey,
        encrypted: bool,
        password: str | None,
        words: str,
    ) -> None:
        _core.write_key_directory(tmp_path / "k", others_key, PASSWORD if encrypted else None)
        before = contents(tmp_path / "k")
        client = twin.client(faulty_router.url, key_dir=key_directory)

        with pytest.raises(nomyo.SecurityError, match=words) as raised:
            twin.call(client.load_keys, tmp_path / "k" / "private_key.pem", password=password)
        twin.call(client.send_secure_request, HELLO, ID)

        assert str(tmp_path / "k" / "private_key.pem") in raised.value.message
        assert PASSWORD not in raised.value.message
        assert keys_used(faulty_router) == [client_key.public_key.pem]
        assert contents(tmp_path / "k") == before


class TestPairOfAnotherProgram:
    def test_rotation_leaves_it_and_goes_on_in_memory(
        self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path, others_key: _core.PrivateKey, caplog: Any
    ) -> None:
        theirs = Path("client_keys")
        _core.write_key_directory(theirs, others_key)
        before = contents(theirs)
        client = twin.client(faulty_router.url, key_dir=key_directory, key_rotation_interval=NEVER)
        twin.call(client.send_secure_request, HELLO, ID)

        for _ in range(2):
            rotate(client)
        with pytest.warns(UserWarning, match=r"client_keys holds a key pair that .* key_rotation_dir of its own"):
            twin.call(client.send_secure_request, HELLO, ID)
        twin.call(client.send_secure_request, HELLO, ID)  # warned of once

        assert contents(theirs) == before
        first, *later = keys_used(faulty_router)
        assert first not in later
        assert others_key.public_key.pem not in later
        assert caplog.text.count("holds a key pair") == 1

    @pytest.mark.parametrize(("theirs", "ours"), [(PASSWORD, None), ("another password", PASSWORD)])
    def test_encrypted_one_is_left_too(
        self,
        twin: Twin,
        faulty_router: FaultyRouter,
        key_directory: Path,
        client_key: _core.PrivateKey,
        tmp_path: Path,
        theirs: str,
        ours: str | None,
    ) -> None:
        _core.write_key_directory(tmp_path / "k", client_key, theirs)
        before = contents(tmp_path / "k")
        client = twin.client(
            faulty_router.url, key_dir=None, key_rotation_dir=tmp_path / "k", key_rotation_password=ours
        )
        twin.call(client.send_secure_request, HELLO, ID)

        rotate(client)
        with pytest.warns(UserWarning, match="memory only"):
            twin.call(client.send_secure_request, HELLO, ID)

        assert contents(tmp_path / "k") == before
        assert len(set(keys_used(faulty_router))) == 2

    def test_client_s_own_pair_is_replaced_in_both_directories(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        _core.write_key_directory(tmp_path / "a", client_key)
        _core.write_key_directory(tmp_path / "b", client_key)
        client = twin.client(faulty_router.url, key_dir=tmp_path / "a", key_rotation_dir=tmp_path / "b")
        twin.call(client.send_secure_request, HELLO, ID)

        rotated = []
        for _ in range(2):
            rotate(client)
            twin.call(client.send_secure_request, HELLO, ID)
            rotated.append((tmp_path / "b" / "public_key.pem").read_text())

        assert keys_used(faulty_router) == [client_key.public_key.pem, *rotated]
        assert len(set(rotated)) == 2
        assert (tmp_path / "a" / "public_key.pem").read_text() == client_key.public_key.pem

    def test_pair_that_another_client_of_the_directory_rotated_is_taken_up(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        keys = tmp_path / "keys"
        _core.write_key_directory(keys, client_key)
        clients = [twin.client(faulty_router.url, key_dir=keys, key_rotation_dir=keys) for _ in range(2)]
        for client in clients:
            twin.call(client.send_secure_request, HELLO, ID)

        for client in clients:
            rotate(client)
        rotated = (keys / "public_key.pem").read_text()
        for client in clients:
            twin.call(client.send_secure_request, HELLO, ID)

        assert keys_used(faulty_router) == [client_key.public_key.pem] * 2 + [rotated] * 2
        assert rotated != client_key.public_key.pem

    def test_pair_that_was_loaded_from_the_directory_is_the_client_s_own(
        self, twin: Twin, tmp_path: Path, client_key: _core.PrivateKey
    ) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key)
        client = twin.client("https://127.0.0.1:9", key_rotation_dir=tmp_path / "keys")
        twin.call(client.load_keys, tmp_path / "keys" / "private_key.pem")

        rotate(client)

        assert (tmp_path / "keys" / "public_key.pem").read_text() != client_key.public_key.pem
