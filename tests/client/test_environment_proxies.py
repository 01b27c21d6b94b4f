"""Requests go through the proxy that the environment names, as those of httpx do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from nomyo.serve.router.running import RunningRouter
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello"}]


class Proxy(BaseHTTPRequestHandler):
    """Forwards requests in absolute form (RFC 9112, section 3.2.2), and notes them."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")
        }
        with httpx.Client(trust_env=False) as client:
            answer = client.request(self.command, self.path, headers=headers, content=body or None)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Noting", (Proxy,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


EXCLUDING = [
    "127.0.0.1",
    "::1/128,127.0.0.1",
    "fd00::/8 , [::1],[::1]:8080, 127.0.0.0/8,",
    "localhost,[fe80::]/10,127.*",
    "127.0.0.1:{port}",
    "http://127.0.0.1",
    "*",
]
NOT_EXCLUDING = [
    "",
    "::1/128,fd00::/8,[::1]",
    "10.0.0.0/8,300.1.2.3/8,127.0.0.0/99,[,],:,/,://",
    "127.0.0.1:1",
    "https://127.0.0.1",
]


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("excluded", [*NOT_EXCLUDING, *EXCLUDING])
def test_proxy_of_the_environment_is_used_unless_it_excludes_the_host(
    twin: Twin,
    router: RunningRouter,
    key_directory: Path,
    proxy: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    excluded: str,
) -> None:
    url, seen = proxy
    monkeypatch.setenv("HTTP_PROXY", url)
    monkeypatch.setenv(variable, excluded.format(port=httpx.URL(router.url).port))
    chat = twin.chat(router.url, key_dir=key_directory)
    assert twin.call(chat.create, model="m", messages=HELLO).choices[0].message.content == "Hello"
    through = [f"GET {router.url}/pki/public_key", f"POST {router.url}/v1/chat/secure_completion"]
    assert seen == (through if excluded in NOT_EXCLUDING else [])
