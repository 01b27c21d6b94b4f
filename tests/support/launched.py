"""`nomyo launch` as a process, with programs of ours or real agents on its PATH."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODEL = "Qwen/Qwen3-0.6B"


def put_agent(folder: Path, name: str, script: str) -> Path:
    """Write a program that stands for an agent; return the directory for PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(script)
    path.chmod(0o755)
    return folder


def words(agent: str, router_url: str, key_directory: Path, *given: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the words that launch an agent; `given` are the agent's own."""
    ours = ["--model", MODEL, "--base-url", router_url, "--allow-http", "--key-dir", str(key_directory)]
    return [sys.executable, "-m", "nomyo", "launch", agent, *ours, *options, "--", *given]


def surroundings(programs: Path, **more: str) -> dict[str, str]:
    """Return an environment in which the agents are those of a directory."""
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"} | more


@contextmanager
def launched(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run it while the block lasts, without a terminal."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody waited for yet has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
