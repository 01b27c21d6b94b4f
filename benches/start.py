"""What a new process waits for: `import nomyo` beyond `import httpx`, and the time from a client to its first byte.

Each figure is the best of some new processes. The first byte is that of the TLS handshake; it is taken from a socket on
this machine, by the clock that both processes share (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from typing import Any

from replaying import OURS

from nomyo import _core

ROUNDS = 15
IMPORT = "import time, httpx; began = time.monotonic(); import nomyo; print(time.monotonic() - began)"
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
    """Return both times in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        key_dir = f"{directory}/client_keys"
        _core.write_key_directory(key_dir, _core.PrivateKey.generate(4096))
        first_byte = min(_first_byte_after_s(key_dir) for _ in range(ROUNDS))
    return {"import_ms": min(_import_s() for _ in range(ROUNDS)) * 1e3, "first_byte_ms": first_byte * 1e3}


def _import_s() -> float:
    return float(subprocess.run([str(OURS), "-c", IMPORT], capture_output=True, text=True, check=True).stdout)


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
