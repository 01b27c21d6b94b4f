"""What TLS sends for itself between two requests costs no connection: session tickets, updates of keys."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from nomyo.exchange.effects import Request, Response, Timeouts
from nomyo.exchange.http import SyncHttp
from nomyo.exchange.settings import Settings
from support.raw_server import framed
from support.tls import Authority

PATIENT = Timeouts(20, 20, 20)


class Server:
    """`openssl s_server`, which sends what it is told, and updates its keys if that is `k`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.connections = 0
        found = re.search(rb":(\d+)$", self._line_with(b"ACCEPT"))
        assert found is not None
        self.url = f"https://localhost:{int(found[1])}/"

    def answer(self) -> None:
        """Answer the next request, and send what is TLS's own behind it."""
        self._line_with(b"Content-Length: 1")
        self._tell(framed(b"whole"))

    def update_keys(self) -> None:
        self._tell(b"k\n")
        self._line_with(b"KeyUpdate")

    def _tell(self, text: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def _line_with(self, words: bytes) -> bytes:
        assert self._process.stdout is not None
        while words not in (line := self._process.stdout.readline().strip()):
            self.connections += b"BEGIN SSL SESSION" in line
        return line


@contextmanager
def openssl_server(authority: Authority) -> Iterator[Server]:
    command = [shutil.which("openssl") or "openssl", "s_server", "-accept", "0", "-msg"]
    command += ["-cert", str(authority.certificate), "-key", str(authority.key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


@pytest.mark.outside("openssl")
def test_keys_that_are_updated_between_two_requests_cost_no_connection(
    tls_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    with openssl_server(tls_authority) as server, ThreadPoolExecutor(1) as answering:
        http = SyncHttp(Settings(base_url=server.url))
        for _ in range(3):
            answered = answering.submit(server.answer)
            outcome = http.send(Request("POST", server.url, {}, b"x", 1000, PATIENT))
            answered.result()
            assert isinstance(outcome, Response)
            server.update_keys()
        http.close()
        assert server.connections == 1
