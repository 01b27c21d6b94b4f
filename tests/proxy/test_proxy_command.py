"""The command `nomyo proxy`, run as a user runs it."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nomyo import _core
from nomyo.cli import main, proxy_client
from nomyo.cli import proxy as proxy_command
from nomyo.errors import SecurityError
from nomyo.serve.proxy.app import _FORMS
from nomyo.serve.router.running import RunningRouter
from support.process import under_memlock_limit
from support.proxied import TOKEN, Proxy, chat, command, proxy_process, said_by
from support.waiting import until

OTHER_TOKEN = "another-token-of-32-characters-or-so"


def proxy_in_words(router: RunningRouter, key_directory: Path, *options: str, **environment: str) -> tuple[str, str]:
    """Run a proxy that prints words, and stop it; return what it wrote to stdout and stderr."""
    words = command(router.url, key_directory, *options)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            assert process.stdout
            assert process.stderr
            out = process.stdout.readline()
            process.terminate()
            out, err = out + process.stdout.read(), process.stderr.read()
            assert process.wait(timeout=40) == 0
        finally:
            process.kill()
    return out, err


def test_it_says_how_to_use_it(router: RunningRouter, key_directory: Path) -> None:
    out, err = proxy_in_words(router, key_directory, NOMYO_PROXY_TOKEN="")
    ready, programs, page, _ = out.splitlines()
    url = ready.removeprefix("nomyo proxy ready url=")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    token = page.rpartition("#token=")[2]
    assert len(token) >= 43
    assert programs.split() == ["programs:", f"OPENAI_BASE_URL={url}/v1", f"OPENAI_API_KEY={token}"]
    assert page.split() == ["page:", f"{url}/#token={token}"]
    assert "NOMYO_API_KEY is not set" in err
    assert "the router is spoken to over plain HTTP" in err
    assert token not in err
    assert "Warning" not in err  # in words alone, without a line of code


@pytest.mark.parametrize("name", [None, "token", "a token's\x1b[31m file", "-token"])
def test_token_that_was_given_is_named_but_never_printed(
    router: RunningRouter, key_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    options = []
    if name is not None:
        Path(name).write_text(f"{TOKEN}\n")
        Path(name).chmod(0o600)
        options = [f"--token-file={name}"]
    out, err = proxy_in_words(router, key_directory, *options, NOMYO_PROXY_TOKEN=OTHER_TOKEN if name else TOKEN)
    assert TOKEN not in out + err
    assert OTHER_TOKEN not in out + err
    assert "\x1b" not in out
    ready, programs, page, _ = out.splitlines()
    url = ready.removeprefix("nomyo proxy ready url=")
    how = programs.removeprefix(f"  programs:  OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=")
    assert page == f"  page:      {url}/ asks for the token"
    if name is None or name.isprintable():  # what was printed reads the token, in a shell
        shown = subprocess.run(
            ["sh", "-c", f"printf %s {how}"], env={"NOMYO_PROXY_TOKEN": TOKEN}, capture_output=True, check=True
        )
        assert shown.stdout.decode() == TOKEN


def test_help_names_every_path_that_takes_a_request() -> None:
    told = " ".join((proxy_command.proxy.__doc__ or "").split())
    assert [path for path in _FORMS if path not in told] == []


def test_json_is_one_line(router: RunningRouter, key_directory: Path) -> None:
    out, _ = proxy_in_words(router, key_directory, "--json", NOMYO_PROXY_TOKEN="")
    said = json.loads(out)
    assert out.count("\n") == 1
    assert said == {
        "url": said["url"],
        "base_url": f"{said['url']}/v1",
        "token": said["token"],
        "token_from": "new",
        "page_url": f"{said['url']}/#token={said['token']}",
    }


@pytest.mark.parametrize("origin", ["NOMYO_PROXY_TOKEN", "--token-file"])
def test_json_holds_no_token_that_was_given(
    router: RunningRouter, key_directory: Path, tmp_path: Path, origin: str
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    options = ("--token-file", str(tmp_path / "token")) if origin == "--token-file" else ()
    out, err = proxy_in_words(router, key_directory, "--json", *options, NOMYO_PROXY_TOKEN=TOKEN)
    said = json.loads(out)
    assert (said["token"], said["token_from"], said["page_url"]) == (None, origin, f"{said['url']}/")
    assert TOKEN not in out + err


def test_token_is_a_new_one_each_time_where_none_is_given(router: RunningRouter, key_directory: Path) -> None:
    tokens = set()
    for _ in range(2):
        with proxy_process(router.url, key_directory, NOMYO_PROXY_TOKEN="") as proxy:
            assert proxy.token
            assert len(proxy.token) >= 43
            assert said_by(proxy.post(chat("a"))) == "a"
            tokens.add(proxy.token)
    assert len(tokens) == 2


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_token_comes_from_a_file_which_others_should_not_read(
    router: RunningRouter, key_directory: Path, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "token"
    path.write_text(f"{OTHER_TOKEN}\n")
    path.chmod(mode)
    with proxy_process(router.url, key_directory, "--token-file", str(path)) as proxy:
        proxy.token = OTHER_TOKEN
        assert proxy.get("/v1/models", authorization=f"Bearer {TOKEN}").status_code == 401
        assert proxy.get("/v1/models").status_code == 200
        proxy.stop()
    assert ("chmod 600" in proxy.stderr) == (mode == 0o644)


def test_page_is_opened_in_the_browser(router: RunningRouter, key_directory: Path, tmp_path: Path) -> None:
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}.part && mv {seen}.part {seen}\n')
    browser.chmod(stat.S_IRWXU)
    with proxy_process(router.url, key_directory, "--open", BROWSER=f"{browser} %s") as proxy:
        until(seen.exists)
    assert seen.read_text() == proxy.page_url


def test_models_and_router_come_from_the_environment_too(router: RunningRouter, key_directory: Path) -> None:
    with proxy_process(router.url, key_directory, NOMYO_PROXY_MODELS="a/b c") as proxy:
        assert [model["id"] for model in proxy.get("/v1/models").json()["data"]] == ["a/b", "c"]
    words = [word for word in command("", key_directory) if word not in ("--base-url", "")]
    surroundings = os.environ | {"NOMYO_BASE_URL": router.url, "NOMYO_PROXY_TOKEN": TOKEN}
    with subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True, env=surroundings) as process:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        proxy = Proxy.saying(process, said)
        assert said_by(proxy.post(chat("a"))) == "a"
        process.terminate()


def test_key_pair_is_in_memory_only_unless_a_directory_is_named(router: RunningRouter, tmp_path: Path) -> None:
    words = [word for word in command(router.url, tmp_path) if word not in ("--key-dir", str(tmp_path))]
    with subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        proxy = Proxy.saying(process, said)
        assert said_by(proxy.post(chat("a"))) == "a"
        process.terminate()
    assert list(tmp_path.iterdir()) == []


def test_other_machines_are_let_in_on_purpose_only_and_loudly(router: RunningRouter, key_directory: Path) -> None:
    with proxy_process(router.url, key_directory, "--host", "0.0.0.0", "--allow-remote") as proxy:
        proxy.url = proxy.url.replace("0.0.0.0", "127.0.0.1")
        assert said_by(proxy.post(chat("a"))) == "a"
        assert proxy.stop() == 0
    assert "OTHER MACHINES CAN REACH THIS PROXY" in proxy.stderr
    assert "plain HTTP" in proxy.stderr


def test_doing_without_a_token_is_warned_of(router: RunningRouter, key_directory: Path) -> None:
    _, err = proxy_in_words(router, key_directory, "--no-token")
    assert "no token is needed" in err


def test_address_that_is_taken_is_a_failure_in_words(router: RunningRouter, key_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = command(router.url, key_directory, "--port", port)
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"cannot serve on 127.0.0.1, port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_locked_memory_that_is_required_and_not_there_is_a_failure(router: RunningRouter, key_directory: Path) -> None:
    words = command(router.url, key_directory, "--require-locked-memory")
    before = under_memlock_limit(0)
    done = subprocess.run([*before, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("nomyo proxy: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--host", "0.0.0.0"],
        ["--host", "::"],
        ["--host", "box.lan"],
        ["--host", "0.0.0.0", "--allow-remote", "--no-token"],
        ["--token-file", __file__, "--no-token"],
        ["--base-url", "http://127.0.0.1:1"],  # would be refused at the first request: plain HTTP
        ["--base-url", "nowhere"],
        ["--port", "70000"],
        ["--concurrency", "0"],
        ["--max-body", "0"],
        ["--security-tier", "low"],
        ["--server-key-fingerprint", "MD5:x"],
        ["--allow-host", "http://box.lan/"],
        ["--model", ""],
        ["--timeout", "0"],
        ["--tls-cert", "cert.pem"],
        ["--nonsense"],
        ["surplus"],
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["proxy", *options])
    assert left.value.code == 2
    assert "Error" in capsys.readouterr().err


def test_refusal_of_an_address_that_others_reach_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["proxy", "--host", "0.0.0.0"])
    assert "--allow-remote" in capsys.readouterr().err


def test_core_dumps_are_off_before_there_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def client(**_: object) -> None:
        done.append("client")
        raise SecurityError("enough")

    monkeypatch.setattr(_core, "harden_process", lambda: done.append("hardened"))
    monkeypatch.setattr(proxy_client, "SecureCompletionClient", client)
    with pytest.raises(SystemExit):
        main(["proxy"])
    assert done == ["hardened", "client"]


@pytest.mark.parametrize("token", ["short", "with spaces in between it", "caf\u00e9-caf\u00e9-caf\u00e9-caf\u00e9"])
def test_token_that_would_not_do_is_refused_and_not_shown(
    token: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOMYO_PROXY_TOKEN", token)
    with pytest.raises(SystemExit) as left:
        main(["proxy"])
    assert left.value.code == 2
    assert token not in capsys.readouterr().err


def test_help_tells_what_it_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nomyo", "proxy", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"COLUMNS": "100"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    words = " ".join(done.stdout.split())
    for word in ("OpenAI-compatible", "--token-file", "--allow-remote", "--open", "NOMYO_API_KEY", "Exit codes"):
        assert word in words
