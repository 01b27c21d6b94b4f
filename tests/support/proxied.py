"""`nomyo proxy` as a process, and what a program says to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

API_KEY = "canary-api-key-8d1e"
TOKEN = "canary-local-token-41c7"


@dataclass
class Proxy:
    """A running proxy."""

    process: subprocess.Popen[str]
    url: str
    token: str | None
    page_url: str
    stderr: str = field(default="", repr=False)

    @classmethod
    def saying(cls, process: subprocess.Popen[str], said: dict[str, Any], given: str = TOKEN) -> Proxy:
        """Return the proxy that printed this JSON; it does not print a token that it was given."""
        if said["token_from"] in (None, "new"):
            return cls(process, said["url"], said["token"], said["page_url"])
        return cls(process, said["url"], given, f"{said['page_url']}#token={given}")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def headers(self, **changed: str | None) -> dict[str, str]:
        """Return a good request's headers; keywords change them, None leaves one out."""
        good: dict[str, str | None] = {"authorization": f"Bearer {self.token}", **changed}
        return {name.replace("_", "-"): value for name, value in good.items() if value is not None}

    def get(self, path: str, **headers: str | None) -> httpx.Response:
        return httpx.get(self.url + path, headers=self.headers(**headers), timeout=60, trust_env=False)

    def post(self, body: Any, path: str = "/v1/chat/completions", **headers: str | None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = self.headers(**{"content_type": "application/json", **headers})
        return httpx.post(self.url + path, content=content, headers=sent, timeout=60, trust_env=False)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code; what it logged is in `stderr` then."""
        self.process.send_signal(how)
        return self.ended()

    def ended(self) -> int:
        _, self.stderr = self.process.communicate(timeout=60)
        return self.process.returncode


def command(router_url: str, key_directory: Path | None, *options: str) -> list[str]:
    """Return the words that run a proxy in front of a router; without a directory, it makes a key pair in memory."""
    own = ["--port", "0", "--base-url", router_url, "--allow-http"]
    keys = [] if key_directory is None else ["--key-dir", str(key_directory)]
    return [sys.executable, "-m", "nomyo", "proxy", *own, *keys, "--log-level", "info", *options]


@contextmanager
def proxy_process(
    router_url: str, key_directory: Path | None, *options: str, before: Sequence[str] = (), **environment: str
) -> Iterator[Proxy]:
    """Run a proxy while the block lasts; `before` are words in front of it."""
    surroundings = os.environ | {"NOMYO_PROXY_TOKEN": TOKEN, "NOMYO_API_KEY": API_KEY} | environment
    words = [*before, *command(router_url, key_directory, *options), "--json"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield Proxy.saying(process, json.loads(line), surroundings["NOMYO_PROXY_TOKEN"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()  # in order, so that what it covered is written
            try:
                process.communicate(timeout=40)
            finally:
                process.kill()


def chat(content: Any = "hello", **parameters: Any) -> dict[str, Any]:
    """Return a chat request with one user message."""
    return {"model": "any", "messages": [{"role": "user", "content": content}], **parameters}


def said_by(answer: httpx.Response) -> str:
    """Return what the model said."""
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Return the status of an error, its type and code; its form must be OpenAI's."""
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return answer.status_code, error["type"], error["code"]
