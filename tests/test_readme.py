"""Every Python example of the README runs, against a router on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from process import run_python
from readme_examples import examples
from tls import Authority

# What the examples print, where the echo model fixes it.
EXPECTED = {
    0: "Hello! How are you today?\n",
    1: "What is the capital of France?\n",
    2: "get_weather ",
    3: "Hello!\n",
    4: "-----BEGIN PUBLIC KEY-----",
    5: "mlock ",
    6: "The patient's record",
    7: "0 What is 0 + 0?\n1 What is 1 + 1?\n2 What is 2 + 2?\n",
    8: "Hello from the SDK\n",
    9: "Hello\n",
}


@pytest.fixture(scope="module")
def https_router(tls_authority: Authority) -> Iterator[RunningRouter]:
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with RunningRouter(RouterConfig(listener=listener)) as running:
        yield running


@pytest.mark.parametrize("number", range(len(examples())))
def test_example_runs(
    number: int, https_router: RunningRouter, router: RunningRouter, tls_authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "record.txt").write_text("The patient's record")  # the working directory of tests
    program = examples()[number].replace("http://localhost:12435", router.url)
    env = {
        **os.environ,
        "NOMYO_BASE_URL": https_router.url.replace("127.0.0.1", "localhost"),
        "NOMYO_API_KEY": "a-key",
        "SSL_CERT_FILE": str(tls_authority.ca),
    }

    finished = run_python(program, env=env)

    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith(EXPECTED[number])
