"""On hosts in FIPS mode, OpenSSL refuses digests that others have: every command works without them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nomyo
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import outcomes, request, write_input

FIPS_HOST = [sys.executable, str(Path(__file__).parents[1] / "support" / "fips_host.py")]
# `nomyo doctor --self` names the digests of `file_digest`: SHA-2 alone, as the specification of RECORD demands.
APPROVED = {"sha256", "pbkdf2_hmac", "file_digest"}
PROGRAM = "from support import fips_host; fips_host.become_fips_host(); import hashlib; "


def on_fips_host(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [*FIPS_HOST, *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment)


@pytest.fixture
def of_router(router: RunningRouter, key_directory: Path) -> list[str]:
    return ["--base-url", router.url, "--allow-http", "--key-dir", str(key_directory)]


@pytest.mark.parametrize(
    "call", ["hashlib.md5()", "hashlib.blake2b()", "hashlib.new('md5')", "hmac.new(b'', b'', 'md5')"]
)
def test_host_refuses_what_openssl_refuses(call: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"{PROGRAM} import hmac; {call}"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1], timeout=60,
    )  # fmt: skip
    assert "ValueError: [digital envelope routines] unsupported" in told.stderr


def test_batch_runs(tmp_path: Path, of_router: list[str]) -> None:
    source, output = write_input(tmp_path / "in.jsonl", map(request, range(3))), tmp_path / "out.jsonl"
    words = ["batch", str(source), "-o", str(output), *of_router]

    dry = on_fips_host("batch", str(source), "--dry-run", "--json")
    done = on_fips_host(*words)
    again = on_fips_host(*words)

    assert (dry.returncode, json.loads(dry.stdout)["rows"]) == (0, 3), dry.stderr
    assert (done.returncode, again.returncode) == (0, 0), done.stderr
    assert len(outcomes(output)) == 3


def test_sealed_batch_runs_and_opens(tmp_path: Path, of_router: list[str], archive: Path) -> None:
    source, output = write_input(tmp_path / "in.jsonl", map(request, range(3))), tmp_path / "out.jsonl"
    public_key = str(archive / "public_key.pem")

    done = on_fips_host("batch", str(source), "-o", str(output), *of_router, "--encrypt-to", public_key)
    opened = on_fips_host("batch", "open", str(output), "--key-dir", str(archive))

    assert (done.returncode, opened.returncode) == (0, 0), done.stderr + opened.stderr
    assert len(opened.stdout.splitlines()) == 3


def test_chat_keys_and_doctor_run(tmp_path: Path, of_router: list[str]) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse")
    password.chmod(0o600)
    keys = ["--key-dir", str(tmp_path / "keys")]
    for words in (
        ["chat", "--model", "m", "hello", *of_router],
        ["keys", "generate", "--key-size", "2048", "--password-file", str(password), *keys],
        ["keys", "show", *keys],
        ["doctor"],
        ["doctor", "--self"],
    ):
        done = on_fips_host(*words)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def proxy_on_fips_host(of_router: list[str]) -> Iterator[str]:
    words = [*FIPS_HOST, "proxy", "--port", "0", *of_router, "--json"]
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"NOMYO_PROXY_TOKEN": "t" * 20},
    ) as process:
        try:
            assert process.stdout
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def test_proxy_serves_its_page_and_answers(proxy_on_fips_host: str) -> None:
    import httpx

    with httpx.Client(base_url=proxy_on_fips_host, trust_env=False, timeout=30) as client:
        assert client.get("/").status_code == 200
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        answer = client.post("/v1/chat/completions", json=body, headers={"Authorization": "Bearer " + "t" * 20})
    assert answer.status_code == 200, answer.text


def test_fault_within_is_not_called_wrong_use(tmp_path: Path, of_router: list[str]) -> None:
    """Such a host refuses by a ValueError, which is what the library's refusal of an option is, too."""
    source, output = write_input(tmp_path / "in.jsonl", [request(1)]), tmp_path / "out.jsonl"

    done = on_fips_host("--refuse", "pbkdf2_hmac", "batch", str(source), "-o", str(output), *of_router)

    assert done.returncode == 1
    assert "Usage" not in done.stderr
    assert "a fault within nomyo, not a mistake in the call: ValueError in governor.py, line " in done.stderr


def test_package_uses_no_digest_but_those_that_every_host_has() -> None:
    used = set()
    for path in Path(nomyo.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hashlib":
                used.add(node.attr)
            assert not (isinstance(node, ast.ImportFrom) and node.module in ("hashlib", "_hashlib")), path
    assert used == APPROVED
