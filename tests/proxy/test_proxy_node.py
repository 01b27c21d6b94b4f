"""OpenAI's SDK for Node, as published, through the proxy: one URL is changed, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.faults import Answer, FaultyRouter
from support.needles import LONG, Text, of_texts
from support.odd_answers import answer_in_turn
from support.odd_streams import ANSWERS, in_order, messages_of
from support.proxied import TOKEN, Proxy, proxy_process

pytestmark = pytest.mark.outside("Node.js")

NODE = Path(__file__).parents[1] / "node"
MODEL = "Qwen/Qwen3-0.6B"
PROMPT = Text.draw("prompt", "abcde漢字🎉é ", LONG)


@pytest.fixture(scope="module")
def router() -> Iterator[FaultyRouter]:
    with FaultyRouter() as router:
        yield router


@pytest.fixture(scope="module")
def proxy(router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(router.url, key_directory, "--model", MODEL, "--max-retries", "1") as proxy:
        yield proxy


def node(proxy: Proxy, *words: str, given: str = "") -> str:
    program = shutil.which("node")
    assert program, "these tests need Node.js 20 or later"
    assert (NODE / "node_modules").is_dir(), "`make node` installs the SDK"
    done = subprocess.run(
        [program, *words],
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        cwd=NODE,
        env=os.environ | {"OPENAI_BASE_URL": f"{proxy.url}/v1", "OPENAI_API_KEY": TOKEN},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def got(proxy: Proxy, router: FaultyRouter) -> dict[str, Any]:
    router.reset()
    outcome: dict[str, Any] = json.loads(node(proxy, "openai_sdk.mjs", given=json.dumps({"prompt": PROMPT.content})))
    return outcome


def test_answers_come_whole_and_as_streams(got: dict[str, Any]) -> None:
    assert got["whole"] == got["streamed"] == PROMPT.content
    assert got["tier"] == "high"
    assert got["total_tokens"] > 0
    assert got["helper"] == [[index, "assistant", PROMPT.content, "stop"] for index in range(2)]
    assert got["parallel"] == [f"number {number}" for number in range(8)]


def test_tool_calls_are_put_together_from_the_stream(got: dict[str, Any]) -> None:
    ((kind, name, arguments),) = got["called"]
    assert (kind, name, got["finish_reason"]) == ("function", "get_weather", "tool_calls")
    assert list(arguments) == ["location"]


def test_models_are_listed(got: dict[str, Any]) -> None:
    assert (got["models"], got["model"]) == ([MODEL], MODEL)


def test_errors_are_of_the_sdks_own_classes(got: dict[str, Any]) -> None:
    assert got["wrong_token"] == {
        "name": "AuthenticationError",
        "status": 401,
        "code": "invalid_token",
        "type": "authentication_error",
    }
    assert (got["bad_request"]["name"], got["bad_request"]["code"]) == ("BadRequestError", "invalid_request")
    assert (got["embeddings"]["name"], got["embeddings"]["code"]) == ("NotFoundError", "unknown_path")


def test_wire_shows_nothing_of_it(got: dict[str, Any], router: FaultyRouter) -> None:
    assert got["whole"]
    packages = [post.body for post in router.posts]
    assert len(packages) == 12
    assert not any(needle.content in package for package in packages for needle in of_texts([PROMPT]))


def test_responses_come_whole_streamed_and_through_the_helpers(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()
    told = json.loads(node(proxy, "responses.mjs", given=json.dumps({"prompt": PROMPT.content})))

    assert told["whole"] == told["deltas"] == told["helper"] == PROMPT.content
    assert (told["numbered"], told["status"]) == (True, "completed")
    assert told["call"] == ["function_call", "get_weather", ["location"]]
    assert told["answered"] == "The tool answered: rain"
    assert told["parsed"] == {"name": "Zoë"}
    assert (told["bad_request"]["name"], told["bad_request"]["param"]) == (
        "BadRequestError",
        "input[0].content[0].type",
    )
    assert (told["retrieved"]["name"], told["retrieved"]["code"]) == ("NotFoundError", "not_stored")
    assert len(router.posts) == 6
    assert not any(needle.content in post.body for post in router.posts for needle in of_texts([PROMPT]))


def test_streams_are_put_together_to_the_whole_answer(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()
    answer_in_turn(router, (answer for answer in ANSWERS.values() for _ in ("whole", "stream")))
    told = json.loads(node(proxy, "streams.mjs", given=json.dumps({"count": len(ANSWERS)})))
    router.reset()

    assert len(told) == len(ANSWERS)
    for what, (whole, streamed) in zip(ANSWERS, told, strict=True):
        assert messages_of(streamed) == messages_of(in_order(whole)), what
        assert messages_of(streamed) == messages_of(in_order(ANSWERS[what])), what
        assert [choice.get("logprobs") for choice in streamed["choices"]] == [
            choice.get("logprobs") for choice in in_order(whole)["choices"]
        ]
        assert streamed["usage"] == whole["usage"]


def test_sdk_does_not_retry_what_the_proxy_has_retried(proxy: Proxy, router: FaultyRouter) -> None:
    router.reset()
    router.always(Answer(503))
    program = (
        'import OpenAI from "openai";'
        'const asked = { model: "m", messages: [{ role: "user", content: "a" }] };'
        "const error = await new OpenAI().chat.completions.create(asked).catch((error) => error);"
        "console.log(error.constructor.name, error.status);"
    )
    assert node(proxy, "--input-type=module", "--eval", program) == "InternalServerError 503\n"
    assert len(router.posts) == 2
    router.reset()
