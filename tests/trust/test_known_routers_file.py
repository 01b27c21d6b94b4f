"""The file of known routers: who may change it, what is refused, and that many clients share it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import nomyo
from nomyo.trust.known_routers import KnownRouters
from support.faults import FaultyRouter
from support.first_use import HELLO, ask, judged
from support.process import output_of
from support.twins import Twin


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b'{"version": 1}',
        b'{"version": 2, "routers": {}}',
        b'{"version": 1, "routers": {}, "routers": {}}',
        b'{"version": 1, "routers": {"x:443": {"key": null, "added": [], "refused": null}}}',
        b'{"version": 1, "routers": {"x:443": {"key": {"fingerprint": "SHA256:x", "since": "", "judged": "known"},'
        b' "added": [], "refused": null, "last": null}}}',
        b"\xff",
        b"[" * 100_000,
        b" " * (5 << 20),
    ],
    ids=range(11),
)
def test_damaged_file_is_refused_and_kept(
    twin: Twin, changed: FaultyRouter, path: Path, key_directory: Path, content: bytes
) -> None:
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(nomyo.SecurityError, match="stays as it is") as refused:
        ask(twin, changed.url, key_dir=key_directory, known_routers=path)

    assert path.read_bytes() == content
    assert refused.value.router_key
    assert refused.value.__context__ is None
    assert changed.posts == []


def test_link_mode_and_second_name_are_refused(
    twin: Twin, changed: FaultyRouter, path: Path, key_directory: Path, tmp_path: Path
) -> None:
    client = twin.client(changed.url, key_dir=key_directory, known_routers=path)
    twin.call(client.fetch_server_public_key)
    real = tmp_path / "real"
    path.chmod(0o644)
    with pytest.raises(nomyo.SecurityError, match="mode is 0644"):
        twin.call(client.fetch_server_public_key)
    path.chmod(0o600)
    os.link(path, real)
    with pytest.raises(nomyo.SecurityError, match="second name"):
        twin.call(client.fetch_server_public_key)
    path.unlink()
    path.symlink_to(real)
    with pytest.raises(nomyo.SecurityError, match="symbolic link"):
        twin.call(client.fetch_server_public_key)
    path.unlink()
    path.mkdir()
    with pytest.raises(nomyo.SecurityError, match="no regular file"):
        twin.call(client.fetch_server_public_key)


def test_directory_that_is_missing_is_an_error_of_this_machine(
    twin: Twin, changed: FaultyRouter, key_directory: Path, tmp_path: Path
) -> None:
    with pytest.raises(nomyo.ConfigurationError, match=r"known_routers: .*missing/known_routers.log: No such file"):
        ask(twin, changed.url, key_dir=key_directory, known_routers=tmp_path / "missing" / "known_routers")

    assert changed.posts == []


def test_file_system_without_locks_is_refused(
    twin: Twin, changed: FaultyRouter, key_directory: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    client = twin.client(changed.url, key_dir=key_directory, known_routers=path)
    twin.call(client.wait_for_keys)
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(nomyo.ConfigurationError, match=r"known_routers: .*known_routers\.log: No locks available"):
        twin.call(client.fetch_server_public_key)

    assert not path.exists()


def test_known_routers_are_kept_without_the_calls_that_windows_lacks(
    changed: FaultyRouter, key_directory: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pread", "fchmod", "O_DIRECTORY", "O_TMPFILE", "O_NOFOLLOW", "geteuid"):
        monkeypatch.delattr(os, name)
    for _ in range(2):
        with nomyo.SyncSecureCompletionClient(changed.url, True, key_dir=key_directory, known_routers=path) as client:
            client.fetch_server_public_key()

    assert judged(path) == ["first-use"]


def test_error_of_a_signal_handler_stays_itself(
    changed: FaultyRouter, key_directory: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise TimeoutError("the limit of a task queue")

    monkeypatch.setattr(KnownRouters, "judge", interrupted)
    with (
        nomyo.SyncSecureCompletionClient(changed.url, True, key_dir=key_directory, known_routers=path) as client,
        pytest.raises(TimeoutError, match="task queue"),
    ):
        client.fetch_server_public_key()


def test_clients_of_many_threads_share_one_file(changed: FaultyRouter, key_directory: Path, path: Path) -> None:
    def fetch(_: int) -> None:
        with nomyo.SyncSecureCompletionClient(changed.url, True, key_dir=key_directory, known_routers=path) as client:
            client.fetch_server_public_key()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fetch, range(8)))

    assert judged(path) == ["first-use"]


def test_cached_key_costs_no_file(
    twin: Twin, changed: FaultyRouter, key_directory: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = twin.chat(changed.url, key_dir=key_directory, known_routers=path)
    twin.call(chat.create, model="m", messages=HELLO)
    path.unlink()
    KnownRouters(path).log.unlink()

    twin.call(chat.create, model="m", messages=HELLO)

    assert not path.exists()


def test_files_are_read_in_a_thread_while_the_loop_goes_on(
    changed: FaultyRouter, key_directory: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    judge = KnownRouters.judge

    def noted(self: KnownRouters, *arguments: str) -> None:
        threads.append(threading.current_thread().name)
        judge(self, *arguments)

    async def main() -> None:
        async with nomyo.SecureChatCompletion(changed.url, True, key_dir=key_directory, known_routers=path) as chat:
            await asyncio.gather(*(chat.create(model="m", messages=HELLO) for _ in range(8)))

    monkeypatch.setattr(KnownRouters, "judge", noted)
    asyncio.run(main())
    assert len(threads) == 1
    assert threads[0].startswith("nomyo-files")


def test_relative_path_is_relative_to_where_the_client_was_made(
    changed: FaultyRouter, key_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nomyo.SyncSecureCompletionClient(changed.url, True, key_dir=key_directory, known_routers="known") as client:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        client.fetch_server_public_key()

    assert (tmp_path / "known").exists()


def test_client_of_a_forked_child_uses_the_same_file(changed: FaultyRouter, key_directory: Path, path: Path) -> None:
    program = """
import os, sys, warnings
import nomyo
warnings.simplefilter("ignore")
def fetch():
    options = {"key_dir": sys.argv[2], "known_routers": sys.argv[3]}
    with nomyo.SyncSecureCompletionClient(sys.argv[1], True, **options) as client:
        client.fetch_server_public_key()
fetch()
child = os.fork()
if not child:
    fetch()
    os._exit(0)
print(os.waitpid(child, 0)[1])
fetch()
"""
    assert output_of(program, changed.url, str(key_directory), str(path)) == "0\n"
    assert judged(path) == ["first-use"]


def test_known_routers_is_checked_when_the_client_is_made() -> None:
    for wrong, kind in [("", ValueError), ("a\0b", ValueError), (3, TypeError), (b"known", TypeError)]:
        with pytest.raises(kind, match="known_routers"):
            nomyo.SyncSecureCompletionClient("https://router.example", known_routers=wrong, key_dir=None)  # type: ignore[arg-type]


def test_file_says_what_is_known(changed: FaultyRouter, key_directory: Path, path: Path) -> None:
    with nomyo.SyncSecureCompletionClient(changed.url, True, key_dir=key_directory, known_routers=path) as client:
        client.fetch_server_public_key()

    written = json.loads(path.read_text())
    assert written["version"] == 1
    [(router, known)] = written["routers"].items()
    assert router == changed.url.removeprefix("http://")
    assert known["key"]["fingerprint"] == changed.running.fingerprint


def test_second_name_that_a_killed_writer_left_is_removed_by_the_next(path: Path) -> None:
    routers = KnownRouters(path)
    routers.judge("router:443", "SHA256:" + "A" * 43, "https://router")
    leftover = path.with_name(f".{path.name}.nomyo-new")
    leftover.hardlink_to(path)

    assert routers.of("router:443").key is not None
    routers.add("router:443", "SHA256:" + "B" * 43)

    assert path.stat().st_nlink == 1
    assert not leftover.exists()
