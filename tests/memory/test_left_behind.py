"""What a client leaves in memory, searched from outside: secrets in locked pages, and the caller's own objects.

Every test is a program that does its work against a router on this machine and waits, its client still alive, while
another process reads every page that it has. Of the objects that the program gave or was given it tells the addresses;
what lies elsewhere in memory that is not locked is a residue.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from support.memory_scan import outside
from support.needles import Text, of_password, of_private_key
from support.noting_router import Conduct
from support.scanned import FROM_BUFFER, PLAIN, SECRET, waiting
from support.scene import KEY, Scene, objects, write_keys
from support.tls import Authority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")

WAYS = [
    pytest.param(PLAIN, id="dict"),
    pytest.param(FROM_BUFFER, id="from buffer"),
    pytest.param(SECRET, id="secret"),
]
BROKEN_ENDS = ("last byte", "junk behind", "too deep", "field twice")  # of `broken_ends`; test_residue.py has them all
TWIN_NAMES = ("sync", "async")
PASSWORD = "a pässword of sufficient length"


@pytest.fixture(params=TWIN_NAMES)
def kind(request: pytest.FixtureRequest) -> str:
    """The sync and the async client in turn, by name."""
    return str(request.param)


def secrets_of(finds: Any) -> set[str]:
    return {find.secret for find in finds}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_leave_nothing_but_the_objects(
    tmp_path: Path, tls_authority: Authority, kind: str, scheme: str, way: dict[str, str]
) -> None:
    with Scene(tmp_path, tls_authority if scheme == "https" else None) as scene:
        env = {"SSL_CERT_FILE": str(tls_authority.ca)}
        with waiting("asked", kind, tmp_path, {**scene.job, **way}, env) as child:
            finds = child.search(scene.needles())

    assert [request["messages"][0]["content"] for request in scene.router.requests] == contents(scene.messages)
    assert outside(finds, child.kept) == []
    # The search does see the key that is in use, and the objects.
    assert KEY in secrets_of(find for find in finds if find.locked)
    assert secrets_of(outside(finds)) == objects(scene, way)


@pytest.mark.parametrize("way", WAYS[::2])
@pytest.mark.parametrize("conduct", ["wrong tag", "not JSON", "unavailable", "silent", *BROKEN_ENDS])
def test_failures_leave_nothing_but_the_objects(scene: Scene, kind: str, conduct: Conduct, way: dict[str, str]) -> None:
    scene.router.conduct = conduct
    options = {"max_retries": 1} if conduct == "unavailable" else {"max_retries": 0, "timeout": 1.0}
    messages = scene.job["messages"][2:3] if conduct in ("unavailable", "silent") else scene.job["messages"]
    with waiting(
        "failed", kind, scene.directory, {**scene.job, "options": options, **way, "messages": messages}
    ) as child:
        finds = child.search(scene.needles())

    assert len(scene.router.requests) == len(messages) * (1 + options["max_retries"])
    assert outside(finds, child.kept) == []


@pytest.mark.parametrize("way", WAYS[::2])
def test_cancelled_requests_leave_nothing_but_the_objects(scene: Scene, way: dict[str, str]) -> None:
    scene.router.conduct = "silent"
    received = scene.directory / "received"

    def tell() -> None:
        scene.router.received.wait()
        received.touch()

    threading.Thread(target=tell, daemon=True).start()
    with waiting("cancelled", "async", scene.directory, {**scene.job, **way, "received": str(received)}) as child:
        finds = child.search(scene.needles())

    assert scene.router.requests, "no request was cancelled as late as that"
    assert outside(finds, child.kept) == []


def test_context_that_fails_leaves_nothing(scene: Scene) -> None:
    with waiting("used_in_context", "sync", scene.directory, scene.job) as child:
        assert child.search(scene.needles()) == []


@pytest.mark.parametrize("way", WAYS[::2])
@pytest.mark.parametrize("name", ["disposed", "collected"])
def test_client_that_ended_leaves_nothing_in_locked_memory_either(
    scene: Scene, kind: str, name: str, way: dict[str, str]
) -> None:
    with waiting(name, kind, scene.directory, {**scene.job, **way}) as child:
        finds = child.search(scene.needles())

    assert outside(finds, child.kept) == []
    assert [find for find in finds if find.locked] == []


def test_key_that_was_replaced_is_gone(scene: Scene, kind: str) -> None:
    first, second = scene.directory / "first", scene.directory / "second"
    job = {**scene.job, "directories": [str(first), str(second)]}
    with waiting("keys_replaced", kind, scene.directory, job) as child:
        pems = [(directory / "private_key.pem").read_bytes() for directory in (first, second)]
        finds = child.search([*of_private_key("old key", pems[0]), *of_private_key("new key", pems[1])])

    assert outside(finds) == []
    assert secrets_of(finds) == {"new key"}


def test_rotated_key_is_gone(scene: Scene, kind: str) -> None:
    with waiting("rotated", kind, scene.directory, scene.job) as child:
        new = of_private_key("new key", (scene.keys / "private_key.pem").read_bytes())
        finds = child.search([*scene.needles(), *new])

    assert outside(finds, child.kept) == []
    assert secrets_of(find for find in finds if find.locked) == {"new key"}


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_loaded_key_is_in_locked_memory_alone(scene: Scene, kind: str, password: str | None) -> None:
    with waiting("keys_loaded", kind, scene.directory, with_password(scene, password)) as child:
        finds = child.search(scene.needles(password.encode() if password else None) + of_password(PASSWORD))

    assert outside(finds) == []
    assert secrets_of(finds) == ({KEY, "password"} if password else {KEY})


def test_password_of_a_key_directory_is_in_locked_memory_alone(scene: Scene, kind: str) -> None:
    with waiting("opened_with_password", kind, scene.directory, with_password(scene, PASSWORD)) as child:
        finds = child.search(scene.needles(PASSWORD.encode()) + of_password(PASSWORD))

    assert outside(finds, child.kept) == []
    assert {KEY, "password"} <= secrets_of(find for find in finds if find.locked)


def test_password_of_a_new_key_is_in_locked_memory_alone(scene: Scene, kind: str) -> None:
    directory = scene.directory / "first"
    job = {**with_password(scene, PASSWORD), "directories": [str(directory)]}
    with waiting("keys_replaced", kind, scene.directory, job) as child:
        key = of_private_key(KEY, (directory / "private_key.pem").read_bytes(), PASSWORD.encode())
        finds = child.search(key + of_password(PASSWORD))

    assert outside(finds) == []
    assert secrets_of(finds) == {KEY, "password"}


def with_password(scene: Scene, password: str | None) -> dict[str, Any]:
    """Encrypt the key directory anew, and have the program read the password from a file."""
    if password is None:
        return scene.job
    scene.pem = write_keys(scene.keys, password)
    (scene.directory / "password").write_text(password)
    return {**scene.job, "password": str(scene.directory / "password")}


def contents(drawn: list[Text]) -> list[str]:
    return [text.content for text in drawn]
