"""Characters that steer what is shown: foreign words on a terminal are shown with escapes for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from nomyo.batch.progress import PlainProgress
from support.commands import run_here
from support.faults import Answer, FaultyRouter
from support.format_characters import ALL, HARMFUL, KEPT, TROJAN, TROJAN_SHOWN
from support.needles import Text
from support.noting_router import NotingRouter
from support.odd_answers import answer_with, completion
from support.scene import write_keys
from support.terminal import ENTER, in_terminal, plain


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_terminal_shows_format_characters_of_an_answer(source: str, tmp_path: Path, key_options: list[str]) -> None:
    (tmp_path / "prompt").write_text("hello")
    prompt = ["--plain", "hello"] if source == "argument" else ["--secret-file", str(tmp_path / "prompt")]
    answer = "|".join([*HARMFUL, KEPT, TROJAN])
    assert len(HARMFUL) > 100
    with (
        NotingRouter([Text("answer", answer)]) as router,
        in_terminal(
            "chat", "--model", "m", "--base-url", router.url, "--allow-http", *key_options, *prompt
        ) as terminal,
    ):
        code, screen = terminal.end()

    assert code == 0
    assert screen.endswith("|".join([*map(_escape, HARMFUL), KEPT, TROJAN_SHOWN]) + "\r\n")


def test_pipe_gets_format_characters_as_they_are(key_options: list[str]) -> None:
    answer = "|".join([*ALL, KEPT, TROJAN])
    words = [sys.executable, "-m", "nomyo", "chat", "--model", "m", "--allow-http", *key_options, "hello"]
    with NotingRouter([Text("answer", answer)]) as router:
        done = subprocess.run(
            words, capture_output=True, timeout=60, check=False, env=os.environ | {"NOMYO_BASE_URL": router.url}
        )

    assert (done.returncode, done.stdout.decode()) == (0, answer)


def test_half_a_flag_is_no_flag(tmp_path: Path, key_options: list[str]) -> None:
    hidden = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all that was said")
    with (
        NotingRouter([Text("answer", hidden)]) as router,
        in_terminal(
            "chat", "--model", "m", "--base-url", router.url, "--allow-http", *key_options, "hello", columns=999
        ) as terminal,
    ):
        _, screen = terminal.end()

    assert "\U000e0069" not in screen
    assert r"\U000e0069\U000e0067" in screen


def test_conversation_shows_format_characters_of_an_answer_and_of_its_facts(
    faulty_router: FaultyRouter, key_options: list[str]
) -> None:
    model = f"m\u202e\nits key      SHA256:{'A' * 43} (pinned)"
    answer_with(faulty_router, completion({"role": "assistant", "content": TROJAN}, model=model))
    to_router = ["--base-url", faulty_router.url, "--allow-http", *key_options]
    with in_terminal("chat", "--model", "m", *to_router, columns=200) as terminal:
        terminal.see("/help tells more.")
        terminal.wait_for_prompt()
        terminal.type("hello", ENTER)
        terminal.see(TROJAN_SHOWN)
        terminal.wait_for_prompt()
        terminal.type("/info", ENTER)
        screen = plain(terminal.see("payload_id"))

    assert "from m  its key" in screen
    assert "\u202e" not in screen
    assert screen.count("\nits key ") == 1


def test_terminal_shows_format_characters_of_rows(tmp_path: Path) -> None:
    output = tmp_path / "plain.jsonl"
    row: dict[str, Any] = {"id": "batch_req_1", "custom_id": TROJAN, "response": {}, "error": None}
    output.write_text(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    with in_terminal("batch", "open", str(output), columns=200) as terminal:
        code, text = terminal.end()

    assert code == 0
    assert TROJAN_SHOWN in text
    assert "\u202e" not in text


NAME = "a\x1b[31mb\u202ec\nd\x9be\u2066f"
NAME_SHOWN = r"a^[[31mb\u202ec^Jd<9B>e\u2066f"
BATCH = ["batch", "in.jsonl", "-o", "out", "--allow-http", "--patience", "0"]
COMMANDS = [
    ["batch", "{}", "-o", "out"],
    ["batch", "{}", "--dry-run"],
    ["batch", "in.jsonl", "-o", "{}/out", "--allow-http", "--patience", "0"],
    [*BATCH, "--encrypt-to", "{}"],
    [*BATCH, "--key-dir", "{}"],
    [*BATCH, "{}"],
    ["batch", "open", "{}"],
    ["batch", "open", "in.jsonl", "--key-dir", "{}"],
    ["chat", "--model", "m", "--secret-file", "{}"],
    ["chat", "--model", "m", "--allow-http", "--key-dir", "{}", "hello"],
    ["keys", "show", "--key-dir", "{}"],
    ["keys", "check", "--key-dir", "{}"],
    ["keys", "generate", "--key-dir", "{}", "--password-file", "{}"],
    ["keys", "rotate", "--key-dir", "{}", "--key-size", "2048"],
    ["keys", "show", "{}"],
    ["keys", "{}"],
    ["router", "--tls-cert", "{}", "--tls-key", "{}"],
    ["proxy", "--token-file", "{}", "--allow-http"],
    ["{}"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", ["missing", "file", "damaged pair"])
def test_names_of_files_are_shown_in_one_line(arguments: list[str], kind: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    if kind == "file":
        (tmp_path / NAME).write_text("no\u202eth\x1bing\n")
    elif kind == "damaged pair":
        write_keys(tmp_path / NAME)
        (tmp_path / NAME / "public_key.pem").write_text("\x1b[31m")
    words = [each.replace("{}", NAME) for each in arguments]

    done = run_here(*words, NOMYO_BASE_URL="http://127.0.0.1:9/", NOMYO_API_KEY="x", COLUMNS="400")

    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert not [each for each in said if unicodedata.category(each) in ("Cc", "Cf") and each != "\n"], said
    assert "\nd" not in said


def test_names_of_files_are_shown_as_they_are_but_for_that(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "nomyo",
            "batch",
            "open",
            NAME,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == f"nomyo batch open: {NAME_SHOWN}: No such file or directory\n"


def test_question_for_a_password_shows_the_name_of_its_key(tmp_path: Path) -> None:
    write_keys(tmp_path / NAME, "a password of sufficient length")
    with in_terminal("keys", "rotate", "--key-dir", NAME, cwd=tmp_path, columns=200) as terminal:
        before = terminal.see(f"Password of {NAME_SHOWN}: ")

    assert "\x1b[31m" not in before


@pytest.mark.parametrize("command", ["chat", "batch"])
def test_words_of_a_router_hold_no_format_characters(
    command: str, faulty_router: FaultyRouter, tmp_path: Path, key_options: list[str]
) -> None:
    faulty_router.always(Answer(402, json.dumps({"detail": TROJAN + "\x1b[31m", "code": TROJAN}).encode()))
    row = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    arguments = {"chat": ["--model", "m", "hello"], "batch": ["in.jsonl", "-o", "out.jsonl"]}[command]
    with in_terminal(
        command, *arguments, "--base-url", faulty_router.url, "--allow-http", *key_options, cwd=tmp_path, columns=200
    ) as terminal:
        code, screen = terminal.end()

    assert code != 0
    assert not [each for each in plain(screen) if unicodedata.category(each) in ("Cc", "Cf") and each not in "\r\n"]


def test_progress_is_told_in_one_line(tmp_path: Path) -> None:
    with (tmp_path / "told").open("w+") as stream:
        PlainProgress(stream, "nomyo batch").tell(f"{NAME} is missing")
        stream.seek(0)
        assert stream.read() == f"nomyo batch: {NAME_SHOWN} is missing\n"
