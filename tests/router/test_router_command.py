"""The commands `router`, `demo` and `doctor`, run as a user runs them."""

from __future__ import annotations

import base64
import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nomyo._install_command import install_command
from nomyo.cli import demo, main
from support.router_peer import ask, chat, reply_of, send
from support.router_process import router_process


def nomyo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nomyo", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_router_serves_until_it_is_told_to_stop(stop: signal.Signals) -> None:
    with router_process() as (process, url):
        answer = ask(url, chat("to a process"))
        process.send_signal(stop)
        out, err = process.communicate(timeout=20)
    assert reply_of(answer) == "to a process"
    assert process.returncode == 0
    assert out == ""
    assert "not for production" in err
    assert "POST /v1/chat/secure_completion 200" in err
    assert "to a process" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="measured through prctl")
def test_router_process_leaves_no_core_dumps() -> None:
    with router_process() as (_, url):
        assert ask(url, chat())["_metadata"]["memory_protection"]["core_dump_prevention"] is True


def test_router_takes_its_settings_from_options_and_environment() -> None:
    options = ["--tier-model", "high=a", "--tier-model", "high=b", "--rate-limit", "50", "--burst", "99"]
    with router_process(*options, NOMYO_ROUTER_API_KEYS="alpha beta") as (_, url):
        assert send(url, chat()).status_code == 401
        token = "Bearer beta"
        assert send(url, chat(), authorization=token).status_code == 200
        assert send(url, {**chat(), "model": "b"}, authorization=token, x_security_tier="high").status_code == 200
        assert send(url, {**chat(), "model": "c"}, authorization=token, x_security_tier="high").status_code == 403


def test_router_forwards_to_an_upstream() -> None:
    options = ["--upstream", "http://nowhere.invalid:1", "--upstream-timeout", "5", "--upstream-api-key-env", "TOKEN"]
    with router_process(*options, TOKEN="for-upstream") as (process, url):
        assert send(url, chat()).status_code == 503
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert "The upstream answers." in err
    assert "decrypted requests leave this machine over plain HTTP" in err
    assert "for-upstream" not in err


@pytest.mark.parametrize(
    "options",
    [
        ["--key-bits", "1024"],
        ["--port", "70000"],
        ["--tls-cert", "cert.pem"],
        ["--tier-model", "high"],
        ["--tier-model", "low=x"],
        ["--upstream", "nowhere"],
        ["--upstream", "http://127.0.0.1", "--upstream-api-key-env", "NOT_SET_ANYWHERE"],
        ["--nonsense"],
        ["surplus"],
    ],
)
def test_router_refuses_options_that_make_no_sense(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["router", *options])
    assert left.value.code == 2
    assert "Error" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["canary\nkey", "canary key ", "can\xe4ry"])
@pytest.mark.parametrize("variable", ["NOMYO_ROUTER_UPSTREAM_API_KEY", "OWN_VARIABLE"])
def test_upstream_key_that_no_header_takes_is_refused_at_the_start_by_its_variable(
    value: str, variable: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("nomyo.cli.router.serve", lambda *_: pytest.fail("it serves"))
    own = ["--upstream-api-key-env", variable] if variable == "OWN_VARIABLE" else []
    with pytest.raises(SystemExit) as left:
        main(["router", "--port", "0", "--upstream", "http://127.0.0.1:9", *own])
    said = capsys.readouterr().err
    assert (left.value.code, variable in said) == (2, True)
    assert "can" not in said.replace("cannot", "")


def test_router_that_cannot_listen_says_so() -> None:
    done = nomyo("router", "--key-bits", "2048", "--host", "192.0.2.1")
    assert done.returncode == 1
    assert "cannot serve on 192.0.2.1, port 12435" in done.stderr
    assert "others can reach this router over plain HTTP" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["router", "--key-bits", "2048"], ["proxy"]], ids=["router", "proxy"])
def test_tls_files_that_do_not_do_are_named(command: list[str], tmp_path: Path) -> None:
    there, nowhere = tmp_path / "there.pem", tmp_path / "nowhere.pem"
    there.write_text("no PEM")
    missing = nomyo(*command, "--port", "0", "--tls-cert", str(there), "--tls-key", str(nowhere))
    assert (missing.returncode, f"{nowhere}: No such file" in missing.stderr) == (1, True)
    wrong = nomyo(*command, "--port", "0", "--tls-cert", str(there), "--tls-key", str(there), COLUMNS="300")
    assert (wrong.returncode, str(there) in wrong.stderr) == (2, True)


def test_wrong_use_is_told_in_the_names_of_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    for options, words in (
        (["router", "--key-bits", "1024"], "--key-bits must be 2048, 3072 or 4096"),
        (["router", "--rate-limit", "5", "--burst", "1"], "--burst must not be below --rate-limit"),
        (["proxy", "--server-key-fingerprint", "MD5:x"], "--server-key-fingerprint must"),
    ):
        with pytest.raises(SystemExit):
            main(options)
        assert words in capsys.readouterr().err


def test_router_help_says_what_it_is_not_for() -> None:
    done = nomyo("router", "--help", COLUMNS="100")
    assert done.returncode == 0
    assert "Not for production" in " ".join(done.stdout.split())


def test_demo_shows_a_chat_from_both_sides_of_the_wire(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nomyo", "demo", "--message", "café au lait, s'il vous plaît"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONUTF8": "1", "NOMYO_API_KEY": "must-not-be-used", "NOMYO_BASE_URL": "http://127.0.0.1:1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"reply +café au lait, s'il vous plaît\n", done.stdout)
    assert re.search(r'request +[\d,]+ bytes: \{"version"', done.stdout)
    assert "is in neither" in done.stdout
    assert "second request" in done.stdout
    assert "must-not-be-used" not in done.stdout
    assert "\x1b" not in done.stdout  # plain where it is no terminal
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []  # no keys were left behind


@pytest.mark.parametrize(
    ("broken", "by", "words"),
    [
        ("nomyo.serve.router.echo._up_to_stop", lambda text, request: "something else", "not what the echo model"),
        ("nomyo.cli.demo._visible", lambda message, package: True, "can be read on the wire"),
    ],
)
def test_demo_fails_where_anything_is_not_as_it_must_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str, by: Any, words: str
) -> None:
    monkeypatch.setattr(broken, by)
    with pytest.raises(SystemExit) as left:
        main(["demo"])
    assert left.value.code == 1
    assert re.search(f"FAILED: .*{words}", capsys.readouterr().out)


def test_demo_finds_a_message_however_it_is_hidden_on_the_wire() -> None:
    for package in (b"x the message x", base64.b64encode(b"yy the message yy"), b'{"a": "caf\\u00e9"}'):
        message = "caf\xe9" if b"caf" in package else "the message"
        assert demo._visible(message, package)
    assert not demo._visible("the message", base64.b64encode(b"something else altogether"))


def test_doctor_tells_what_is_in_force() -> None:
    done = nomyo("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("protection", "memory lock", "lock limit", "crypto", "locked now"):
        assert f"\n{word}" in done.stdout
    assert nomyo("doctor", "--help").returncode == 0
    assert nomyo("doctor", "surplus").returncode == 2


EXTRAS = ("typer", "rich", "prometheus_client", "starlette", "uvicorn")


@pytest.fixture
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ("nomyo.cli.demo", "nomyo.cli.doctor", "nomyo.cli.proxy", "nomyo.cli.router")
    for name in [name for name in sys.modules if name.startswith(("nomyo.serve", *commands, *EXTRAS))]:
        monkeypatch.delitem(sys.modules, name)
    for name in EXTRAS:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_extras")
@pytest.mark.parametrize("command", ["router", "proxy", "demo"])
def test_command_names_the_extra_it_lacks(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 2
    assert capsys.readouterr().err == f"nomyo {command} needs the extra 'serve': {install_command('serve')}\n"


@pytest.mark.usefixtures("no_extras")
def test_import_names_the_extra_it_lacks() -> None:
    with pytest.raises(ImportError, match=re.escape(install_command("serve"))):
        importlib.import_module("nomyo.serve.router")


@pytest.mark.usefixtures("no_extras")
def test_doctor_needs_no_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "memory lock" in capsys.readouterr().out


@pytest.mark.usefixtures("no_extras")
def test_help_needs_no_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    assert "doctor" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert re.fullmatch(r"nomyo \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    assert "Usage: nomyo" in capsys.readouterr().err
