"""First-use trust: the first key of a router is remembered, another one is refused until its user accepts it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core
from nomyo.trust.key_log import Judgement
from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name
from support.faults import FaultyRouter
from support.first_use import HELLO, ask, judged, replace_key
from support.twins import Twin

SEEN = re.compile(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


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
