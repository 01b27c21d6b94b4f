"""`nomyo chat` with one prompt: from everywhere it may come, to an exact answer on stdout and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nomyo.cli.chat.one_prompt import place_of_metadata
from support.chat_process import ask_by, chat
from support.faults import FaultyRouter
from support.needles import Text
from support.noting_router import NotingRouter
from support.odd_answers import answer_with
from support.terminal import in_terminal, plain

# What a terminal would do on each: move the cursor, clear, set the title, answer back, ring, C1's CSI, overwrite.
ATTACK = "a\x1b[2J\x1b]0;title\x07\x1b[6n\x08\x7f\x9b31m\x00b\rc\r\nd\te é漢🎉"
ATTACK_SHOWN = "a^[[2J^[]0;title^G^[[6n^H^?<9B>31m^@b^Mc\r\r\nd\te é漢🎉"


REASONING = "1 message came; the last user message is to be repeated."
C_LOCALE: dict[str, Any] = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("environment", [C_LOCALE, {"PYTHONUTF8": "1"}], ids=["C", "UTF-8"])
def test_arguments_are_taken_as_utf_8_whatever_the_locale(environment: dict[str, Any], key_options: list[str]) -> None:
    with NotingRouter([Text("answer", "an answer")]) as router:
        words = [
            "--model",
            "modèle",
            "--system",
            "Sätze",
            "Grüße €",
            "--base-url",
            router.url,
            "--allow-http",
            *key_options,
        ]
        done = chat(*words, **environment)
        assert (done.returncode, done.stdout) == (0, b"an answer")
        assert [(one["model"], [said["content"] for said in one["messages"]]) for one in router.requests] == [
            ("modèle", ["Sätze", "Grüße €"])
        ]


@pytest.mark.parametrize("environment", [C_LOCALE, {"PYTHONUTF8": "1"}], ids=["C", "UTF-8"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([b"Gr\xfc\xdfe"], "the prompt in the arguments is not UTF-8"),
        ([b"--system", b"\xfc", b"hello"], "the text of --system is not UTF-8"),
        ([b"--model", b"\xfc", b"hello"], "the model's name is not UTF-8"),
    ],
)
def test_argument_that_is_not_utf_8_is_refused_before_anything_is_sent(
    words: list[bytes], told: str, environment: dict[str, str], to_router: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nomyo", "chat", *to_router, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        env=os.environ | {"NOMYO_MODEL": "echo"} | environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert told in " ".join(done.stderr.decode().split())


def test_secret_file_with_a_name_beyond_the_locale_is_read_and_missed_in_words(
    to_router: list[str], tmp_path: Path
) -> None:
    (tmp_path / "nö").write_text("hällo")
    done = chat(*to_router, "--secret-file", str(tmp_path / "nö"), **C_LOCALE)
    assert (done.returncode, done.stdout.decode()) == (0, "hällo")
    done = chat(*to_router, "--secret-file", str(tmp_path / "nö€"), **C_LOCALE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"No such file or directory" in done.stderr
    assert b"codec" not in done.stderr


@pytest.mark.parametrize("command", ["chat", "batch", "proxy"])
@pytest.mark.parametrize("key", ["canary key ", "canary\nkey"])
def test_api_key_that_no_header_takes_is_wrong_use(
    command: str, key: str, to_router: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    own = {"chat": ["hello"], "batch": [str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out")], "proxy": []}[command]
    done = subprocess.run(
        [sys.executable, "-m", "nomyo", command, *to_router, *own],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        env=os.environ | {"NOMYO_MODEL": "echo", "NOMYO_API_KEY": key},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"NOMYO_API_KEY" in done.stderr
    assert b"canary" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def escaped(character: str) -> str:
    return f"\\u{ord(character):04X}"


SOURCES = ["argument", "pipe", "dash", "secret file", "secret pipe"]


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


def test_text_from_a_pipe_goes_before_the_argument(to_router: list[str]) -> None:
    pipe = 'printf "one\\ntwo\\n" | "$@" -m echo "Review this"'
    command = ["sh", "-c", pipe, "sh", sys.executable, "-m", "nomyo", "chat", *to_router]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).stdout == b"one\ntwo\n\nReview this"


def test_stdin_is_left_to_a_loop_where_that_is_asked_for(to_router: list[str]) -> None:
    loop = 'printf "one\\ntwo\\n" | while read -r line; do "$@" --no-stdin "$line"; done'
    command = ["sh", "-c", loop, "sh", sys.executable, "-m", "nomyo", "chat", "--model", "echo", *to_router]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).stdout == b"onetwo"


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_terminal_shows_control_characters_instead_of_obeying_them(source: str, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("hello")
    prompt = ["--plain", "hello"] if source == "argument" else ["--secret-file", str(tmp_path / "prompt")]
    with (
        NotingRouter([Text("answer", ATTACK)]) as router,
        in_terminal("chat", "--model", "m", "--base-url", router.url, "--allow-http", *prompt) as terminal,
    ):
        before = terminal.see(ATTACK_SHOWN + "\r\n")
        assert terminal.end() == (0, "")
    assert "\x1b]0" not in before


def test_terminal_gets_markdown_laid_out_and_what_the_model_reasoned_where_that_is_asked_for(
    to_router: list[str],
) -> None:
    command = ["chat", "--model", "reasoner", *to_router, "**one** \x1b]0;t\x07\n- two"]
    for options, reasoning in (
        ([], "(reasoned first, 56 characters: --reasoning shows it)"),
        (["--reasoning"], REASONING),
    ):
        with in_terminal(*command, *options) as terminal:
            before = terminal.see(f"{reasoning}\r\n")
            assert "waiting for the answer; Ctrl-C cancels (0 s)" in plain(before)
            shown = terminal.see("two\r\n")
            assert terminal.end() == (0, "")
        assert plain(shown).strip() == "one ^[]0;t^G\n\n •"
        assert "\x1b[1mone" in shown
        assert "\x1b]" not in before + shown


def test_reasoning_goes_to_stderr_and_only_where_it_is_asked_for(to_router: list[str]) -> None:
    asked = chat("--model", "reasoner", "--reasoning", *to_router, "hello")
    assert (asked.stdout, REASONING in asked.stderr.decode()) == (b"hello", True)
    unasked = chat("--model", "reasoner", *to_router, "hello")
    assert (unasked.stdout, b"reason" in unasked.stderr) == (b"hello", False)


def test_terminal_of_another_encoding_gets_ascii_alone(to_router: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("é漢🎉ü")
    command = ["chat", "--model", "echo", *to_router, "--secret-file", str(tmp_path / "prompt")]
    with in_terminal(*command, env={"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}) as terminal:
        terminal.see("\\xe9\\u6f22\\U0001f389\\xfc\r\n")
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
    "name", ["_metadata", "\\u005fmetadata", "_met\\u0061data", "".join(map(escaped, "_metadata"))]
)
def test_metadata_of_the_client_takes_the_place_of_the_routers_however_that_is_spelt(
    name: str, faulty_router: FaultyRouter, tmp_path: Path, key_options: list[str]
) -> None:
    forged = '{"is_encrypted": false, "payload_id": "forged"}'
    answer_with(faulty_router, f'{{"id": "1", "{name}": {forged}, "choices": []}}')
    to_router = ("--model", "m", "--base-url", faulty_router.url, "--allow-http", *key_options, "--json")
    for source in ("argument", "secret file"):
        done = ask_by(source, "hello", tmp_path, *to_router)
        pairs = json.loads(done.stdout, object_pairs_hook=list)
        assert [key for key, _ in pairs].count("_metadata") == 1, done.stdout
        metadata = dict(dict(pairs)["_metadata"])
        assert metadata["is_encrypted"] is True
        assert metadata["payload_id"] != "forged"


@pytest.mark.parametrize("source", ["argument", "secret file"])
@pytest.mark.parametrize("name", ["_metadata", "\\u005fmetadata"])
def test_answer_with_metadata_twice_is_refused(
    name: str, source: str, faulty_router: FaultyRouter, tmp_path: Path, key_options: list[str]
) -> None:
    answer_with(faulty_router, f'{{"id": "1", "_metadata": {{}}, "choices": [], "{name}": {{"is_encrypted": false}}}}')
    done = ask_by(
        source,
        "hello",
        tmp_path,
        "--model",
        "m",
        "--base-url",
        faulty_router.url,
        "--allow-http",
        *key_options,
        "--json",
    )
    assert done.returncode == 1
    assert b"is_encrypted" not in done.stdout
    assert b"field twice" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ('{"a": "x\\"}", "_metadata": {"b": [1, "}"]}, "c": {"_metadata": 2}}', '"_metadata": {"b": [1, "}"]}'),
        ('{"a": {"_metadata": 2}, "_metadata" : null}', '"_metadata" : null'),
        ('{"a": "_metadata", "b": [{"_metadata": {}}]}', ""),
        ('{"_metadata":{}}', '"_metadata":{}'),
        ('{"a": 1, "\\u005fmet\\u0061d\\u0061ta" : {"b": 2}}', '"\\u005fmet\\u0061d\\u0061ta" : {"b": 2}'),
        ('{"\\u005F\\u006D\\u0065ta\\u0064ata":1}', '"\\u005F\\u006D\\u0065ta\\u0064ata":1'),
        ('{"\\\\u005fmetadata":1}', ""),
    ],
)
def test_metadata_of_an_answer_is_found_where_it_is(answer: str, place: str) -> None:
    with memoryview(answer.encode()) as view:
        begin, end = place_of_metadata(view)
    assert answer[begin:end] == place
    assert place or answer[begin:] == "}"


def test_answer_that_is_cut_short_is_said_to_be(to_router: list[str], tmp_path: Path) -> None:
    for source in ("argument", "secret file"):
        done = ask_by(source, "one two three four five", tmp_path, *to_router, "--max-tokens", "1")
        assert done.returncode == 0
        assert b"warning: the answer is cut short: it reached the limit of tokens" in done.stderr


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
