"""A file of known routers that was removed beside its log, that would become too large, or that is a directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nomyo
from nomyo import _core
from nomyo.cli import main
from nomyo.trust import key_file
from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name
from support.faults import FaultyRouter
from support.first_use import ask, judged, replace_key
from support.twins import Twin

KEY = f"SHA256:{'A' * 43}"


def test_same_key_is_known_by_the_log_and_the_file_is_written_anew(
    twin: Twin, changed: FaultyRouter, key_directory: Path, path: Path
) -> None:
    KnownRouters(path).add("other.example:443", KEY)
    ask(twin, changed.url, key_dir=key_directory, known_routers=path)
    before = path.read_bytes()
    path.unlink()

    with pytest.warns(UserWarning, match="was missing beside its log"):
        ask(twin, changed.url, key_dir=key_directory, known_routers=path)

    assert path.read_bytes() == before
    assert judged(path) == ["added", "first-use"]


def test_another_key_is_refused_though_the_file_is_missing(
    twin: Twin, changed: FaultyRouter, other_key: _core.PublicKey, key_directory: Path, path: Path
) -> None:
    ask(twin, changed.url, key_dir=key_directory, known_routers=path)
    sent = len(changed.posts)
    path.unlink()
    replace_key(changed, other_key)

    with (
        pytest.warns(UserWarning, match="was missing beside its log"),
        pytest.raises(nomyo.SecurityError, match="shows the key") as refused,
    ):
        ask(twin, changed.url, key_dir=key_directory, known_routers=path)

    assert changed.running.fingerprint in str(refused.value)
    assert len(changed.posts) == sent


def test_forgotten_router_stays_forgotten_and_an_accepted_key_stays_known(path: Path) -> None:
    known = KnownRouters(path)
    known.judge("a:443", KEY, "a")
    known.judge("b:443", KEY, "b")
    known.accept("a:443", f"SHA256:{'B' * 43}")
    known.forget("b:443")
    before = known.all()
    path.unlink()

    assert known.all() == before
    assert known.all().keys() == {"a:443"}


def test_altered_log_is_no_witness(path: Path) -> None:
    known = KnownRouters(path)
    known.judge("a:443", KEY, "a")
    known.judge("b:443", KEY, "b")
    path.unlink()
    known.log.write_bytes(known.log.read_bytes().replace(b"a:443", b"c:443"))

    with pytest.raises(nomyo.SecurityError, match="line 1 does not follow"):
        known.judge("a:443", KEY, "a")


def test_verify_tells_that_the_file_is_missing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KnownRouters(path).judge("a:443", KEY, "a")
    path.unlink()

    for words in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            main(["trust", "verify", "--known-routers", str(path), *words])
        assert ended.value.code == 1
    told, as_json = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert f"{path} is missing: what the log tells counts" in told
    assert told.startswith(f"{path}.log: the chain of 1 line is whole\n")
    assert (json.loads(as_json)["ok"], json.loads(as_json)["file_missing"]) == (False, True)


def test_file_never_becomes_larger_than_what_is_read(
    twin: Twin, changed: FaultyRouter, key_directory: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    KnownRouters(path).judge("a:443", KEY, "a")
    before = path.read_bytes()
    monkeypatch.setattr(key_file, "MAX_BYTES", len(before))

    with pytest.raises(nomyo.ConfigurationError, match="`nomyo trust forget` makes room"):
        ask(twin, changed.url, key_dir=key_directory, known_routers=path)

    assert path.read_bytes() == before
    assert judged(path) == ["first-use"]
    assert router_name(changed.url) not in KnownRouters(path).all()


@pytest.mark.parametrize("option", ["known_routers", "audit_log"])
def test_directory_is_refused_when_the_client_is_made(twin: Twin, tmp_path: Path, option: str) -> None:
    for directory in ("/", tmp_path, f"{tmp_path}/"):
        with pytest.raises(ValueError, match=f"{option} must be the path of a file, and .* is that of a directory"):
            twin.chat("http://127.0.0.1:9", **{option: directory})


def test_directory_is_refused_by_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trust", "list", "--known-routers", "/"])
    assert ended.value.code == 2
    assert "--known-routers must be the path of a file" in capsys.readouterr().err
