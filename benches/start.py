"""What a new process waits for: `import nomyo` beyond the standard library, a client's first byte, and words of help.

Each figure is the best of some new processes. What `import nomyo` takes of the standard library is imported before. The
first byte is that of the TLS handshake; it is taken from a socket on this machine, by the clock that both processes
share (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from typing import Any

from extent import extent
from replaying import OURS

from nomyo import _core

ROUNDS = extent(15, 2)
STANDARD = (
    "import sys, nomyo; print(*(name for name in sys.modules if name.partition('.')[0] in sys.stdlib_module_names))"
)
IMPORT = """
import importlib, sys, time
for name in sys.argv[1:]:
    importlib.import_module(name)
began = time.monotonic()
import nomyo
print(time.monotonic() - began)
"""
REQUEST = """
import asyncio, sys, time
import nomyo

async def main():
    began = time.monotonic()
    chat = nomyo.SecureChatCompletion(sys.argv[1], key_dir=sys.argv[2], api_key="a-key", max_retries=0)
    print(began, flush=True)
    try:
        await chat.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    except nomyo.APIConnectionError:
        pass

asyncio.run(main())
"""


def measure() -> dict[str, Any]:
    """Return all times in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        key_dir = f"{directory}/client_keys"
        _core.write_key_directory(key_dir, _core.PrivateKey.generate(4096))
        first_byte = min(_first_byte_after_s(key_dir) for _ in range(ROUNDS))
    standard = _said(STANDARD).replace("__main__", "").split()
    seconds = {
        "import_ms": min(float(_said(IMPORT, *standard)) for _ in range(ROUNDS)),
        "first_byte_ms": first_byte,
        "help_ms": min(_command_s("--help") for _ in range(ROUNDS)),
        "chat_help_ms": min(_command_s("chat", "--help") for _ in range(ROUNDS)),
    }
    return {name: figure * 1e3 for name, figure in seconds.items()}


def _said(program: str, *words: str) -> str:
    command = [str(OURS), "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _command_s(*words: str) -> float:
    began = time.monotonic()
    subprocess.run([str(OURS.with_name("nomyo")), *words], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _first_byte_after_s(key_dir: str) -> float:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        command = [str(OURS), "-c", REQUEST, url, key_dir]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            began = float(process.stdout.readline())
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                arrived = time.monotonic()
        return arrived - began


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
