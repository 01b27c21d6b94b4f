"""The files by which others run nomyo as a service: the image's entry point and health check, its lock, the unit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from nomyo.serve.router.running import RunningRouter

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def entered(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        ["sh", str(DEPLOY / "entrypoint.sh"), *command], env=env, capture_output=True, text=True, check=False
    )


PRINT = (sys.executable, "-ISc", "import json, os; print(json.dumps(dict(os.environ)))")


def test_secret_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k'\"$(touch x) `\\ \u00e9\n")
    seen = json.loads(entered(*PRINT, NOMYO_API_KEY_FILE=str(tmp_path / "key"), NOMYO_PROXY_TOKEN="t").stdout)
    assert (seen["NOMYO_API_KEY"], seen["NOMYO_PROXY_TOKEN"]) == ("k'\"$(touch x) `\\ \u00e9", "t")
    assert "NOMYO_API_KEY_FILE" not in seen


@pytest.mark.parametrize(
    ("content", "also", "code", "words"),
    [
        ("key", {"NOMYO_API_KEY": "canary"}, 2, "NOMYO_API_KEY and NOMYO_API_KEY_FILE are both set"),
        ("", {}, 2, "the file of NOMYO_API_KEY_FILE is empty"),
        (None, {}, 1, "the file of NOMYO_API_KEY_FILE cannot be read as user"),
    ],
)
def test_secret_that_cannot_be_had_ends_the_start(
    tmp_path: Path, content: str | None, also: dict[str, str], code: int, words: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    finished = entered(*PRINT, NOMYO_API_KEY_FILE=str(tmp_path / "key"), **also)
    assert (finished.returncode, finished.stdout) == (code, "")
    assert f"nomyo: {words}" in finished.stderr
    assert "canary" not in finished.stderr


def healthy(port: int) -> subprocess.CompletedProcess[str]:
    # Nothing may be asked through a proxy.
    env = {**os.environ, "NOMYO_HEALTH_PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-I", str(DEPLOY / "healthcheck.py")]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_health_check_tells_whether_something_serves(router: RunningRouter) -> None:
    with HTTPServer(("127.0.0.1", 0), _Healthy) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        finished = healthy(server.server_port)
        thread.join()
    assert (finished.returncode, finished.stderr) == (0, "")
    other = healthy(int(router.url.rpartition(":")[2]))  # it has no such path
    assert (other.returncode, other.stderr[-9:]) == (1, "HTTP 404\n")
    nobody = healthy(1)
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("there is no answer at port 1: ")


def test_image_has_no_root_and_one_release_of_debian() -> None:
    text = (ROOT / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert {base.rpartition("-")[2] for base in bases} <= {"trixie", "slim"}
    assert all("trixie" in base for base in bases)
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "10001:10001"
    needed = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    given = re.search(r"^FROM rust:([\d.]+)-", text, re.MULTILINE)
    assert needed is not None
    assert given is not None
    assert tuple(map(int, given[1].split("."))) >= tuple(map(int, needed[1].split(".")))


def test_files_that_the_image_is_built_of_are_sent_to_the_builder() -> None:
    sent = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert sent == {"Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "deploy", "pyproject.toml", "python", "rust"}
    assert all((ROOT / name).exists() for name in sent)


def test_workflow_imports_only_what_it_has_installed() -> None:
    text = (ROOT / ".github/workflows/test.yml").read_text()
    step = re.search(r'- name: Import every module\n +run: >-\n +python -I -c "(.*?)"\n', text + "\n", re.DOTALL)
    assert step is not None
    # It installs the extra serve alone.
    missing = "import sys; sys.modules.update(dict.fromkeys(('anthropic', 'openai', 'ray', 'httpx2')))"
    finished = subprocess.run(
        [sys.executable, "-c", f"{missing}; {' '.join(step[1].split())}"], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.outside("systemd-analyze")
def test_unit_is_one_that_a_users_manager_takes(tmp_path: Path) -> None:
    program = tmp_path / ".local/bin/nomyo"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    env = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    unit = str(DEPLOY / "nomyo-proxy.service")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--user", unit], env=env, capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
