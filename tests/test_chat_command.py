"""`nomyo chat` with one prompt: from everywhere it may come, to an exact answer on stdout and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from needles import Text
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from nomyo.terminal.chat.one_prompt import place_of_metadata
from noting_router import NotingRouter
from process import under_memlock_limit
from scene import write_keys
from terminal import in_terminal

PASSWORD = "a pässword of sufficient length"
# What a terminal would do on each: move the cursor, clear, set the title, answer back, ring, C1's CSI, overwrite.
ATTACK = "a\x1b[2J\x1b]0;title\x07\x1b[6n\x08\x7f\x9b31m\x00b\rc\r\nd\te é漢🎉"
ATTACK_SHOWN = "a^[[2J^[]0;title^G^[[6n^H^?<9B>31m^@b^Mc\r\r\nd\te é漢🎉"


def chat(
    *arguments: str, stdin: bytes | None = None, before: list[str] | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [*(before or []), sys.executable, "-m", "nomyo", "chat", *arguments],
        capture_output=True,
        timeout=60,
        env=os.environ | {"NOMYO_MODEL": "echo", "PYTHONUTF8": "1"} | environment,
        check=False,
        **source,
    )


@pytest.fixture
def to_router(router: RunningRouter) -> list[str]:
    return ["--base-url", router.url, "--allow-http"]


@pytest.fixture
def noting_router() -> Iterator[NotingRouter]:
    with NotingRouter([Text("answer", "an answer")]) as noting:
        yield noting


SOURCES = ["argument", "pipe", "dash", "secret file", "secret pipe"]


def ask_by(source: str, prompt: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    (tmp_path / "prompt").write_bytes(prompt.encode())
    arguments = {
        "argument": [prompt],
        "pipe": [],
        "dash": ["-"],
        "secret file": ["--secret-file", str(tmp_path / "prompt")],
        "secret pipe": ["--secret-file", "-"],
    }[source]
    return chat(*arguments, *options, stdin=None if source in ("argument", "secret file") else prompt.encode())


@pytest.mark.parametrize("source", SOURCES)
def test_prompt_comes_from_everywhere_and_the_answer_is_exact(
    source: str, to_router: list[str], tmp_path: Path
) -> None:
    prompt = ATTACK.replace("\0", "") + "\n\n"  # no argument can hold a null character
    done = ask_by(source, prompt, tmp_path, *to_router)
    assert (done.returncode, done.stdout) == (0, prompt.encode())
    assert done.stderr.startswith(b"nomyo chat: warning: the router is spoken to over plain HTTP")
    assert done.stderr.count(b"\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["prompt"]


def test_stdin_is_left_alone_where_there_is_a_prompt(to_router: list[str]) -> None:
    loop = 'printf "one\\ntwo\\n" | while read -r line; do "$@" "$line"; done'
    command = ["sh", "-c", loop, "sh", sys.executable, "-m", "nomyo", "chat", "--model", "echo", *to_router]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).stdout == b"onetwo"


def test_stdin_that_never_ends_is_not_waited_for_where_there_is_a_prompt(to_router: list[str]) -> None:
    read, write = os.pipe()
    command = [sys.executable, "-m", "nomyo", "chat", "--model", "echo", *to_router, "hello"]
    done = subprocess.run(command, stdin=read, capture_output=True, timeout=60, check=False)
    os.close(read)
    os.close(write)
    assert (done.returncode, done.stdout) == (0, b"hello")


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_terminal_shows_control_characters_instead_of_obeying_them(source: str, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("hello")
    prompt = ["hello"] if source == "argument" else ["--secret-file", str(tmp_path / "prompt")]
    with (
        NotingRouter([Text("answer", ATTACK)]) as router,
        in_terminal("chat", "--model", "m", "--base-url", router.url, "--allow-http", *prompt) as terminal,
    ):
        before = terminal.see(ATTACK_SHOWN + "\r\n")
        assert terminal.end() == (0, "")
    assert "\x1b]0" not in before


def test_terminal_of_another_encoding_gets_ascii_alone(to_router: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("é漢🎉ü")
    command = ["chat", "--model", "echo", *to_router, "--secret-file", str(tmp_path / "prompt")]
    with in_terminal(*command, env={"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}) as terminal:
        terminal.see("\n????\r\n")
        assert terminal.end()[0] == 0


def test_json_is_the_whole_answer(to_router: list[str], tmp_path: Path) -> None:
    said = {}
    for source in ("argument", "secret file"):
        done = ask_by(source, "hello", tmp_path, *to_router, "--json")
        assert done.stdout.endswith(b"}\n")
        assert done.stdout.count(b'"_metadata"') == 1
        answer = json.loads(done.stdout)
        assert answer["choices"][0]["message"]["content"] == "hello"
        assert "security_tier" in answer["_metadata"]
        assert answer["_metadata"]["is_encrypted"] is True
        said[source] = set(answer["_metadata"])
    assert said["argument"] == said["secret file"]


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ('{"a": "x\\"}", "_metadata": {"b": [1, "}"]}, "c": {"_metadata": 2}}', '"_metadata": {"b": [1, "}"]}'),
        ('{"a": {"_metadata": 2}, "_metadata" : null}', '"_metadata" : null'),
        ('{"a": "_metadata", "b": [{"_metadata": {}}]}', ""),
        ('{"_metadata":{}}', '"_metadata":{}'),
    ],
)
def test_metadata_of_an_answer_is_found_where_it_is(answer: str, place: str) -> None:
    with memoryview(answer.encode()) as view:
        begin, end = place_of_metadata(view)
    assert answer[begin:end] == place
    assert place or answer[begin:] == "}"


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


def test_answer_that_is_cut_short_is_said_to_be(to_router: list[str], tmp_path: Path) -> None:
    for source in ("argument", "secret file"):
        done = ask_by(source, "one two three four five", tmp_path, *to_router, "--max-tokens", "1")
        assert done.returncode == 0
        assert b"warning: the answer is cut short: it reached the limit of tokens" in done.stderr


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


def test_missing_secret_file_is_a_failure() -> None:
    done = chat("--secret-file", "nowhere")
    assert (done.returncode, done.stderr) == (1, b"nomyo chat: nowhere: No such file or directory\n")


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_interrupt_ends_it_with_130(source: str, noting_router: NotingRouter, tmp_path: Path) -> None:
    noting_router.conduct = "silent"
    (tmp_path / "prompt").write_text("hello")
    prompt = ["hello"] if source == "argument" else ["--secret-file", str(tmp_path / "prompt")]
    command = [sys.executable, "-m", "nomyo", "chat", "--model", "m", "--allow-http", *prompt]
    with subprocess.Popen(
        [*command, "--base-url", noting_router.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert noting_router.received.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_closed_or_broken_output_causes_no_traceback(source: str, to_router: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("hello")
    prompt = ["hello"] if source == "argument" else ["--secret-file", str(tmp_path / "prompt")]
    command = [sys.executable, "-m", "nomyo", "chat", "--model", "echo", *to_router, *prompt]
    closed = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, timeout=60, check=False)
    assert (closed.returncode, b"Traceback" in closed.stderr) == (0, False)
    read, write = os.pipe()
    os.close(read)
    broken = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (broken.returncode, b"Traceback" in broken.stderr) == (1, False)


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
