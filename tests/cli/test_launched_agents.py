"""Coding agents as published, by `nomyo launch`: each completes a task, and what leaves the machine shows none of it.

`make agents` installs them, in the versions of tests/agents/package-lock.json.
"""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nomyo.serve.router.config import RouterConfig, UpstreamConfig
from nomyo.serve.router.running import RunningRouter
from support.launched import MODEL, surroundings, words
from support.refusing_proxy import RefusingProxy
from support.scripted_model import ANSWER, COPY, SOURCE, ScriptedModel
from support.tap import Tap

pytestmark = pytest.mark.outside("npm")

INSTALLED = Path(__file__).parents[1] / "agents" / "node_modules"
NOWHERE = "http://127.0.0.1:9/v1"
CLAUDE_SETTINGS = {"model": "other", "env": {"ANTHROPIC_BASE_URL": NOWHERE, "ANTHROPIC_MODEL": "other"}}
CODEX_SETTINGS = f"""
model = "other"
model_provider = "other"
[model_providers.other]
name = "other"
base_url = "{NOWHERE}"
"""
PATCH = f"apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {COPY}\n+TEXT\n*** End Patch\nEOF\n"
OPENCODE_SETTINGS = {
    "$schema": "https://opencode.ai/config.json",  # which it would add
    "model": "other/model",
    "provider": {"other": {"options": {"baseURL": NOWHERE}}},
}
PROMPT = "Copy the note, secret-of-the-prompt-{}"


@dataclass(frozen=True)
class Real:
    """An agent as published: its program, its own arguments, and the tools of its that the model uses."""

    program: str
    arguments: tuple[str, ...]
    shell: tuple[str, dict[str, Any]]
    writer: tuple[str, dict[str, Any]]
    settings: tuple[str, str]
    """A file of the user's in the home directory, which leads to another server and another model."""
    reaches: frozenset[str] = field(default=frozenset())
    """Where else it goes on the internet, in spite of all switches."""


AGENTS = {
    "claude": Real(
        "@anthropic-ai/claude-code-linux-x64/claude",
        ("--allowedTools", "Bash", "--permission-mode", "acceptEdits", "--print"),
        ("Bash", {"command": f"cat {SOURCE}", "description": "Read the note"}),
        ("Write", {"file_path": COPY, "content": "TEXT"}),
        (".claude/settings.json", json.dumps(CLAUDE_SETTINGS)),
    ),
    "codex": Real(
        "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
        # Its sandbox needs rights that containers seldom have.
        ("exec", "--skip-git-repo-check", "--sandbox", "danger-full-access"),
        ("exec_command", {"cmd": f"cat {SOURCE}"}),
        ("exec_command", {"cmd": PATCH}),  # of a model that it does not know it takes a patch as a command
        (".codex/config.toml", CODEX_SETTINGS),
        frozenset({"api.github.com:443", "chatgpt.com:443", "github.com:443"}),  # lists of its plug-ins
    ),
    "opencode": Real(
        "opencode-linux-x64/bin/opencode",
        ("run", "--auto"),
        ("bash", {"command": f"cat {SOURCE}", "description": "Read the note"}),
        ("write", {"filePath": COPY, "content": "TEXT"}),
        (".config/opencode/opencode.json", json.dumps(OPENCODE_SETTINGS)),
        frozenset({"registry.npmjs.org:443"}),  # its package for plug-ins
    ),
}


@dataclass
class Run:
    """A task that an agent did."""

    code: int
    said: str
    told: str
    copied: str
    secrets: list[str]
    wire: bytes
    upstream: bytes
    internet: RefusingProxy
    models: set[str]
    settings: str


def drawn() -> str:
    return "".join(random.SystemRandom().choices(string.ascii_lowercase, k=24))


@pytest.fixture(scope="module", params=list(AGENTS))
def agent(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def run(agent: str, key_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Have an agent read a file, write another one, and say what it read."""
    real, folder = AGENTS[agent], tmp_path_factory.mktemp(agent)
    assert (INSTALLED / real.program).exists(), "`make agents` installs the agents"
    work, home, programs = folder / "work", folder / "home", folder / "bin"
    for each in (work, home, programs):
        each.mkdir()
    (programs / agent).symlink_to(INSTALLED / real.program)
    settings = home / real.settings[0]
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(real.settings[1])
    content, prompt = f"content-{drawn()}", PROMPT.format(drawn())
    (work / SOURCE).write_text(content)
    with (
        RefusingProxy() as internet,
        ScriptedModel(real.shell, real.writer) as model,
        Tap(model.url) as clear,
        RunningRouter(RouterConfig(key_bits=2048, upstream=UpstreamConfig(clear.url))) as router,
        Tap(router.url) as wire,
    ):
        done = subprocess.run(
            words(agent, wire.url, key_directory, *real.arguments, prompt),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            cwd=work,
            env=of_a_new_user(home, work, programs, internet.url),
        )
        copy = work / COPY
        yield Run(
            done.returncode,
            done.stdout,
            done.stderr,
            copy.read_text() if copy.exists() else "",
            [content, prompt, ANSWER.format(content)],
            wire.seen,
            clear.seen,
            internet,
            {request["model"] for request in model.requests},
            settings.read_text(),
        )


def of_a_new_user(home: Path, work: Path, programs: Path, internet: str) -> dict[str, str]:
    """Return an environment without settings of whoever runs the tests, in which all of the internet refuses."""
    own = surroundings(programs, HOME=str(home), PWD=str(work), TMPDIR=str(home))
    kept = {name: value for name, value in own.items() if not name.startswith(("XDG_", "CLAUDE", "CODEX", "ANTHROPIC"))}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), internet)
    # The tap is on this machine; a router elsewhere would be reached through the proxy, sealed.
    return {**kept, **proxies, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "IS_SANDBOX": "1"}


def test_agent_reads_a_file_writes_another_and_says_what_it_read(run: Run) -> None:
    content, _, answer = run.secrets
    assert run.code == 0, run.told
    assert run.copied.strip() == content
    assert answer in run.said


def test_wire_shows_neither_prompt_nor_file_nor_answer(run: Run) -> None:
    assert len(run.wire) > 10_000
    for secret in run.secrets:
        assert secret.encode() in run.upstream, "the control"
        assert secret.encode() not in run.wire
        assert secret.encode() not in run.internet.seen


def test_all_that_the_agent_asks_goes_to_the_one_model(run: Run) -> None:
    assert run.models == {MODEL}


def test_file_of_the_users_neither_counts_nor_changes(run: Run, agent: str) -> None:
    assert run.settings == AGENTS[agent].settings[1]


def test_agent_goes_nowhere_else_than_is_known(run: Run, agent: str) -> None:
    assert run.internet.targets <= AGENTS[agent].reaches


def test_agent_left_no_process(run: Run) -> None:
    left = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/environ")
        if path.parent.name != str(os.getpid()) and run.internet.url.encode() in _read(path)
    ]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile, or is somebody else's
        return b""
