"""If a proxy gives no answer to CONNECT that can be read, nothing of the request was sent, and the error names it."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from nomyo.exchange.effects import NetworkFailure, Request, Timeouts
from support.environment_proxy import NOWHERE
from support.raw_server import read_request
from support.silent import serving
from support.twins import Twin

pytestmark = pytest.mark.usefixtures("_nothing_of_this_machine")

PATIENT = Timeouts(20, 20, 20)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
AT_ONCE = struct.pack("ii", 1, 0)
CLOSED = "closed the connection instead of answering CONNECT"
UNREADABLE = "answered CONNECT with what cannot be read, or with headers that are too long"


def failure(twin: Twin, monkeypatch: pytest.MonkeyPatch, answer: bytes, *, resets: bool = False) -> NetworkFailure:
    """Return what comes of a request through a proxy that answers with these bytes, and then ends the connection."""

    def talk(connection: socket.socket, left: threading.Event) -> None:
        read_request(connection, left)
        connection.sendall(answer)
        if resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        connection.close()

    with serving(talk) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        http = twin.client(NOWHERE)._http
        outcome = twin.call(http.send, Request("POST", f"{NOWHERE}/x", {}, b"x", 1000, PATIENT))
    assert isinstance(outcome, NetworkFailure)
    assert f"HTTPS_PROXY (http://127.0.0.1:{port})" in outcome.reason
    return outcome


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("answer", [b"", INTERIM, b"HTTP/1.1 200 Connec"], ids=["nothing", "interim", "half a head"])
def test_proxy_that_ends_the_connection_is_no_connection(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, answer: bytes, resets: bool
) -> None:
    found = failure(twin, monkeypatch, answer, resets=resets)
    assert CLOSED in found.reason
    assert (found.connected, found.lasting, found.timed_out) == (False, False, False)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", INTERIM * 101 + b"HTTP/1.1 200 OK\r\n\r\n"], ids=["ssh", "interims"]
)
def test_proxy_whose_answer_cannot_be_read_is_no_connection(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    found = failure(twin, monkeypatch, answer)
    assert UNREADABLE in found.reason
    assert (found.connected, found.lasting, found.timed_out) == (False, True, False)
