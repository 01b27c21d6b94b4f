"""A server may put anything anywhere in an answer: no way that an answer takes ends at it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nomyo._finite_json import with_nulls
from support.batch_scene import batch, request, rows_of, write_input
from support.chat_process import ask_by
from support.faults import FaultyRouter
from support.odd_answers import USAGE, answer_in_turn, answer_with, completion
from support.odd_values import VALUES, answer_with_each, answers
from support.proxied import Proxy, chat, proxy_process
from support.sdk import Sdk
from support.terminal import CTRL_D, ENTER, in_terminal, plain
from support.twins import Twin

MESSAGES: list[Any] = [{"role": "user", "content": "Hello"}]
ANSWERS = list(answers())
MOST = 2**53


@pytest.fixture(scope="module")
def proxy(_shared_faulty_router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(_shared_faulty_router.url, key_directory) as proxy:
        yield proxy


def comparable(answer: Any) -> str:
    """Return an answer as text; the client's own part of it left out, for NaN is not equal to itself."""
    return json.dumps({name: value for name, value in answer.items() if name != "_metadata"})


def finite(answer: str) -> str:
    """Return what others get of an answer."""
    return comparable(with_nulls(json.loads(answer)))


def refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def test_client_gives_it_as_it_is(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = twin.chat(faulty_router.url, key_dir=key_directory)
    for place, name, text in ANSWERS:
        answer_with(faulty_router, text)
        response = twin.call(client.create, model="m", messages=MESSAGES)
        assert comparable(response) == comparable(json.loads(text)), (place, name)
        assert repr(response).endswith("; print() shows it>")
        assert "_metadata" in str(response)
        assert response["_metadata"]["is_encrypted"] is True
        assert "usage" in dir(response)


def test_client_gives_it_in_locked_memory(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = twin.chat(faulty_router.url, key_dir=key_directory)
    for place, name, text in ANSWERS:
        answer_with(faulty_router, text)
        with (
            twin.call(client.create_secure, model="m", messages=MESSAGES) as response,
            memoryview(response.json) as all_,
        ):
            assert comparable(json.loads(bytes(all_))) == comparable(json.loads(text)), (place, name)
            given = json.loads(text)
            told = {"id": response.id, "model": response.model, "usage": response.usage}
            assert comparable(told) == comparable({part: given[part] for part in told}), (place, name)
            assert response.metadata["is_encrypted"] is True


@pytest.mark.slow("800 odd answers, a request for each")
def test_batch_has_a_row_for_each(faulty_router: FaultyRouter, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in", [request(number) for number in range(len(ANSWERS))])
    answer_in_turn(faulty_router, [text for _, _, text in ANSWERS])
    done = batch(source, tmp_path / "out", faulty_router.url, "--rate", "0", "--concurrency", "1", "--json")
    assert done.returncode == 0, done.stderr
    for row, (place, name, text) in zip(rows_of(tmp_path / "out"), ANSWERS, strict=True):
        assert row["error"] is None
        assert comparable(row["response"]["body"]) == finite(text), (place, name)
    asked, told = (min(sum(figures), MOST) for figures in zip(*map(tokens_in, ANSWERS), strict=True))
    summary = json.loads(done.stdout)
    assert summary == {
        "rows": len(ANSWERS),
        "succeeded": len(ANSWERS),
        "failed": 0,
        "reasons": {},
        "done_before": 0,
        "prompt_tokens": asked,
        "completion_tokens": told,
        "cost": None,
        "limit": None,
        "left": 0,
    }
    [line] = [line for line in done.stderr.splitlines() if "left: nothing" in line]
    assert ", 0 errors, " in line
    assert f" {min(asked + told, MOST):,} tokens" in line


def tokens_in(answer: tuple[str, str, str]) -> tuple[int, int]:
    usage = json.loads(answer[2])["usage"]
    given = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else [0, 0]
    asked, told = (each if type(each) is int and 0 <= each <= MOST else 0 for each in given)
    return asked, told


@pytest.mark.parametrize("figure", [MOST, MOST + 1, int("9" * 4300)], ids=lambda each: str(each)[:16])
def test_sum_of_figures_stays_one(faulty_router: FaultyRouter, tmp_path: Path, figure: int) -> None:
    source = write_input(tmp_path / "in", [request(number) for number in range(4)])
    usage = {"prompt_tokens": figure, "completion_tokens": figure}
    answer_with(faulty_router, completion({"content": "so"}, usage=usage))
    done = batch(source, tmp_path / "out", faulty_router.url, "--rate", "0", "--json")
    assert (done.returncode, len(rows_of(tmp_path / "out"))) == (0, 4), done.stderr
    summary = json.loads(done.stdout)
    most = MOST if figure <= MOST else 0
    assert (summary["prompt_tokens"], summary["completion_tokens"]) == (most, most)
    assert f"{most:,} tokens" in done.stderr


@pytest.mark.parametrize("usage", ['{"prompt_tokens": %s}', "%s", '{"prompt_tokens": {"a": [%s]}}'])
def test_number_that_nobody_can_print_fails_its_own_row_alone(
    faulty_router: FaultyRouter, tmp_path: Path, usage: str
) -> None:
    good = json.dumps(completion({"content": "so"}))
    bad = good.replace(json.dumps(USAGE), usage % ("9" * 5000))
    assert bad != good
    source = write_input(tmp_path / "in", [request(number) for number in range(3)])
    answer_in_turn(faulty_router, [good, bad, good])
    done = batch(source, tmp_path / "out", faulty_router.url, "--rate", "0", "--concurrency", "1", "--json")
    assert done.returncode == 3, done.stderr
    codes = [row["error"] and row["error"]["code"] for row in rows_of(tmp_path / "out")]
    assert codes == [None, "security_error", None]
    summary = json.loads(done.stdout)
    assert (summary["succeeded"], summary["failed"], summary["completion_tokens"]) == (2, 1, 4)


def test_answer_that_cannot_be_written_is_an_error_in_progress_too(faulty_router: FaultyRouter, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in", [request(number) for number in range(2)])
    answer_in_turn(faulty_router, [completion({"content": "so"}, more=int("9" * 700)), completion({"content": "so"})])
    done = batch(source, tmp_path / "out", faulty_router.url, "--concurrency", "1", PYTHONINTMAXSTRDIGITS="640")
    assert (done.returncode, [row["error"] and row["error"]["code"] for row in rows_of(tmp_path / "out")]) == (
        3,
        ["batch_error", None],
    )
    assert "2 of 2 rows (100.0 %), 1 error" in done.stderr


@pytest.mark.slow("800 odd answers, two requests for each")
def test_proxy_gives_it_whole_and_as_a_stream(proxy: Proxy, faulty_router: FaultyRouter) -> None:
    with httpx.Client(headers=proxy.headers(content_type="application/json"), trust_env=False, timeout=60) as caller:
        for place, name, text in ANSWERS:
            answer_with(faulty_router, text)
            whole = caller.post(f"{proxy.url}/v1/chat/completions", json=chat())
            assert whole.status_code == 200, (place, name)
            assert comparable(json.loads(whole.text, parse_constant=refused)) == finite(text), (place, name)
            asked = chat(stream=True, stream_options={"include_usage": True})
            streamed = caller.post(f"{proxy.url}/v1/chat/completions", json=asked)
            assert streamed.status_code == 200, (place, name)
            *events, end, nothing = streamed.text.split("\n\n")
            assert (end, nothing) == ("data: [DONE]", "")
            chunks = [json.loads(event.removeprefix("data: "), parse_constant=refused) for event in events]
            assert chunks[-1]["usage"] == with_nulls(json.loads(text).get("usage")), (place, name)


@pytest.mark.slow("800 odd answers, a request for each")
def test_sdk_reads_it_whole(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory)
    asked: dict[str, Any] = {"model": "m", "messages": MESSAGES}
    for place, name, text in ANSWERS:
        answer_with(faulty_router, text)
        whole = sdk.call(client.chat.completions.with_raw_response.create, **asked)
        assert comparable(json.loads(whole.content)) == finite(text), (place, name)
        assert whole.parse() is not None


@pytest.mark.slow("800 odd answers, a request for each")
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the SDK copies what it has by its own types
def test_sdk_puts_the_stream_together(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory)
    for place, name, text in ANSWERS:
        answer_with(faulty_router, text)
        choices = json.loads(text)["choices"]
        found = [each for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []
        whole = sdk.put_together(client, model="m", messages=MESSAGES)
        assert len(whole.choices) == len(found), (place, name)


def test_conversation_goes_on_behind_each(faulty_router: FaultyRouter, key_options: list[str]) -> None:
    answer_in_turn(faulty_router, [answer_with_each(value, f"so-{turn}") for turn, value in enumerate(VALUES.values())])
    arguments = ["--model", "m", "--base-url", faulty_router.url, "--allow-http", *key_options, "--max-retries", "0"]
    with in_terminal("chat", *arguments) as terminal:
        terminal.see("/help tells more.")
        terminal.wait_for_prompt()
        for turn, name in enumerate(VALUES):
            terminal.type("hello", ENTER)
            terminal.see(f"so-{turn}\r\n")
            terminal.wait_for_prompt()
            terminal.type("/info", ENTER)
            terminal.see("last answer")
            shown = terminal.see(" encryption_algorithm")
            terminal.wait_for_prompt()
            assert len(shown) < 8000, name
            assert "\x1b[2J" not in shown
            assert "\u202e" not in shown
        terminal.type(CTRL_D)
        assert terminal.end()[0] == 0


def test_metadata_passes_for_no_fact_of_ours(faulty_router: FaultyRouter, key_options: list[str]) -> None:
    forged = {"its key": "SHA256:forged (pinned)", "mood": "good\nits key      SHA256:forged (pinned)"}
    answer_with(faulty_router, completion({"content": "so"}, model="m\nits key      forged", _metadata=forged))
    arguments = ["--model", "m", "--base-url", faulty_router.url, "--allow-http", *key_options]
    with in_terminal("chat", *arguments, columns=250) as terminal:
        terminal.see("/help tells more.")
        terminal.wait_for_prompt()
        terminal.type("hello", ENTER)
        terminal.see("so\r\n")
        terminal.wait_for_prompt()
        terminal.type("/info", ENTER)
        shown = plain(terminal.see(" encryption_algorithm"))
    lines = [line for line in shown.splitlines() if line.startswith("its key")]
    assert lines == [f"its key      {faulty_router.running.fingerprint} (not pinned)"]


# Of those that are written alike, one: each is two processes.
@pytest.mark.parametrize("value", ["a list", "a long integer", "no number", "half a character", "deep objects"])
def test_one_prompt_prints_it_as_json(
    faulty_router: FaultyRouter, tmp_path: Path, value: str, key_options: list[str]
) -> None:
    answer_with(faulty_router, answer_with_each(VALUES[value]))
    expected = with_nulls(json.loads(answer_with_each(VALUES[value])))
    for source in ("argument", "secret file"):
        done = ask_by(
            source, "hello", tmp_path, "--base-url", faulty_router.url, "--allow-http", *key_options, "--json"
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout, parse_constant=refused)
        assert comparable(told) == comparable(expected)
        assert told["_metadata"].items() >= expected["_metadata"].items()


@pytest.mark.parametrize("options", [[], ["--secret-file", "prompt"]], ids=["plain", "secret"])
def test_number_that_this_python_does_not_write_is_a_failure_in_words(
    faulty_router: FaultyRouter, tmp_path: Path, options: list[str], key_options: list[str]
) -> None:
    (tmp_path / "prompt").write_text("hello")
    answer_with(faulty_router, answer_with_each("9" * 700))
    words = [
        sys.executable,
        "-m",
        "nomyo",
        "chat",
        "--model",
        "m",
        "--base-url",
        faulty_router.url,
        "--allow-http",
        *key_options,
    ]
    words += [*(options or ["hello"]), "--json"]
    environment = {**os.environ, "PYTHONINTMAXSTRDIGITS": "640"}
    done = subprocess.run(words, capture_output=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"the answer holds a number that is too long to write" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("told", [None, "abc", [1, math.nan], {}, {"memory_locking": [1]}], ids=repr)
def test_demo_tells_of_any_protection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: Any
) -> None:
    from nomyo.cli import main

    monkeypatch.setattr("nomyo.serve.router.router.memory_protection", lambda: told)
    with pytest.raises(SystemExit) as left:
        main(["demo"])
    assert left.value.code in (0, None)
    assert "core dumps off: no" in capsys.readouterr().out


def test_each_value_is_tried_in_each_place() -> None:
    """What the tests above go through is what it is meant to be."""
    assert len({text for _, _, text in ANSWERS}) == len(ANSWERS) > 700
