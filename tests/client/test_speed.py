"""The extra `speed`: aiofastnet makes our TLS connections, in the caller's own loop; without it, asyncio does."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nomyo import _speed
from nomyo.exchange.effects import NetworkFailure, Request, Response, Timeouts
from nomyo.exchange.http import AsyncHttp
from nomyo.exchange.http import connector as connector_module
from nomyo.exchange.settings import Settings
from support.raw_server import framed, raw_server
from support.silent import serving
from support.tls import Authority

TIMEOUTS = Timeouts(10.0, 10.0, 10.0)


@pytest.fixture
def tls(tls_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)
    return context


def sent(url: str, *bodies: bytes) -> list[Response | NetworkFailure]:
    async def send() -> list[Response | NetworkFailure]:
        http = AsyncHttp(Settings(base_url=url, allow_http=True))
        try:
            return [await http.send(Request("POST", f"{url}x", {}, body, 1000, TIMEOUTS)) for body in bodies]
        finally:
            await http.aclose()

    return asyncio.run(send())


def noted(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.AbstractEventLoop]:
    """Have a connector as aiofastnet's make the connections by the loop, and return the loops that it was given."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def connect(loop: asyncio.AbstractEventLoop, *args: object, **options: object) -> object:
        loops.append(loop)
        return await loop.create_connection(*args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(connector_module, "_FAST_TLS", connect)
    return loops


def test_fast_connector_makes_connections_with_tls_alone(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    loops = noted(monkeypatch)
    with raw_server(lambda _: framed(b"whole")) as server:
        (outcome,) = sent(server.url, b"a")
        assert isinstance(outcome, Response)
        assert not loops
    with raw_server(lambda _: framed(b"whole"), tls) as server:
        for outcome in sent(server.url, b"a", b"a" * 3_000_000):
            assert isinstance(outcome, Response)
            assert outcome.body == b"whole"
    assert len(loops) == 1
    assert loops[0].create_future.__self__.__class__ is asyncio.SelectorEventLoop  # type: ignore[attr-defined]


@pytest.mark.parametrize("ends", ["at once", "within its answer"])
def test_connection_that_ends_within_the_handshake_is_told_by_our_error_alone(
    tls: ssl.SSLContext, ends: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`make test-speed` sees it with aiofastnet itself."""

    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65_536)
        if ends != "at once":
            connection.sendall(b"\x16\x03\x03\x00\x7a\x02")
        connection.shutdown(socket.SHUT_RDWR)

    with serving(talk) as port:
        (outcome,) = sent(f"https://127.0.0.1:{port}/", b"a")
    assert isinstance(outcome, NetworkFailure)
    assert not outcome.connected
    assert not caplog.records


@pytest.mark.parametrize("fault", [ConnectionResetError, ConnectionResetError(), ValueError()])
def test_faults_that_the_fast_connector_reports_reach_the_handler_but_for_that_of_a_handshake(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, fault: object
) -> None:
    async def connect(loop: asyncio.AbstractEventLoop, *_: object, sock: socket.socket, **__: object) -> object:
        sock.close()
        loop.call_exception_handler({"message": "", "exception": fault})
        raise ConnectionResetError

    async def send(url: str) -> list[object]:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        http = AsyncHttp(Settings(base_url=url))
        await http.send(Request("POST", f"{url}x", {}, b"a", 1000, TIMEOUTS))
        await http.aclose()
        return reported

    monkeypatch.setattr(connector_module, "_FAST_TLS", connect)
    with serving(lambda _, __: None) as port:
        reported = asyncio.run(send(f"https://127.0.0.1:{port}/"))
    assert reported == ([] if fault is ConnectionResetError else [fault])


def test_fast_connector_does_not_begin_tls_in_a_tunnel(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    loops = noted(monkeypatch)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    (outcome,) = sent("https://router.example/", b"a")
    assert isinstance(outcome, NetworkFailure)
    assert not loops


def test_fast_connector_refuses_a_certificate_in_the_same_words(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    words = []
    for connects in (noted(monkeypatch), None):
        if connects is None:
            monkeypatch.setattr(connector_module, "_FAST_TLS", None)
        with raw_server(lambda _: framed(b"whole"), tls) as server:
            (outcome,) = sent(server.url, b"a")
        assert isinstance(outcome, NetworkFailure)
        words.append((outcome.reason, outcome.untrusted))
    assert words[0] == words[1]
    assert words[0][1]


def test_library_that_is_missing_or_broken_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('built for another Python')")
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from nomyo import _speed
assert _speed.loop_factory() is None

async def main():
    return 7

print(_speed.run_loop(main()))
"""
    said = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == "7\n"


def test_what_the_first_fast_connection_imports_is_imported_before(tmp_path: Path) -> None:
    """Seen with aiofastnet itself by test_fork.py, in an environment that has it."""
    (tmp_path / "aiofastnet.py").write_text("def create_connection(): ...")
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from nomyo.exchange.http import connector
assert connector._FAST_TLS is not None
print("encodings.ascii" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"


def test_fast_connector_is_not_used_without_a_directory_for_temporary_files(tmp_path: Path) -> None:
    """aiofastnet decodes a certificate by way of such a file: without one, connections would wait for their timeout."""
    (tmp_path / "aiofastnet.py").write_text("def create_connection(): ...")
    program = """
import sys, tempfile

def gettempdir():
    raise FileNotFoundError(2, "No usable temporary directory found")

tempfile.gettempdir = gettempdir
sys.path.insert(0, sys.argv[1])
from nomyo.exchange.http import connector
print(connector._FAST_TLS)
"""
    said = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == "None\n"


def test_command_runs_in_the_loop_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def new_event_loop() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    monkeypatch.setattr(_speed, "loop_factory", lambda: new_event_loop)
    assert [_speed.run_loop(running())] == made
