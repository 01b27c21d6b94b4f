"""An answer that comes before its request is out is heard, also where the rest of the request is never read."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest

from nomyo.exchange.effects import NetworkFailure, Request, Response, Timeouts
from support.raw_server import framed, raw_server
from support.silent import serving
from support.tls import Authority
from support.twins import Twin

LARGE = b"x" * 3_000_000
TIMEOUT_S = 20.0


def posted(twin: Twin, url: str) -> Response | NetworkFailure:
    timeouts = Timeouts(TIMEOUT_S, TIMEOUT_S, TIMEOUT_S)
    http = twin.client(url)._http
    outcome: Response | NetworkFailure = twin.call(http.send, Request("POST", url, {}, LARGE, 100_000, timeouts))
    return outcome


@pytest.fixture
def tls(tls_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)
    return context


REFUSED = framed(b"too large", 413)
EARLY = {
    "alone": REFUSED,
    "with the end announced": framed(b"too large", 413, b"Connection: close\r\n"),
    "after interim ones": b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + REFUSED,
}


@pytest.mark.parametrize("what", EARLY)
def test_early_answer_to_an_upload_is_heard(twin: Twin, what: str) -> None:
    began = time.monotonic()
    with raw_server(lambda _: EARLY[what], reads=False) as server:
        outcome = posted(twin, server.url)
    assert isinstance(outcome, Response), outcome
    assert (outcome.status, outcome.body) == (413, b"too large")
    assert time.monotonic() - began < TIMEOUT_S


def test_early_answer_is_heard_through_tls(twin: Twin, tls: ssl.SSLContext) -> None:
    with raw_server(lambda _: REFUSED, tls, reads=False) as server:
        outcome = posted(twin, server.url)
    assert isinstance(outcome, Response), outcome
    assert (outcome.status, outcome.body) == (413, b"too large")


def test_session_tickets_are_no_answer_to_an_upload(twin: Twin, tls: ssl.SSLContext) -> None:
    with raw_server(lambda _: framed(b"whole"), tls) as server:
        outcome = posted(twin, server.url)
    assert isinstance(outcome, Response), outcome
    assert outcome.body == b"whole"


def test_connection_that_ends_as_the_rest_of_an_upload_gets_out_is_a_failure(twin: Twin) -> None:
    def talk(connection: socket.socket, left: threading.Event) -> None:
        connection.settimeout(10)
        connection.recv(1024)
        connection.shutdown(socket.SHUT_WR)
        left.wait(0.2)  # meanwhile the client notes the end, and goes on to send what it has in its buffer
        while connection.recv(1 << 20):
            pass

    with serving(talk) as port:
        outcome = posted(twin, f"http://127.0.0.1:{port}/")
    assert isinstance(outcome, NetworkFailure)
    assert outcome.connected
