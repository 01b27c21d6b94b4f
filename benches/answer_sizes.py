"""How cost grows with the size of an answer: packages of 1 KB to 60 MiB, as they come over the wire.

Each size has a process of its own, which asks for one answer after the other. Time and processor time are the least of
some answers. Locked memory is the most that was seen while answers were opened, and memory the most so far, of a
process that holds one answer at a time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from extent import extent
from replaying import ANSWER, HERE, OURS, TEXT, replaying_server

MIB = 1024 * 1024
SIZES = {
    "1 KB": 1000,
    "10 KB": 10_000,
    "100 KB": 100_000,
    "1 MiB": MIB,
    "10 MiB": 10 * MIB,
    "30 MiB": 30 * MIB,
    "60 MiB": 60 * MIB,
}
MEASURED = extent(tuple(SIZES), ("1 KB", "10 MiB"))
TIMES = extent(20, 3)
PIECE = "Plain words follow, as they mostly do in a text of this kind. "


def measure() -> list[dict[str, Any]]:
    """Return the figures of each size."""
    key = rsa.generate_private_key(65537, 4096)
    return [_of_size(name, key) for name in MEASURED]


def _of_size(size: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    command = [str(OURS), str(HERE / "answers_of_a_size.py")]
    with tempfile.TemporaryDirectory() as name, replaying_server(Path(name), key, answer_of(SIZES[size])) as replay:
        job = json.dumps({"options": replay.options(timeout=60), "text": TEXT, "times": TIMES})
        done = subprocess.run(command, input=job, env=replay.environment, stdout=subprocess.PIPE, text=True, check=True)
        package_bytes = Path(name, "package.json").stat().st_size
    figures = {"size": size, "package_bytes": package_bytes, **json.loads(done.stdout)}
    print(json.dumps(figures), file=sys.stderr)
    return figures


def answer_of(package_bytes: int) -> dict[str, Any]:
    """Return an answer whose package is about so long: base64 takes four bytes for three, and its frame 1,100."""
    length = max(0, (package_bytes - 1100) * 3 // 4 - 300)
    message = {"role": "assistant", "content": (PIECE * (length // len(PIECE) + 1))[:length]}
    return {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
