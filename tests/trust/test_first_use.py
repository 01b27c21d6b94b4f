"""First-use trust: the first key of a router is remembered, another one is refused until its user accepts it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core
from nomyo.trust.key_log import Judgement, KeyRecord, records
from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name
from support.faults import PUBLIC_KEY, FaultyRouter
from support.process import output_of
from support.twins import Twin

HELLO: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]
SEEN = re.compile(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_routers"


@pytest.fixture(scope="session")
def other_key() -> _core.PublicKey:
    """Another key of the router's."""
    return _core.PrivateKey.generate(2048).public_key


@pytest.fixture
def changed(faulty_router: FaultyRouter, other_key: _core.PublicKey) -> FaultyRouter:
    """A router whose key was replaced by somebody on the way, until `change` is None."""
    faulty_router.path = PUBLIC_KEY
    return faulty_router


def replace_key(router: FaultyRouter, key: _core.PublicKey) -> None:
    router.change = lambda _: key.pem.encode()


def ask(twin: Twin, url: str, **options: Any) -> str:
    """Send one request with a client of its own."""
    answer = twin.call(twin.chat(url, **options).create, model="m", messages=HELLO)
    return str(answer.choices[0].message.content)


def judged(path: Path) -> list[str]:
    """Return how each key of the log was judged."""
    found = [record for _, record, _ in records(KnownRouters(path).log)]
    return [str(record.judged) for record in found if isinstance(record, KeyRecord)]


def test_first_key_is_remembered_and_known_again(
    twin: Twin, changed: FaultyRouter, key_directory: Path, path: Path
) -> None:
    for _ in range(3):
        assert ask(twin, changed.url, key_dir=key_directory, known_routers=path) == "Hello"

    known = KnownRouters(path).of(router_name(changed.url))
    assert known.key is not None
    assert (known.key.fingerprint, known.key.judged) == (changed.running.fingerprint, "first-use")
    assert judged(path) == ["first-use"]
    assert {each.stat().st_mode & 0o777 for each in (path, KnownRouters(path).log)} == {0o600}


def test_another_key_is_refused_before_anything_is_sealed_for_it(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, key_directory: Path, path: Path
) -> None:
    ask(twin, changed.url, key_dir=key_directory, known_routers=path)
    sent = len(changed.posts)
    replace_key(changed, other_key)

    for _ in range(2):
        with pytest.raises(nomyo.SecurityError) as refused:
            ask(twin, changed.url, key_dir=key_directory, known_routers=path)

    words = str(refused.value)
    assert other_key.fingerprint in words
    assert changed.running.fingerprint in words
    assert SEEN.search(words)
    assert "Ask the operator" in words
    assert f"`nomyo trust accept {changed.url} {other_key.fingerprint} --known-routers {path}`" in words
    assert refused.value.__context__ is None
    assert len(changed.posts) == sent
    assert judged(path) == ["first-use", "changed"]


def test_accepted_key_counts_at_once_and_the_old_one_no_more(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, key_directory: Path, path: Path
) -> None:
    router = router_name(changed.url)
    replace_key(changed, other_key)
    client = twin.client(changed.url, key_dir=key_directory, known_routers=path, server_key_ttl=0)
    twin.call(client.fetch_server_public_key)
    changed.change = None
    with pytest.raises(nomyo.SecurityError):
        twin.call(client.fetch_server_public_key)

    before, after = KnownRouters(path).accept(router, None)

    assert before.key is not None
    assert after.key is not None
    assert (before.key.fingerprint, after.key.fingerprint) == (other_key.fingerprint, changed.running.fingerprint)
    twin.call(client.fetch_server_public_key)  # the same client goes on
    replace_key(changed, other_key)
    with pytest.raises(nomyo.SecurityError, match="by which it is known since"):
        twin.call(client.fetch_server_public_key)
    assert judged(path) == ["first-use", "changed", "accepted", "changed"]


def test_announced_key_replaces_the_one_before_once_it_is_shown(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, path: Path, key_directory: Path
) -> None:
    client = twin.client(changed.url, key_dir=key_directory, known_routers=path)
    twin.call(client.fetch_server_public_key)
    KnownRouters(path).add(router_name(changed.url), other_key.fingerprint)
    twin.call(client.fetch_server_public_key)  # the present key goes on to count
    replace_key(changed, other_key)
    twin.call(client.fetch_server_public_key)
    changed.change = None

    with pytest.raises(nomyo.SecurityError, match=re.escape(other_key.fingerprint)):
        twin.call(client.fetch_server_public_key)

    assert judged(path) == ["first-use", "added", "known", "announced", "changed"]


def test_router_that_is_not_known_must_show_a_key_that_was_added(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, path: Path, key_directory: Path
) -> None:
    known_routers = KnownRouters(path)
    known_routers.add(router_name(changed.url), other_key.fingerprint)
    client = twin.client(changed.url, key_dir=key_directory, known_routers=path)

    with pytest.raises(nomyo.SecurityError, match=rf"not {re.escape(other_key.fingerprint)}, added 20"):
        twin.call(client.fetch_server_public_key)

    replace_key(changed, other_key)
    twin.call(client.fetch_server_public_key)
    known = known_routers.of(router_name(changed.url))
    assert known.key is not None
    assert known.key.judged is Judgement.ANNOUNCED
    assert known.added == ()


def test_forgotten_router_is_new_again(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, path: Path, key_directory: Path
) -> None:
    client = twin.client(changed.url, key_dir=key_directory, known_routers=path)
    twin.call(client.fetch_server_public_key)
    KnownRouters(path).forget(router_name(changed.url))
    replace_key(changed, other_key)

    twin.call(client.fetch_server_public_key)

    assert judged(path) == ["first-use", "forgotten", "first-use"]


def test_pins_win_over_what_is_known(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, path: Path, key_directory: Path
) -> None:
    options: dict[str, Any] = {"key_dir": key_directory, "known_routers": path}
    twin.call(twin.client(changed.url, **options).fetch_server_public_key)
    replace_key(changed, other_key)
    pinned = twin.client(changed.url, server_key_fingerprint=other_key.fingerprint, **options)

    for _ in range(2):
        twin.call(pinned.fetch_server_public_key)
    changed.change = None
    for _ in range(2):
        with pytest.raises(nomyo.SecurityError, match="matches none of the pinned") as refused:
            twin.call(pinned.fetch_server_public_key)

    assert refused.value.router_key
    twin.call(twin.client(changed.url, **options).fetch_server_public_key)  # what is known has not changed
    assert judged(path) == ["first-use", "pinned", "unpinned", "known"]


def test_pinned_key_of_a_router_that_is_not_known_is_remembered(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, path: Path, key_directory: Path
) -> None:
    options: dict[str, Any] = {"key_dir": key_directory, "known_routers": path}
    pinned = twin.client(changed.url, server_key_fingerprint=changed.running.fingerprint, **options)
    twin.call(pinned.fetch_server_public_key)
    replace_key(changed, other_key)

    with pytest.raises(nomyo.SecurityError, match="by which it is known"):
        twin.call(twin.client(changed.url, **options).fetch_server_public_key)

    assert judged(path) == ["pinned", "changed"]


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
    monkeypatch.setattr("nomyo._files.file_systems.fcntl.flock", refuse)
    with pytest.raises(nomyo.ConfigurationError, match=r"known_routers: .*known_routers\.log: No locks available"):
        twin.call(client.fetch_server_public_key)

    assert not path.exists()


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


def test_key_of_a_temporary_client_is_judged_too(
    twin: Twin,
    changed: FaultyRouter,
    other_key: _core.PublicKey,
    key_directory: Path,
    path: Path,
) -> None:
    chat = twin.chat("http://127.0.0.1:9", key_dir=key_directory, known_routers=path)
    twin.call(chat.create, model="m", messages=HELLO, base_url=changed.url)
    replace_key(changed, other_key)

    with pytest.raises(nomyo.SecurityError, match="by which it is known"):
        twin.call(chat.create, model="m", messages=HELLO, base_url=changed.url)

    assert KnownRouters(path).all().keys() == {router_name(changed.url)}


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
