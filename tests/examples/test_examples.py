"""Every program of examples/ does what it says, against one router, whose model repeats what it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nomyo import _core
from nomyo.serve.router.running import RunningRouter
from support.proxied import proxy_process
from support.terminal import in_terminal, plain

EXAMPLES = Path(__file__).parents[2] / "examples"
RAY = "ray_batch.py"  # tests/batch/test_ray.py runs it, in its venv
ROW = (
    '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",'
    ' "body": {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}}\n'
)
# What each prints, with the arguments that it is given.
PRINTED = {
    "first_request.py": "Hello! How are you?\n",
    "many_requests.py": "".join(f"{number}: What is {number} + {number}?\n" for number in range(20)),
    "function_calls.py": "The tool answered: sunny, 21 degrees, in Paris\n",
    "openai_sdk.py": "Hello from the SDK\n",
    "anthropic_sdk.py": "Hello from Anthropic's SDK\n",
    "secret_record.py": "The patient's record",
    "batch_file.py": "2 answered, 0 failed, 0 left\n",
    "known_router.py": "Hello, known router!\n",
}
ARGUMENTS = {"secret_record.py": ["record.txt"], "batch_file.py": ["prompts.txt", "out.jsonl"]}
OTHERS = {"proxy_client.py", "sealed_answers.py", "test_own_program.py", "web_service.py", RAY}
STRICT = [sys.executable, "-W", "error", "-W", "ignore:the router is spoken to over plain HTTP"]
SERVED = """
import sys
from starlette.testclient import TestClient
sys.path.insert(0, sys.argv[1])
import web_service
with TestClient(web_service.app) as service:
    print(service.post("/summary", content="a report").text)
"""


@pytest.fixture
def environment(router: RunningRouter, key_directory: Path, tmp_path: Path) -> dict[str, str]:
    """What a program finds: a router, a key, and in the working directory a key pair and files."""
    shutil.copytree(key_directory, tmp_path / "client_keys")
    (tmp_path / "record.txt").write_text("The patient's record")
    (tmp_path / "prompts.txt").write_text("Hello\nHello again\n")
    (tmp_path / "in.jsonl").write_text(ROW)
    return {**os.environ, "NOMYO_BASE_URL": router.url, "NOMYO_API_KEY": "a-key"}


def run(words: list[str], environment: dict[str, str]) -> str:
    """Run a program, which has to succeed in silence; return what it printed."""
    done = subprocess.run([*STRICT, *words], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PRINTED)
def test_program_prints_what_the_model_says(name: str, environment: dict[str, str]) -> None:
    assert run([str(EXAMPLES / name), *ARGUMENTS.get(name, [])], environment) == PRINTED[name]


def test_program_reaches_the_router_through_the_proxy(environment: dict[str, str], key_directory: Path) -> None:
    with proxy_process(environment["NOMYO_BASE_URL"], key_directory, "--log-level", "error") as proxy:
        place = {"OPENAI_BASE_URL": f"{proxy.url}/v1", "OPENAI_API_KEY": str(proxy.token)}
        assert run([str(EXAMPLES / "proxy_client.py")], environment | place) == "Hello through the proxy\n"


def test_answers_are_read_with_the_password(
    environment: dict[str, str], archive_key: _core.PrivateKey, tmp_path: Path
) -> None:
    _core.write_key_directory(tmp_path / "archive", archive_key, "a long password")
    program = [*STRICT, str(EXAMPLES / "sealed_answers.py")]
    with in_terminal("in.jsonl", "out.jsonl", program=program, env=environment) as screen:
        screen.see("password of the private key: ")
        screen.type("a long password\n")
        code, shown = screen.end()

    assert code == 0
    assert plain(shown).split() == ["a", "Hello"]
    assert "Hello" not in (tmp_path / "out.jsonl").read_text()


def test_tests_of_a_program_pass(environment: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "test_own_program.py", tmp_path)  # away from this project's settings
    assert "2 passed" in run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_own_program.py"], environment)


def test_web_service_answers(environment: dict[str, str]) -> None:
    assert run(["-c", SERVED, str(EXAMPLES)], environment) == "a report\n"


def test_every_program_is_run_and_is_in_the_table() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    table = (EXAMPLES / "README.md").read_text()

    assert programs == PRINTED.keys() | OTHERS
    assert {name for name in programs if f"| [{name}]({name}) |" not in table} == set()
