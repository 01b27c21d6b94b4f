"""`nomyo trust`, and the option `--known-routers` of the other commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nomyo import _core, cli
from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name
from support.faults import PUBLIC_KEY, FaultyRouter

A = "SHA256:" + "A" * 43
B = "SHA256:" + "B" * 43
URL = "https://router.example"


@pytest.fixture(autouse=True)
def default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The default file, in a state directory of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "nomyo" / "known_routers"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["trust", *words])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code, out, err = run(capsys, *words, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_key_is_added_shown_listed_accepted_and_forgotten(capsys: pytest.CaptureFixture[str], default: Path) -> None:
    added = run_json(capsys, "add", URL, A)
    assert (added["router"], added["key"], added["refused"]) == ("router.example:443", None, None)
    assert [each["fingerprint"] for each in added["added"]] == [A]

    accepted = run_json(capsys, "accept", "ROUTER.example", B)
    assert (accepted["key"]["fingerprint"], accepted["key"]["judged"], accepted["replaced"]) == (B, "accepted", None)
    assert run_json(capsys, "accept", URL, A)["replaced"] == B

    shown = run_json(capsys, "show", f"{URL}:443/v1")
    assert (shown["key"]["fingerprint"], shown["added"]) == (A, [])
    listed = run_json(capsys, "list")
    assert listed == {"known_routers": str(default), "routers": [shown]}

    assert run_json(capsys, "forget", URL)["forgotten"] is True
    assert run_json(capsys, "list")["routers"] == []
    assert default.parent.stat().st_mode & 0o777 == 0o700


def test_log_and_verify_tell_what_happened(capsys: pytest.CaptureFixture[str], default: Path) -> None:
    run(capsys, "accept", URL, A)
    run(capsys, "accept", "https://other.example", B)
    run(capsys, "forget", URL)

    _, out, _ = run(capsys, "log", URL, "--json")
    assert [(each["line"], each["judged"]) for each in map(json.loads, out.splitlines())] == [
        (1, "accepted"),
        (3, "forgotten"),
    ]
    checked = run_json(capsys, "verify")
    last = json.loads(KnownRouters(default).log.read_text().splitlines()[-1])
    assert (checked["ok"], checked["lines"], checked["chain"]) == (True, 3, last["chain"])


def test_what_is_altered_makes_verify_fail(capsys: pytest.CaptureFixture[str], default: Path) -> None:
    run(capsys, "accept", URL, A)
    default.write_text(default.read_text().replace(A, B))
    code, out, _ = run(capsys, "verify")
    assert code == 1
    assert f"the file has {B}, the log made {A} known" in out

    log = KnownRouters(default).log
    log.write_bytes(log.read_bytes().replace(b"router.example", b"rooter.example"))
    code, out, err = run(capsys, "verify", "--json")
    assert (code, out) == (1, "")
    assert "line 1 does not follow" in json.loads(err)["error"]["message"]


def test_lists_for_people_are_lines(capsys: pytest.CaptureFixture[str], default: Path) -> None:
    assert run(capsys, "list")[1] == f"no router is known in {default}\n"
    run(capsys, "accept", URL, A)
    for words in (["list"], ["show", URL], ["log"], ["verify"]):
        code, out, err = run(capsys, *words)
        assert (code, err) == (0, "")
        assert "A" * 43 in out or words == ["verify"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["accept", URL], "no key of router.example:443 was refused"),
        (["accept", URL, "SHA256:x"], 'a fingerprint is "SHA256:"'),
        (["show", URL], "router.example:443 is not in"),
        (["forget", URL], "router.example:443 is not in"),
        (["add", "https://user:secret@router.example", A], "a router is named by its address"),
        (["add", "ftp://router.example", A], "a router is named by its address"),
        (["add", "https://router.example:99999", A], "a router is named by its address"),
    ],
)
def test_what_makes_no_sense_is_wrong_use(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "secret" not in err


def test_log_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], default: Path) -> None:
    code, _, err = run(capsys, "verify")
    assert (code, err) == (1, f"nomyo trust: {default}.log: No such file or directory\n")


def test_command_remembers_the_key_in_the_default_file_if_it_names_none(
    faulty_router: FaultyRouter,
    key_directory: Path,
    default: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    router = router_name(faulty_router.url)
    own = tmp_path / "own"
    command = ["chat", "hello", "-m", "m", "--base-url", faulty_router.url, "--allow-http"]
    command += ["--key-dir", str(key_directory)]
    for option, file in [(["--known-routers"], default), (["--known-routers", str(own)], own)]:
        with pytest.raises(SystemExit) as end:
            cli.main([*command, *option])
        assert (end.value.code, capsys.readouterr().out) == (0, "hello")
        assert KnownRouters(file).of(router).key is not None


def test_refused_key_is_accepted_by_the_command_that_the_error_names(
    faulty_router: FaultyRouter, key_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["chat", "hello", "-m", "m", "--base-url", faulty_router.url, "--allow-http"]
    command += ["--key-dir", str(key_directory), "--known-routers", str(tmp_path / "known")]
    other = _core.PrivateKey.generate(2048).public_key
    KnownRouters(tmp_path / "known").accept(router_name(faulty_router.url), other.fingerprint)
    faulty_router.path = PUBLIC_KEY
    with pytest.raises(SystemExit) as end:
        cli.main(command)
    assert end.value.code == 1
    refused = capsys.readouterr().err

    accept = refused.partition("`nomyo ")[2].partition("`")[0].split()
    assert run(capsys, *accept[1:])[0] == 0
    with pytest.raises(SystemExit) as end:
        cli.main(command)

    assert (end.value.code, capsys.readouterr().out) == (0, "hello")
