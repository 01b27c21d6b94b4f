"""How cost grows with connections: 1 to 2,000 requests at once, with and without the extra `speed`.

Each client first sends so many requests at once to a server that answers none before all have arrived: each is then on
a TLS connection of its own, and the most memory so far is what the process needs for them. Then it sends as many at
once for some seconds, for the rate, processor time and stalls. All of them have the interpreter and libraries of
`.venv-speed`, where a client without a library cannot import it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from extent import extent
from replaying import HERE, OURS, SPEED, TEXT, Replay, replaying_server

AT_ONCE = extent((1, 10, 100, 500, 1000, 2000), (1, 20))
SECONDS = extent(3.0, 0.3)
VARIANTS: dict[str, dict[str, Any]] = {
    "asyncio": {"without": ["aiofastnet"]},
    "asyncio with aiofastnet": {},
    "uvloop alone": {"loop": "uvloop", "without": ["aiofastnet"]},
    "uvloop with aiofastnet": {"loop": "uvloop"},
}
OPEN_FILES = extent(1024, 64)
"""The limit that most systems give a process."""


def measure() -> dict[str, Any]:
    """Return a round for each variant and number, and what a usual limit of open files allows."""
    raise_limit()
    key = rsa.generate_private_key(65537, 4096)
    with tempfile.TemporaryDirectory() as name, replaying_server(Path(name), key) as replay:
        rounds = [_round(replay, variant, at_once) for at_once in AT_ONCE for variant in VARIANTS]
        return {"rounds": rounds, "open_files": _with_few_files(replay, AT_ONCE[-1])}


def raise_limit() -> None:
    """Let this process and its children have as many open files as the system allows: the server has one a connection.

    Raises:
        OSError: They are too few for the most connections.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < AT_ONCE[-1] + 100:
        raise OSError(f"{AT_ONCE[-1]} connections need as many open files, and the limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _round(replay: Replay, variant: str, at_once: int) -> dict[str, Any]:
    replay.hold(at_once)
    job = {"client": "nomyo", "concurrency": at_once, "text": TEXT, "seconds": SECONDS, **VARIANTS[variant]}
    job["options"] = replay.options(max_connections=at_once, timeout=120)
    said = _said([str(SPEED), str(HERE / "load.py")], job, replay)
    measured = {"variant": variant, "at_once": at_once, **said}
    print(json.dumps(measured), file=sys.stderr)
    return measured


def _said(command: list[str], job: dict[str, Any], replay: Replay) -> dict[str, Any]:
    text = json.dumps(job)
    done = subprocess.run(command, input=text, env=replay.environment, stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _with_few_files(replay: Replay, at_once: int) -> dict[str, Any]:
    """Return how many of so many requests at once fail in a process with the usual limit of open files."""
    replay.hold(at_once, seconds=30)  # longer than all retries take
    job = {"options": replay.options(max_connections=at_once), "at_once": at_once, "limit": OPEN_FILES, "text": TEXT}
    return {"limit": OPEN_FILES, "at_once": at_once, **_said([str(OURS), str(HERE / "few_files.py")], job, replay)}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
