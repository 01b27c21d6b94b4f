"""`nomyo chat`: which options reach the router, which are refused, and whose keys it uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.chat_process import ask_by, chat
from support.noting_router import NotingRouter
from support.process import under_memlock_limit
from support.scene import write_keys
from support.terminal import in_terminal

PASSWORD = "a pässword of sufficient length"


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_options_reach_the_router(source: str, noting_router: NotingRouter, tmp_path: Path) -> None:
    options = ["--system", "be brief", "--temperature", "0.5", "--max-tokens", "9", "--model", "m"]
    done = ask_by(source, "hello", tmp_path, *options, "--base-url", noting_router.url, "--allow-http")
    assert done.stdout == b"an answer"
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    assert noting_router.requests == [{"model": "m", "messages": messages, "temperature": 0.5, "max_tokens": 9}]


def test_tier_is_asked_for() -> None:
    with RunningRouter(RouterConfig(key_bits=2048, tier_models={"high": frozenset({"safe"})})) as router:
        to_router = ["--base-url", router.url, "--allow-http", "--tier", "high", "hello"]
        assert chat(*to_router, "--model", "safe").stdout == b"hello"
        refused = chat(*to_router, "--model", "other")
    assert refused.returncode == 1
    assert b"nomyo chat: the router refused (HTTP 403): " in refused.stderr


def test_router_with_another_key_than_the_pinned_is_sent_nothing(noting_router: NotingRouter) -> None:
    pin = ["--server-key-fingerprint", "SHA256:" + "A" * 43]
    done = chat("hello", "--base-url", noting_router.url, "--allow-http", *pin)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"fingerprint" in done.stderr
    assert noting_router.requests == []


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_failure_is_told_in_words_or_as_json(source: str, unused_port: int, tmp_path: Path) -> None:
    nowhere = ["--base-url", f"http://127.0.0.1:{unused_port}", "--allow-http", "--max-retries", "0"]
    words = ask_by(source, "hello", tmp_path, *nowhere)
    assert (words.returncode, words.stdout) == (1, b"")
    assert b"nomyo chat: no answer from " in words.stderr
    assert b" (1 attempt): " in words.stderr
    assert b"Traceback" not in words.stderr
    done = ask_by(source, "hello", tmp_path, *nowhere, "--json")
    assert (done.returncode, done.stdout) == (1, b"")
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (error["type"], "no answer from" in error["message"]) == ("APIConnectionError", True)


def test_status_of_a_refusal_is_in_the_json() -> None:
    with RunningRouter(RouterConfig(key_bits=2048, api_keys=frozenset({"right"}))) as router:
        to_router = ["--base-url", router.url, "--allow-http", "--json", "hello"]
        assert chat(*to_router, NOMYO_API_KEY="right").returncode == 0
        done = chat(*to_router, NOMYO_API_KEY="wrong-key")
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (error["status_code"], "NOMYO_API_KEY" in error["message"]) == (401, True)
    assert b"wrong-key" not in done.stderr


def test_plain_http_is_refused_unless_it_is_allowed(noting_router: NotingRouter) -> None:
    done = chat("hello", "--base-url", noting_router.url)
    assert done.returncode == 1
    assert b"--allow-http" in done.stderr
    assert noting_router.requests == []


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (["hello", "--secret-file", "x"], None, b"not both"),
        ([], b"", b"the prompt is empty"),
        ([" "], None, b"the prompt is empty"),
        ([], b"\xff", b"not UTF-8"),
        (["--secret-file", "-"], b"", b"the secret file is empty"),
        (["hello", "--base-url", "nowhere"], None, b"must start with https://"),
        (["hello", "--server-key-fingerprint", "SHA256:x"], None, b"43 base64 characters"),
        (["hello", "--tier", "low"], None, b"--tier"),
        (["hello", "--password-file", "x"], None, b"needs --key-dir"),
        (["hello", "--api-key", "x"], None, b"No such option"),
        (["hello", "surplus"], None, b"unexpected extra argument"),
        (["hello", "--server-key-fingerprint", "SHA256:x"], None, b"--server-key-fingerprint must"),
        (["hello", "--timeout", "1e12"], None, b"--timeout must lie"),
    ],
)
def test_wrong_use_is_refused(arguments: list[str], stdin: bytes | None, words: bytes) -> None:
    done = chat(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


def test_wrong_use_is_told_as_json_where_that_is_asked_for(tmp_path: Path) -> None:
    for arguments in (["--tier", "low", "hello"], [" "], ["hello", "--nonsense"]):
        done = chat(*arguments, "--json")
        assert (done.returncode, done.stdout) == (2, b"")
        assert json.loads(done.stderr)["error"]["type"] == "UsageError"


def test_bytes_that_are_no_text_are_wrong_use_wherever_they_come_from(to_router: list[str], tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for arguments in (["-"], ["--secret-file", "-"], ["--secret-file", str(tmp_path / "bytes")]):
        done = chat(*arguments, *to_router, stdin=b"\xff\xfe")
        assert (done.returncode, b"UTF-8" in done.stderr) == (2, True)


@pytest.mark.parametrize("suffix", ["/v1", "/v1/"])
def test_address_may_be_that_of_an_openai_server(suffix: str, router: RunningRouter) -> None:
    assert chat("hello", "--base-url", router.url + suffix, "--allow-http").stdout == b"hello"
    assert chat("hello", "--allow-http", NOMYO_BASE_URL=router.url + suffix).stdout == b"hello"


def test_model_has_to_be_named(to_router: list[str]) -> None:
    done = chat("hello", *to_router, NOMYO_MODEL="")
    assert done.returncode == 2
    assert b"--model" in done.stderr


def test_key_directory_is_opened_with_its_password(noting_router: NotingRouter, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", PASSWORD)
    (tmp_path / "right").write_text(PASSWORD + "\n")
    (tmp_path / "wrong").write_text("another password")
    for name in ("right", "wrong"):
        (tmp_path / name).chmod(0o600)
    options = ["hello", "--base-url", noting_router.url, "--allow-http", "--key-dir", str(tmp_path / "keys")]
    done = chat(*options, "--password-file", str(tmp_path / "right"))
    assert (done.returncode, done.stdout) == (0, b"an answer")
    assert b"others can read" not in done.stderr
    (tmp_path / "right").chmod(0o644)
    assert b"others can read" in chat(*options, "--password-file", str(tmp_path / "right")).stderr
    done = chat(*options, "--password-file", str(tmp_path / "wrong"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"wrong password" in done.stderr


def test_password_of_a_key_directory_is_asked_for(noting_router: NotingRouter, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", PASSWORD)
    options = ["--base-url", noting_router.url, "--allow-http", "--key-dir", str(tmp_path / "keys"), "--model", "m"]
    with in_terminal("chat", "hello", *options) as terminal:
        terminal.see("Password of ")
        terminal.type(PASSWORD, "\r")
        assert "ssword of suff" not in terminal.see("an answer\r\n")
        assert terminal.end()[0] == 0


def test_locked_memory_is_required_or_warned_of(to_router: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("hello")
    none = under_memlock_limit(0)
    warned = chat("--secret-file", str(tmp_path / "prompt"), *to_router, before=none)
    assert (warned.returncode, warned.stdout) == (0, b"hello")
    assert b"warning: the secret file could not be locked" in warned.stderr
    required = chat("--secret-file", str(tmp_path / "prompt"), *to_router, "--require-locked-memory", before=none)
    assert (required.returncode, required.stdout) == (1, b"")
    assert b"nomyo doctor" in required.stderr


def test_secret_file_that_does_not_fit_into_locked_memory_is_refused_where_that_is_required(
    noting_router: NotingRouter, tmp_path: Path
) -> None:
    (tmp_path / "prompt").write_text("x" * 2**21)
    options = ["--secret-file", str(tmp_path / "prompt"), "--base-url", noting_router.url, "--allow-http"]
    done = chat(*options, "--require-locked-memory", before=under_memlock_limit(2**20))
    assert done.returncode == 1
    assert b"the secret file does not fit into locked memory" in done.stderr
    assert noting_router.requests == []
