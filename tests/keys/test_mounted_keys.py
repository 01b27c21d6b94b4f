"""Key pairs as others lay them: mounted by Kubernetes, in read-only places, and with text around the PEM."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core
from nomyo.serve.router.running import RunningRouter
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.twins import Twin
from support.waiting import until

HELLO = [{"role": "user", "content": "Hello"}]
PASSWORD = "a password of sufficient length"
BOM = b"\xef\xbb\xbf"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A place where nothing can be written, even by root, until it is written to through `tmp_path / "place"`."""
    place = tmp_path / "place"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def make_read_only(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)


def laid_by_kubelet(place: Path, key: _core.PrivateKey, password: str | None = None) -> Path:
    """Lay a pair as the kubelet lays the files of a secret."""
    version = place / "..2026_01_02_03_04_05.678"
    _core.write_key_directory(version, key, password)
    version.chmod(0o755)
    (place / "..data").symlink_to(version.name)
    for name in ("private_key.pem", "public_key.pem"):
        (place / name).symlink_to(f"..data/{name}")
    place.chmod(0o1777)
    make_read_only(place)
    return place


def test_secret_of_kubernetes_is_used(
    twin: Twin, faulty_router: FaultyRouter, read_only: Path, client_key: _core.PrivateKey
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=laid_by_kubelet(read_only, client_key), key_rotation_interval=0)

    assert twin.call(chat.create, model="m", messages=HELLO).choices

    client = twin.client(faulty_router.url)
    twin.call(client.load_keys, read_only / "private_key.pem", read_only / "public_key.pem")
    assert twin.call(
        client.send_secure_request, {"model": "m", "messages": HELLO}, "6f1d3c0e-6c1b-4f0a-9f39-0c5c5ad0a001"
    ).choices


def test_rotation_into_a_secret_says_why_it_fails(
    twin: Twin,
    router: RunningRouter,
    read_only: Path,
    client_key: _core.PrivateKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = laid_by_kubelet(read_only, client_key)
    client = twin.client(router.url, key_dir=place, key_rotation_dir=place, key_rotation_interval=0.1)

    until(lambda: "key rotation failed" in caplog.text)

    assert "private_key.pem: is a symbolic link: the pair is kept elsewhere, as in a Kubernetes secret" in caplog.text
    assert twin.call(
        client.send_secure_request, {"model": "m", "messages": HELLO}, "6f1d3c0e-6c1b-4f0a-9f39-0c5c5ad0a001"
    ).choices


def test_secret_with_a_password_is_opened_by_commands(read_only: Path, client_key: _core.PrivateKey) -> None:
    place = laid_by_kubelet(read_only, client_key, PASSWORD)
    words = [sys.executable, "-m", "nomyo", "keys", "show", "--key-dir", str(place), "--password-file", "-"]
    done = subprocess.run(words, input=PASSWORD, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, client_key.public_key.fingerprint in done.stdout) == (0, True), done.stderr


def test_default_key_dir_in_a_read_only_place_says_what_helps(
    twin: Twin, router: RunningRouter, read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_read_only(read_only)
    monkeypatch.chdir(read_only)
    chat = twin.chat(router.url, key_dir="client_keys")

    with pytest.raises(OSError, match=r"Read-only file system; key_dir=None keeps the key pair in memory") as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert raised.value.filename == str(read_only / "client_keys")


AROUND = {
    "text before and behind": lambda pem: b"Bag Attributes\n    friendlyName: x\n" + pem + b"\nmore\n",
    "byte order mark": lambda pem: BOM + pem,
    "blanks": lambda pem: b" \n" + pem.replace(b"\n", b"  \n\t"),
    "CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "no end of the last line": lambda pem: pem.rstrip(),
}


@pytest.mark.parametrize("password", [None, PASSWORD])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
def test_key_files_may_have_text_around_the_block(
    around: Any, password: str | None, tmp_path: Path, client_key: _core.PrivateKey
) -> None:
    directory = tmp_path / "keys"
    _core.write_key_directory(directory, client_key, password)
    for path in directory.iterdir():
        path.write_bytes(around(path.read_bytes()))

    words = [sys.executable, "-m", "nomyo", "keys", "show", "--key-dir", str(directory)]
    file = [] if password is None else ["--password-file", "-"]
    done = subprocess.run([*words, *file], input=password, capture_output=True, text=True, timeout=60, check=False)
    asked = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, start_new_session=True)

    assert (done.returncode, client_key.public_key.fingerprint in done.stdout) == (0, True), done.stderr
    assert ("encrypted         no" in asked.stdout) is (password is None), asked.stdout


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
def test_router_may_send_its_key_with_text_around_the_block(
    around: Any, twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    pem = faulty_router.running.router.keys.current.public_key.pem.encode()
    faulty_router.path = PUBLIC_KEY
    faulty_router.answers.append(Answer(200, around(pem)))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    assert twin.call(chat.create, model="m", messages=HELLO).choices


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOM + PASSWORD.encode(), "begins with a byte order mark: save it as UTF-8 without one"),
        (PASSWORD.encode("utf-16"), "begins with a byte order mark"),
        (b"a password of ours\nand a note\n", "has more than one line"),
        (b"a password of ours\n\n", "has more than one line"),
        (b"", "is empty"),
    ],
)
def test_password_file_that_holds_more_than_a_password_says_so(content: bytes, said: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(content)
    secret.chmod(0o600)
    words = [
        sys.executable,
        "-m",
        "nomyo",
        "keys",
        "generate",
        "--key-size",
        "2048",
        "--key-dir",
        str(tmp_path / "keys"),
    ]
    done = subprocess.run(
        [*words, "--password-file", str(secret)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, said in done.stderr, os.path.exists(tmp_path / "keys")) == (2, True, False), done.stderr


def test_unclear_pem_names_its_file(tmp_path: Path, client_key: _core.PrivateKey) -> None:
    directory = tmp_path / "keys"
    _core.write_key_directory(directory, client_key)
    path = directory / "private_key.pem"
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(nomyo.SecurityError, match=r"private_key\.pem: expected one PEM block, not several"):
        _core.load_key_directory(directory)


def test_secret_of_kubernetes_is_all_that_it_should_be(read_only: Path, client_key: _core.PrivateKey) -> None:
    place = laid_by_kubelet(read_only, client_key)
    command = [sys.executable, "-m", "nomyo", "keys", "check", "--key-dir", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"{place}: nothing is wrong"), done.stdout
