"""Every Python example of the README and of pages in docs/ runs, against a router on this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.process import run_python
from support.readme_examples import ROOT, examples_without_frameworks
from support.tls import Authority

EXAMPLES = examples_without_frameworks()
# What the examples print, where the echo model fixes it.
EXPECTED = {
    "README.md:0": "Hello! How are you?\n",
    "docs/anthropic.md:0": "Hello from the SDK\n",
    "docs/attestation.md:0": "absent ['the router gives no attestation']\n",
    "docs/attestation.md:1": "not asked: ",
    "docs/audit.md:0": "1 line\n",
    "docs/batch.md:0": "1 answered, 0 failed, 0 left\n",
    "docs/data.md:0": "['Hello', 'How are you?']\n",
    "docs/batch.md:1": "",
    "docs/batch.md:2": "Hello\n",
    "docs/batch.md:3": "all rows are done\n",
    "docs/batch.md:4": "a None\n",
    "docs/client.md:0": "What is the capital of France?\n",
    "docs/client.md:1": "get_weather ",
    "docs/client.md:2": "Hello!\n",
    "docs/client.md:3": "Hello, company!\n",
    "docs/client.md:4": "0 What is 0 + 0?\n1 What is 1 + 1?\n2 What is 2 + 2?\n",
    "docs/client.md:5": "Hello!\n",
    "docs/index.md:0": "Hello! How are you?\n",
    "docs/keys.md:0": "-----BEGIN PUBLIC KEY-----",
    "docs/memory.md:0": "mlock ",
    "docs/memory.md:1": "8\n",
    "docs/memory.md:2": "The patient's record",
    "docs/memory.md:3": "True",
    "docs/openai.md:0": "Hello from the SDK\n",
    "docs/openai.md:4": "Hello from httpx\n",
    "docs/router.md:0": "Hello\n",
    "docs/router.md:1": "Counter(",
    "docs/start.md:0": "Hello! How are you?\n",
    "docs/start.md:1": "Hello! How are you?\n",
    "docs/trust.md:0": "",
}

REQUEST = (
    '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",'
    ' "body": {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}}\n'
)
ANSWER = '{"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200, "body": {}}, "error": null}\n'
POLICY = re.findall(r"```toml\n(least.*?)```", (ROOT / "docs" / "attestation.md").read_text(), re.DOTALL)[0]
FILES = {
    "docs/attestation.md:1": {"policy.toml": POLICY},
    "docs/batch.md:0": {"in.jsonl": REQUEST},
    "docs/batch.md:1": {"prompts.txt": "Hello\n"},
    "docs/batch.md:3": {"in.jsonl": REQUEST},
    "docs/batch.md:4": {"out.jsonl": ANSWER},
    "docs/memory.md:2": {"record.txt": "The patient's record"},
}

# Allows plain HTTP, and says nothing of the warning.
UNWARNED = {"docs/batch.md:0", "docs/data.md:0", "docs/router.md:1", "docs/start.md:0"}
UNWARN = 'import warnings; warnings.filterwarnings("ignore", message="the router is spoken to over plain HTTP")\n'


@pytest.fixture(scope="module")
def https_router(tls_authority: Authority) -> Iterator[RunningRouter]:
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with RunningRouter(RouterConfig(listener=listener)) as running:
        yield running


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs(
    name: str,
    https_router: RunningRouter,
    router: RunningRouter,
    tls_authority: Authority,
    key_directory: Path,
    tmp_path: Path,
) -> None:
    for file, content in FILES.get(name, {}).items():
        (tmp_path / file).write_text(content)  # the working directory of tests
    shutil.copytree(key_directory, tmp_path / "archive")
    if name != "README.md:0":  # which makes a pair of 4096 bits itself, as the first program of a user does
        shutil.copytree(key_directory, tmp_path / "client_keys")
    shutil.copy(tls_authority.ca, tmp_path / "company-ca.pem")
    https_url = https_router.url.replace("127.0.0.1", "localhost")
    program = EXAMPLES[name].replace("http://localhost:12435", router.url).replace("https://api.nomyo.ai", https_url)
    env = {
        **os.environ,
        "NOMYO_BASE_URL": https_url,
        "NOMYO_API_KEY": "a-key",
        "NOMYO_RATE_DIR": str(tmp_path / "rate"),
        **({} if "company-ca.pem" in program else {"SSL_CERT_FILE": str(tls_authority.ca)}),
    }

    finished = run_python(UNWARN + program if name in UNWARNED else program, env=env)

    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith(EXPECTED[name])


def test_first_program_runs_against_a_router_of_this_machine(router: RunningRouter) -> None:
    (client,) = re.findall(r"`(SyncSecureChatCompletion\(.+localhost:12435.+?\))`", (ROOT / "README.md").read_text())
    program = EXAMPLES["README.md:0"].replace("SyncSecureChatCompletion()", client)
    assert client in program

    finished = run_python(UNWARN + program.replace("http://localhost:12435", router.url))

    assert (finished.returncode, finished.stdout, finished.stderr) == (0, EXPECTED["README.md:0"], "")
