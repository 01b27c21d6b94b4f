"""Our own key pair: where it comes from, how it rotates, when it is wiped."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives import serialization

import nomyo
from nomyo import _core
from nomyo.serve.router.running import RunningRouter
from support.faults import FaultyRouter
from support.twins import Twin
from support.waiting import until

HELLO = [{"role": "user", "content": "Hello"}]
PASSWORD = "correct horse"
ID = "8c8e4a5e-52a5-4a3c-8ab6-0b1c9fa5d2c4"


def load(directory: Path, password: str | None = None) -> Any:
    raw = (directory / "private_key.pem").read_bytes()
    return serialization.load_pem_private_key(raw, None if password is None else password.encode())


def public_pem(directory: Path, password: str | None = None) -> bytes:
    encoded: bytes = (
        load(directory, password)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return encoded


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


class TestDirectory:
    def test_empty_one_gets_a_new_pair_in_the_background(self, twin: Twin, tmp_path: Path) -> None:
        directory = tmp_path / "made" / "as needed"
        twin.client("https://127.0.0.1:9", key_dir=directory)

        until((directory / "public_key.pem").exists)

        assert mode(directory) == 0o700
        assert mode(directory / "private_key.pem") == 0o600
        assert mode(directory / "public_key.pem") == 0o644
        assert (directory / "public_key.pem").read_bytes() == public_pem(directory)
        assert sorted(os.listdir(directory)) == [".gitignore", "private_key.pem", "public_key.pem"]

    def test_default_is_client_keys_in_the_working_directory(self, twin: Twin, tmp_path: Path) -> None:
        chat = twin.chat_class("https://127.0.0.1:9")
        try:
            until((tmp_path / "client_keys" / "public_key.pem").exists)
        finally:
            chat.dispose()
        assert load(tmp_path / "client_keys").key_size == 4096

    def test_pair_in_it_is_used_and_left_as_it_is(
        self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path
    ) -> None:
        before = snapshot(key_directory)
        chat = twin.chat(faulty_router.url, key_dir=key_directory)
        twin.call(chat.create, model="m", messages=HELLO)

        assert unquote(faulty_router.posts[0].headers["x-public-key"]).encode() == public_pem(key_directory)
        assert snapshot(key_directory) == before

    def test_none_keeps_keys_in_memory_only(self, twin: Twin, router: RunningRouter, tmp_path: Path) -> None:
        client = twin.client(router.url, key_dir=None)
        twin.call(client.send_secure_request, {"model": "m", "messages": HELLO}, ID)

        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("password", [None, "another password"])
    def test_wrong_password_is_a_security_error_and_files_stay(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any, password: str | None
    ) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key, PASSWORD)
        before = snapshot(tmp_path / "keys")
        chat = twin.chat(router.url, key_dir=tmp_path / "keys", key_rotation_password=password)

        for _ in range(2):
            with pytest.raises(nomyo.SecurityError) as raised:
                twin.call(chat.create, model="m", messages=HELLO)
            assert PASSWORD not in str(raised.value)
            assert raised.value.__context__ is None
        assert snapshot(tmp_path / "keys") == before

    def test_password_opens_the_pair(self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key, PASSWORD)
        with nomyo.SecureBuffer(PASSWORD.encode()) as buffer:
            for password in (PASSWORD, buffer):
                chat = twin.chat(router.url, key_dir=tmp_path / "keys", key_rotation_password=password)
                assert twin.call(chat.create, model="m", messages=HELLO).choices

    @pytest.mark.parametrize("name", ["private_key.pem", "public_key.pem"])
    @pytest.mark.parametrize("damage", [b"", b"not a key", "half"])
    def test_damaged_file_is_a_security_error_and_files_stay(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any, name: str, damage: Any
    ) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key)
        path = tmp_path / "keys" / name
        path.write_bytes(path.read_bytes()[:200] if damage == "half" else damage)
        before = snapshot(tmp_path / "keys")
        chat = twin.chat(router.url, key_dir=tmp_path / "keys")

        with pytest.raises(nomyo.SecurityError):
            twin.call(chat.create, model="m", messages=HELLO)
        assert snapshot(tmp_path / "keys") == before

    def test_mended_directory_is_used_without_a_new_client(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any
    ) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key)
        path = tmp_path / "keys" / "private_key.pem"
        whole = path.read_bytes()
        path.write_bytes(b"damaged")
        chat = twin.chat(router.url, key_dir=tmp_path / "keys")
        with pytest.raises(nomyo.SecurityError):
            twin.call(chat.create, model="m", messages=HELLO)

        path.write_bytes(whole)

        assert twin.call(chat.create, model="m", messages=HELLO).choices

    @pytest.mark.parametrize("what", ["directory", "private_key.pem", "public_key.pem"])
    def test_symbolic_link_that_others_may_have_laid_is_refused(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any, what: str
    ) -> None:
        real, used = tmp_path / "real", tmp_path / "used"
        _core.write_key_directory(real, client_key)
        if what == "directory":
            used.symlink_to(real)
        else:
            _core.write_key_directory(used, client_key)
            (used / what).unlink()
            (used / what).symlink_to(real / what)
            real.chmod(0o770)  # others may exchange what the link leads to
        chat = twin.chat(router.url, key_dir=used)

        with pytest.raises(nomyo.SecurityError, match="symbolic link"):
            twin.call(chat.create, model="m", messages=HELLO)

    @pytest.mark.outside("root, to give a file away")
    def test_foreign_owner_is_refused(self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key)
        os.chown(tmp_path / "keys" / "private_key.pem", 12345, 12345)
        chat = twin.chat(router.url, key_dir=tmp_path / "keys")

        with pytest.raises(nomyo.SecurityError, match="own"):
            twin.call(chat.create, model="m", messages=HELLO)

    def test_too_open_modes_are_warned_of(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any
    ) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key)
        os.chmod(tmp_path / "keys" / "private_key.pem", 0o644)
        chat = twin.chat(router.url, key_dir=tmp_path / "keys")

        with pytest.warns(UserWarning, match=r"private_key\.pem.*0600"):
            twin.call(chat.create, model="m", messages=HELLO)
        assert twin.call(chat.create, model="m", messages=HELLO).choices  # warned of once

    def test_public_key_alone_is_never_overwritten(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, client_key: Any
    ) -> None:
        _core.write_key_directory(tmp_path / "keys", client_key)
        (tmp_path / "keys" / "private_key.pem").unlink()
        before = snapshot(tmp_path / "keys")
        chat = twin.chat(router.url, key_dir=tmp_path / "keys")

        with pytest.raises(nomyo.SecurityError):
            twin.call(chat.create, model="m", messages=HELLO)
        assert snapshot(tmp_path / "keys") == before

    def test_eight_processes_on_one_empty_directory_end_with_the_same_pair(self, tmp_path: Path) -> None:
        program = (
            "import sys; from nomyo import _core\n"
            "sys.stdin.read()\n"
            "key, created, *_ = _core.open_key_directory(sys.argv[1], 2048)\n"
            "print(created, key.public_key.fingerprint)"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(tmp_path / "keys")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        for process in processes:
            assert process.stdin
            process.stdin.close()
        outcomes = []
        for process in processes:
            assert process.stdout
            with process.stdout:
                outcomes.append(process.stdout.read().split())
            assert process.wait(60) == 0

        assert len({fingerprint for _, fingerprint in outcomes}) == 1
        assert sorted(created for created, _ in outcomes) == ["False"] * 7 + ["True"]


class TestGenerateAndLoad:
    def test_generated_pair_is_saved_atomically_and_used(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path
    ) -> None:
        client = twin.client(faulty_router.url)
        directory = tmp_path / "saved"
        for _ in range(2):
            twin.call(client.generate_keys, save_to_file=True, key_dir=directory, password=PASSWORD)
        twin.call(client.send_secure_request, {"model": "m"} | {"messages": HELLO}, ID)

        assert unquote(faulty_router.posts[0].headers["x-public-key"]).encode() == public_pem(directory, PASSWORD)
        assert mode(directory / "private_key.pem") == 0o600

    @pytest.mark.parametrize("key_size", [2048, 3072, 4096, None])
    def test_size_is_the_one_asked_for(self, twin: Twin, tmp_path: Path, key_size: int | None) -> None:
        client = twin.client("https://127.0.0.1:9", key_size=2048)

        twin.call(client.generate_keys, key_size=key_size, save_to_file=True, key_dir=tmp_path / "k")

        assert load(tmp_path / "k").key_size == (key_size or 2048)

    def test_short_password_is_a_value_error_and_writes_nothing(self, twin: Twin, tmp_path: Path) -> None:
        client = twin.client("https://127.0.0.1:9")

        with pytest.raises(ValueError, match="8 characters"):
            twin.call(client.generate_keys, save_to_file=True, key_dir=tmp_path / "k", password="short")

        assert not (tmp_path / "k" / "private_key.pem").exists()

    def test_loaded_pair_is_used(
        self, twin: Twin, faulty_router: FaultyRouter, tmp_path: Path, client_key: Any
    ) -> None:
        _core.write_key_directory(tmp_path / "k", client_key, PASSWORD)
        private, public = tmp_path / "k" / "private_key.pem", tmp_path / "k" / "public_key.pem"
        for arguments in [(private, None, PASSWORD), (str(private), str(public), PASSWORD)]:
            client = twin.client(faulty_router.url)
            twin.call(client.load_keys, *arguments)
            twin.call(client.send_secure_request, {"model": "m", "messages": HELLO}, ID)

        assert len({post.headers["x-public-key"] for post in faulty_router.posts}) == 1

    def test_halves_that_do_not_belong_together_are_refused(self, twin: Twin, tmp_path: Path, client_key: Any) -> None:
        _core.write_key_directory(tmp_path / "a", client_key)
        _core.write_key_directory(tmp_path / "b", _core.PrivateKey.generate(2048))
        client = twin.client("https://127.0.0.1:9")

        with pytest.raises(nomyo.SecurityError):
            twin.call(client.load_keys, tmp_path / "a" / "private_key.pem", tmp_path / "b" / "public_key.pem")

    def test_missing_file_is_an_os_error_with_its_name(self, twin: Twin, tmp_path: Path) -> None:
        client = twin.client("https://127.0.0.1:9")

        with pytest.raises(FileNotFoundError) as raised:
            twin.call(client.load_keys, tmp_path / "none.pem")
        assert raised.value.filename == str(tmp_path / "none.pem")


class TestRotation:
    def test_pair_is_replaced_every_interval_without_any_request(self, twin: Twin, tmp_path: Path) -> None:
        directory = tmp_path / "keys"
        twin.client(
            "https://127.0.0.1:9",
            key_dir=directory,
            key_rotation_dir=directory,
            key_rotation_interval=0.2,
            key_rotation_password=PASSWORD,
        )
        until((directory / "public_key.pem").exists)
        first = (directory / "public_key.pem").read_bytes()

        until(lambda: (directory / "public_key.pem").read_bytes() != first)

        assert load(directory, PASSWORD).key_size == 2048
        assert mode(directory / "private_key.pem") == 0o600

    def test_memory_keys_are_written_only_where_a_directory_was_given(
        self, twin: Twin, router: RunningRouter, tmp_path: Path
    ) -> None:
        silent = twin.client(router.url, key_rotation_interval=0.1)
        writing = twin.client(router.url, key_rotation_interval=0.1, key_rotation_dir=tmp_path / "rotated")

        until((tmp_path / "rotated" / "public_key.pem").exists)
        silent.dispose()
        writing.dispose()

        assert [path.name for path in tmp_path.iterdir()] == ["rotated"]

    def test_requests_go_on_while_the_pair_rotates(self, twin: Twin, faulty_router: FaultyRouter) -> None:
        client = twin.client(faulty_router.url, key_rotation_interval=0.05)

        def keys_seen() -> set[str]:
            return {post.headers["x-public-key"] for post in faulty_router.posts}

        until(
            lambda: (
                twin.call(client.send_secure_request, {"model": "m", "messages": HELLO}, ID).choices
                and len(keys_seen()) > 3
            )
        )

    def test_failed_rotation_keeps_the_pair_and_says_so(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("not a directory")
        client = twin.client(router.url, key_rotation_interval=0.1, key_rotation_dir=tmp_path / "file")

        until(lambda: "key rotation failed" in caplog.text)

        assert twin.call(client.send_secure_request, {"model": "m", "messages": HELLO}, ID).choices

    def test_dropped_client_ends_its_thread_and_lets_go_of_its_keys(self, twin: Twin, key_directory: Path) -> None:
        def rotation_threads() -> set[threading.Thread]:
            return {thread for thread in threading.enumerate() if thread.name == "nomyo-rotation"}

        # One of a test before may be about to end.
        before = rotation_threads()

        def make_and_drop() -> weakref.ref[Any]:
            client = twin.client_class("https://127.0.0.1:9", key_dir=key_directory)
            assert len(rotation_threads() - before) == 1
            until(lambda: client._exchange._keys._pair)
            return weakref.ref(client._exchange._keys)

        keys = make_and_drop()

        def gone() -> bool:
            gc.collect()
            return keys() is None and not rotation_threads() - before

        until(gone)
