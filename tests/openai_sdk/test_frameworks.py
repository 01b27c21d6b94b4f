"""Programs of others, from venvs of their own: the OpenAI SDK in both majors, LangChain, LlamaIndex, instructor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.faults import FaultyRouter
from support.odd_answers import answer_in_turn
from support.odd_streams import ANSWERS
from support.readme_examples import examples
from support.tap import Tap
from support.tls import Authority

pytestmark = pytest.mark.outside("the venvs of `make openai`")

REPOSITORY = Path(__file__).parents[2]
SUITE = [
    "test_openai.py",
    "test_openai_failures.py",
    "test_openai_responses.py",
    "test_openai_secrecy.py",
    "test_openai_streams.py",
    "test_transports.py",
]
DOCS = "docs/openai.md"
PROMPT = "canary-prompt-b41e"


def run_in(venv: str, *arguments: str, cwd: Path = REPOSITORY, **env: str) -> str:
    """Run the Python of a venv, which finds the package of this folder; return what it printed."""
    python = REPOSITORY / f".venv-{venv}" / "bin" / "python"
    assert python.exists(), f".venv-{venv} is missing: run `make openai`"
    finished = subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "python"), **env},
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.parametrize("major", ["2", "3"])
def test_each_major_is_there(major: str) -> None:
    assert run_in(f"openai-{major}", "-c", "import openai; print(openai.VERSION)").startswith(f"{major}.")


def test_types_hold_with_both_majors() -> None:
    for major in ("2", "3"):
        python = REPOSITORY / f".venv-openai-{major}" / "bin" / "python"
        mypy = [sys.executable, "-m", "mypy", "--python-executable", str(python), "python/nomyo/openai.py"]
        checked = subprocess.run(mypy, capture_output=True, text=True, check=False, cwd=REPOSITORY)
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("tests", SUITE)
@pytest.mark.parametrize("major", ["2", "3"])
def test_all_of_it_holds_with_the_sdk_of_this_major(major: str, tests: str) -> None:
    printed = run_in(f"openai-{major}", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/openai_sdk/{tests}")

    assert " passed in " in printed
    assert "skipped" not in printed


def _answers(program: str) -> tuple[dict[str, Any], bytes]:
    """Run a program against a router; return what it printed, and what went over the wire."""
    config = RouterConfig(key_bits=2048, api_keys=frozenset({"a-nomyo-key"}))
    with RunningRouter(config) as router, Tap(router.url) as tap:
        printed = run_in("frameworks", "-W", "ignore", f"tests/frameworks/{program}.py", tap.url, PROMPT)
        return json.loads(printed.splitlines()[-1]), tap.seen


@pytest.mark.parametrize("program", ["langchain_chat", "llama_index_chat", "instructor_chat", "agents_loop"])
def test_program_runs_unseen(program: str) -> None:
    answers, wire = _answers(program)

    refused = answers.pop("refused", None)
    assert refused is None or "plain HTTP" in refused
    assert answers.pop("tool", PROMPT) in (PROMPT, "look_up")
    assert all(answer in (PROMPT, [PROMPT, PROMPT]) for answer in answers.values()), answers
    assert b"a-nomyo-key" in wire  # the tap sees what is there to be seen
    assert wire.count(b"/v1/chat/secure_completion") >= 3
    assert PROMPT.encode() not in wire
    assert b"/chat/completions" not in wire


def test_langchain_puts_streams_together_as_it_reads_whole_answers() -> None:
    """Its streams look at the first choice alone, and know no audio, annotations and reasoning."""
    answers = [answer for answer in ANSWERS.values() if len(answer["choices"]) == 1]
    with FaultyRouter() as router:
        answer_in_turn(router, (answer for answer in answers for _ in ("whole", "stream")))
        number = str(len(answers))
        printed = run_in("frameworks", "-W", "ignore", "tests/frameworks/langchain_streams.py", router.url, number)

    told = json.loads(printed.splitlines()[-1])
    assert len(told) == len(answers)
    for whole, streamed in told:
        assert streamed == whole


@pytest.mark.parametrize("number", range(len(examples(DOCS))))
def test_example_of_the_docs_runs(number: int, tls_authority: Authority, tmp_path: Path) -> None:
    expected = ["the SDK", "LangChain", "LlamaIndex", "Hamburg", "httpx"][number]
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with RunningRouter(RouterConfig(key_bits=2048, listener=listener)) as router:
        url = router.url.replace("127.0.0.1", "localhost")
        env = {"NOMYO_BASE_URL": url, "NOMYO_API_KEY": "a-key", "SSL_CERT_FILE": str(tls_authority.ca)}
        printed = run_in("frameworks", "-W", "ignore", "-c", examples(DOCS)[number], cwd=tmp_path, **env)

    assert printed.rstrip().endswith(expected)
