"""An address at which no router answers: one wording, for both clients, the proxy and the commands."""

from __future__ import annotations

import pickle
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

import nomyo
import nomyo.batch
from nomyo import cli
from nomyo.cli import proxy_client
from nomyo.exchange.wrong_address import PLAIN_HTTP
from nomyo.serve.proxy.failures import refusal_for
from support.raw_server import framed, raw_server
from support.silent import serving
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello"}]
ROW = '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}\n'
CHECK = "check the address (base_url=, --base-url or NOMYO_BASE_URL)"
LOG_IN = "log in if this network asks for that in a browser first"
PAGE = b"<!DOCTYPE html><html><head><title>Cafe</title></head><body>Log in, please</body></html>"
HTTPS_PORT = b"Client sent an HTTP request to an HTTPS server."


@dataclass
class Wrong:
    """A server that is no router, and what is said of it after its address."""

    answer: bytes
    error: type[nomyo.NomyoError]
    words: str
    said: str = ""
    tls: bool = False

    @contextmanager
    def served(self) -> Iterator[str]:
        if not self.tls:
            with raw_server(lambda _: self.answer) as server:
                yield server.url.removesuffix("/")
            return

        def talk(connection: socket.socket, _: threading.Event) -> None:
            connection.recv(65536)
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_WR)

        with serving(talk) as port:
            yield f"https://127.0.0.1:{port}"


WRONG = {
    "a login page": Wrong(
        framed(PAGE),
        nomyo.SecurityError,
        f"a web page (HTTP 200) instead of a public key; {CHECK}, and {LOG_IN}",
    ),
    "another service": Wrong(
        framed(b'{"status": "ok"}'),
        nomyo.SecurityError,
        f"something else (HTTP 200) instead of a public key; {CHECK}",
    ),
    "nothing": Wrong(framed(b""), nomyo.SecurityError, f"an empty answer (HTTP 200) instead of a public key; {CHECK}"),
    "a redirect": Wrong(
        framed(b"", 302, b"Location: https://elsewhere.invalid/login?token=secret\r\n"),
        nomyo.APIError,
        "a redirect (HTTP 302) instead of a public key; give the address to which it leads (base_url=, --base-url or"
        f" NOMYO_BASE_URL), or {LOG_IN}",
    ),
    "404": Wrong(
        framed(b'{"detail": "Not Found"}', 404),
        nomyo.APIError,
        f"HTTP 404 instead of a public key{{}}; {CHECK}",
        " (Not Found)",
    ),
    "405": Wrong(framed(b"", 405), nomyo.APIError, f"HTTP 405 instead of a public key; {CHECK}"),
    "501": Wrong(
        framed(PAGE, 501), nomyo.APIError, f"HTTP 501 instead of a public key{{}}; {CHECK}", " (Log in, please)"
    ),
    "511": Wrong(framed(b"", 511), nomyo.APIError, f"HTTP 511 instead of a public key; {CHECK}, and {LOG_IN}"),
    "HTTP to a port of TLS": Wrong(
        framed(HTTPS_PORT, 400),
        nomyo.InvalidRequestError,
        f"HTTP 400 instead of a public key{{}}; if TLS is spoken there, write https://, or {CHECK}",
        f" ({HTTPS_PORT.decode()})",
    ),
    "TLS to a port of HTTP": Wrong(
        framed(b"", 400),
        nomyo.APIConnectionError,
        f"an answer without TLS instead of a public key; {CHECK}; for local work, write http:// and permit it"
        " (allow_http=True or --allow-http)",
        tls=True,
    ),
}


@pytest.fixture(params=WRONG)
def wrong(request: pytest.FixtureRequest) -> Wrong:
    return WRONG[request.param]


@pytest.fixture
def address(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("NOMYO_API_KEY", raising=False)
    with wrong.served() as url:
        yield url


def command_line(command: str, tmp_path: Path) -> list[str]:
    """Return a command with all that it needs but the address."""
    if command == "chat":
        return ["chat", "--model", "m", "Hello"]
    source = tmp_path / "in.jsonl"
    source.write_text(ROW)
    return ["batch", str(source), "-o", str(tmp_path / "out.jsonl")]


def words_of(wrong: Wrong, address: str, *, quoting: bool = True) -> str:
    return f"there is no router at {address}: {wrong.words.format(wrong.said if quoting else '')}"


def test_clients_say_what_answers_and_what_to_do(
    twin: Twin, wrong: Wrong, address: str, key_directory: Path, sleeps: list[float]
) -> None:
    chat = twin.chat(address, key_dir=key_directory)
    with pytest.raises(nomyo.NomyoError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    error = raised.value
    assert type(error) is wrong.error
    assert (str(error), error.no_router, getattr(error, "sent", False)) == (words_of(wrong, address), True, False)
    assert (error.__cause__, error.__context__, sleeps) == (None, None, [])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.status_code, again.no_router) == (str(error), error.status_code, True)


def test_proxy_says_the_same(wrong: Wrong, address: str, key_directory: Path, sleeps: list[float]) -> None:
    with (
        nomyo.SyncSecureChatCompletion(address, True, key_dir=key_directory) as chat,
        pytest.raises(nomyo.NomyoError) as raised,
    ):
        chat.create(model="m", messages=HELLO)
    refusal = refusal_for(raised.value)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retried) == (502, "no_router", True)
    assert refusal.message == words_of(wrong, address).replace("there", "There", 1)


def test_batch_says_the_same_without_a_servers_words_and_does_not_begin(
    wrong: Wrong, address: str, key_directory: Path, tmp_path: Path, sleeps: list[float]
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(ROW)
    with pytest.raises(nomyo.NomyoError, match=re.escape(words_of(wrong, address, quoting=False))):
        nomyo.batch.run(source, output, base_url=address, allow_http=True, key_dir=key_directory)
    assert not output.exists()


@pytest.mark.parametrize("command", ["chat", "batch"])
def test_commands_say_the_same(
    command: str,
    wrong: Wrong,
    address: str,
    key_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    sleeps: list[float],
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(
            [*command_line(command, tmp_path), "--base-url", address, "--allow-http", "--key-dir", str(key_directory)]
        )
    assert left.value.code == 1
    expected = words_of(wrong, address, quoting=command == "chat")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.removesuffix(": the batch did not begin") == f"nomyo {command}: {expected}"


@pytest.mark.parametrize(
    "said", [b"", b"\x15\x03\x01\x00\x02\x02\x46", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["nothing", "TLS", "SSH"]
)
def test_server_that_speaks_no_http_may_want_tls(
    twin: Twin, key_directory: Path, sleeps: list[float], said: bytes
) -> None:
    def greet(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)

    with serving(greet) as port:
        chat = twin.chat(f"http://127.0.0.1:{port}", key_dir=key_directory, max_retries=0)
        with pytest.raises(nomyo.APIConnectionError) as raised:
            twin.call(chat.create, model="m", messages=HELLO)
    assert str(raised.value) == (
        f"no answer from http://127.0.0.1:{port} (1 attempt): the connection ended without a whole answer in HTTP;"
        " if TLS is spoken there, write https://"
    )
    assert not raised.value.no_router


@pytest.mark.parametrize("command", ["chat", "batch"])
def test_plain_http_that_nobody_permitted_is_told_in_the_same_words(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([*command_line(command, tmp_path), "--base-url", "http://127.0.0.1:9"])
    assert left.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"nomyo {command}: {PLAIN_HTTP}"


def test_proxy_refuses_plain_http_in_the_same_words() -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(PLAIN_HTTP)):
        proxy_client.proxy_client(router_url="http://127.0.0.1:9", key_dir=None)


# A router that may well be there: in trouble, or behind something that refuses


@pytest.mark.parametrize("status", [408, 425, 500, 502, 505, 520, 522, 527])
def test_router_in_trouble_is_not_said_to_be_none(
    status: int, twin: Twin, key_directory: Path, sleeps: list[float]
) -> None:
    with raw_server(lambda _: framed(b"", status)) as server, pytest.raises(nomyo.APIError) as raised:
        twin.call(twin.chat(server.url, key_dir=key_directory, max_retries=0).create, model="m", messages=HELLO)
    error = raised.value
    assert (error.no_router, error.sent, error.status_code) == (False, False, status)
    assert re.match(f"HTTP {status}: (the router|bad gateway)", str(error))
    refusal = refusal_for(error)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (500 if status == 500 else 502, f"router_status_{status}")


REFUSALS = {401: nomyo.AuthenticationError, 403: nomyo.ForbiddenError, 407: nomyo.APIError}


def refused(address: str, status: int, said: str = "") -> str:
    return (
        f"something before the router at {address} refused (HTTP {status}){said}; the address may be right: ask"
        f" whoever runs that gateway or firewall, or {CHECK}"
    )


@pytest.mark.parametrize("status", REFUSALS)
def test_refusal_of_a_gateway_is_told_from_a_wrong_address(
    status: int, twin: Twin, key_directory: Path, sleeps: list[float]
) -> None:
    with raw_server(lambda _: framed(PAGE, status)) as server, pytest.raises(nomyo.APIError) as raised:
        twin.call(twin.chat(server.url, key_dir=key_directory).create, model="m", messages=HELLO)
    error, words = raised.value, refused(server.url.removesuffix("/"), status, " (Log in, please)")
    assert type(error) is REFUSALS[status]
    assert (str(error), error.no_router, error.sent, sleeps) == (words, False, False, [])
    refusal = refusal_for(error)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retried) == (502, "refused_before_router", True)
    assert refusal.message == words.replace("something", "Something", 1)


@pytest.mark.parametrize("command", ["chat", "batch"])
@pytest.mark.parametrize("status", REFUSALS)
def test_commands_say_of_a_refusal_what_clients_say(
    status: int, command: str, key_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with raw_server(lambda _: framed(b"", status)) as server:
        address = server.url.removesuffix("/")
        options = ["--base-url", address, "--allow-http", "--key-dir", str(key_directory)]
        with pytest.raises(SystemExit) as left:
            cli.main([*command_line(command, tmp_path), *options])
    assert left.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"nomyo {command}: {refused(address, status)}"
