"""A batch's files, the command as a process, and a router that notes which rows it was sent."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import anyio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import nomyo.batch
from nomyo import _core
from nomyo.batch.governor import Limits
from nomyo.batch.progress import NoProgress
from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.echo import EchoModel
from nomyo.serve.router.refusal import Refusal
from nomyo.serve.router.router import Router
from nomyo.serve.router.running import RunningRouter
from support import peer
from support.waiting import until

Outcome = tuple[str | None, str | None, str | None]
"""custom_id, what the model said, and the error's code."""


def expected(rows: int) -> list[Outcome]:
    """Return what comes of so many good rows."""
    return [(f"row-{number}", f"prompt {number} é", None) for number in range(rows)]


ROWS = 24
EXPECTED = expected(ROWS)
MANY_ROWS = 300
MANY_EXPECTED = expected(MANY_ROWS)
"""Of a batch that is interrupted, or whose output is damaged, somewhere in it."""
NO_COOL_DOWN = Limits(requests_per_s=0, cool_down_s=0)
Runner = Callable[..., nomyo.batch.Summary]


class Told(NoProgress):
    """Keeps the words that a batch tells."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def tell(self, words: str) -> None:
        self.words.append(words)


def request(number: object, **changed: Any) -> dict[str, Any]:
    """Return a good row; keywords change it."""
    body = {"model": "m", "messages": [{"role": "user", "content": f"prompt {number} é"}]}
    return {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body, **changed}


def write_input(path: Path, rows: Iterable[Mapping[str, Any] | bytes]) -> Path:
    """Write rows; those that are bytes stand as they are."""
    lines = (row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def runner(source: Path, output: Path, url: str, key_directory: Path, **given: Any) -> Runner:
    """Return a function that does a batch; its own options go before those that are given here."""

    def run(**options: Any) -> nomyo.batch.Summary:
        own = {"base_url": url, "allow_http": True, "key_dir": key_directory, **given, **options}
        return nomyo.batch.run(source, output, **own)

    return run


def rows_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().splitlines()]


def outcome(row: dict[str, Any]) -> Outcome:
    if row["error"] is not None:
        return row["custom_id"], None, row["error"]["code"]
    return row["custom_id"], row["response"]["body"]["choices"][0]["message"]["content"], None


def outcomes(output: Path) -> list[Outcome]:
    """Return what came of each row, by their lines in the input."""
    return [outcome(row) for row in sorted(rows_of(output), key=line_of)]


def line_of(row: dict[str, Any]) -> int:
    return int(row["id"].removeprefix("batch_req_"))


class PromptNotingRouter:
    """A real router; `prompts` are what its model was asked, in order, `most` how many it was asked at once.

    To a prompt that is in `refused`, it says 503.

    Args:
        delay_s: How long the model thinks.
        port: Where it listens; 0 takes a free one.
    """

    def __init__(self, delay_s: float = 0.0, port: int = 0) -> None:
        self.prompts: list[str] = []
        self.refused: set[str] = set()
        self.delay_s = delay_s
        self.under_way = self.most = 0
        router = Router(RouterConfig(key_bits=2048, listener=Listener(port=port)))
        router._model = _NotingModel(self)
        self._running = RunningRouter(router=router)

    @property
    def url(self) -> str:
        return self._running.url

    def __enter__(self) -> Self:
        self._running.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()


class _NotingModel(EchoModel):
    def __init__(self, noting: PromptNotingRouter) -> None:
        self._noting = noting

    async def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        prompt = request["messages"][-1]["content"]
        self._noting.prompts.append(prompt)
        self._noting.under_way += 1
        self._noting.most = max(self._noting.most, self._noting.under_way)
        await anyio.sleep(self._noting.delay_s)
        self._noting.under_way -= 1
        if prompt in self._noting.refused:
            raise Refusal(503, "too much for me")
        return await super().complete(request)


def command(source: Path, output: Path, url: str, *options: str) -> list[str]:
    """Return the words that run a batch."""
    own = [str(source), "-o", str(output), "--base-url", url, "--allow-http"]
    return [sys.executable, "-m", "nomyo", "batch", *own, *options]


def batch(source: Path, output: Path, url: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a batch to its end."""
    words = command(source, output, url, *options)
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment)


def open_command(*arguments: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `nomyo batch open` to its end."""
    words = [sys.executable, "-m", "nomyo", "batch", "open", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, timeout=60, check=False, **more)


def opened(output: Path, archive: Path) -> list[dict[str, Any]]:
    """Return the rows of a sealed output."""
    return list(nomyo.batch.read(output, key_dir=archive))


def opened_by_hand(row: bytes, key: _core.PrivateKey) -> bytes:
    """Open a sealed row with Python's `cryptography`."""
    theirs = serialization.load_pem_private_key(bytes(key.to_pem()), None)
    assert isinstance(theirs, rsa.RSAPrivateKey)
    return peer.opened(theirs, json.dumps(json.loads(row)["sealed"]).encode(), b"nomyo batch row 1")[0]


def lines_of(output: Path) -> list[bytes]:
    return output.read_bytes().splitlines(keepends=True)


@contextmanager
def in_background(work: Any) -> Iterator[list[Any]]:
    """Run a function in a thread while the block lasts; at its end, the list holds what came of it."""
    came: list[Any] = []

    def note() -> None:
        try:
            came.append(work())
        except BaseException as error:  # noqa: BLE001 - it is handed on
            came.append(error)

    thread = threading.Thread(target=note)
    thread.start()
    yield came
    thread.join(timeout=60)
    assert not thread.is_alive()


def size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def whole_rows(output: Path) -> list[bytes]:
    content = output.read_bytes() if output.exists() else b""
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


async def lives() -> bool:
    return True


def kill_when_grown(process: subprocess.Popen[bytes], output: Path, chance: random.Random) -> None:
    """Kill a batch at a random moment after it has written some bytes more to a file, or has ended."""
    enough = size_bytes(output) + chance.randrange(1, 25_000)
    until(lambda: size_bytes(output) >= enough or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.02))
    process.kill()
    process.wait(timeout=30)
