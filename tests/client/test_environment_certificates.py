"""Certificates of the environment: believed, told by their variable where they are none, and never waited for."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest

import nomyo
from nomyo.serve.router.running import RunningRouter
from support.environment_proxy import HELLO, failed, proxy
from support.tls import Authority
from support.twins import Twin

READS: dict[str, tuple[object, str]] = {
    "SSL_CERT_FILE": (ssl.SSLContext, "load_verify_locations"),
    "SSL_CERT_DIR": (Path, "iterdir"),
}

pytestmark = pytest.mark.usefixtures("_nothing_of_this_machine")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("kind", ["missing", "wrong", "empty"])
def test_certificates_that_are_not_there_are_told_at_once(
    twin: Twin,
    key_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    sleeps: list[float],
    tmp_path: Path,
    variable: str,
    kind: str,
) -> None:
    path = tmp_path / "certificates"
    is_file = (variable == "SSL_CERT_FILE") == (kind == "empty")
    if kind != "missing":
        path.write_text("no certificate") if is_file else path.mkdir()
    monkeypatch.setenv(variable, str(path))
    with proxy("200 OK") as (port, told):
        error = failed(twin, f"https://127.0.0.1:{port}", key_directory, nomyo.ConfigurationError)
        assert str(error).startswith(f"{variable} is {path}: ")
        assert told.lines == []
    assert sleeps == []


@pytest.mark.timeout(20)
def test_certificates_in_a_pipe_are_not_waited_for(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pipe"))
    error = failed(twin, "https://127.0.0.1:9", key_directory, nomyo.ConfigurationError)
    assert "it is no regular file" in str(error)


@pytest.mark.outside("openssl")
def test_directory_of_certificates_is_believed(
    twin: Twin,
    https_router: RunningRouter,
    tls_authority: Authority,
    key_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(tls_authority.ca)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "hashed").mkdir()
    (tmp_path / "hashed" / f"{name}.0").write_bytes(tls_authority.ca.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}/away:{tmp_path}/hashed")
    chat = twin.chat(https_router.url, key_dir=key_directory, allow_http=False)
    assert twin.call(chat.create, model="m", messages=HELLO).choices[0].message.content == "Hello"


def test_key_log_of_the_environment_is_not_written(
    twin: Twin,
    https_router: RunningRouter,
    tls_authority: Authority,
    key_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    chat = twin.chat(https_router.url, key_dir=key_directory, allow_http=False)
    twin.call(chat.create, model="m", messages=HELLO)
    assert not (tmp_path / "keys.log").exists()


@pytest.mark.parametrize("variable", READS)
def test_what_a_signal_handler_raises_while_they_are_read_is_the_callers(
    key_directory: Path, monkeypatch: pytest.MonkeyPatch, tls_authority: Authority, tmp_path: Path, variable: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise TimeoutError("the caller's own")

    path = tmp_path / "ca.pem"  # at a path that no client has read
    path.write_bytes(tls_authority.ca.read_bytes())
    monkeypatch.setenv(variable, str(path if variable == "SSL_CERT_FILE" else path.parent))
    with nomyo.SyncSecureChatCompletion("https://127.0.0.1:9", key_dir=key_directory) as chat:
        monkeypatch.setattr(*READS[variable], interrupted)
        with pytest.raises(TimeoutError, match="the caller's own"):
            chat.create(model="m", messages=HELLO)
