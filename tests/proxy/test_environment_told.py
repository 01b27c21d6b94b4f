"""An environment that cannot work is told before a proxy says that it is ready."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.proxied import command

BROKEN = {
    "SSL_CERT_FILE": ("/nope", "SSL_CERT_FILE is /nope"),
    "ALL_PROXY": ("socks5://me:secret@127.0.0.1:1080", "ALL_PROXY names a SOCKS proxy (socks5://127.0.0.1:1080)"),
    "HTTPS_PROXY": ("http://me:secret@127.0.0.1:0", "HTTPS_PROXY names no proxy that can be used"),
}
ROUTER = "https://router.invalid"


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY")
    for name in (*names, "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def run(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment)


@pytest.mark.parametrize("variable", BROKEN)
def test_proxy_does_not_say_ready(key_directory: Path, variable: str) -> None:
    value, told = BROKEN[variable]
    done = run(command(ROUTER, key_directory), **{variable: value})
    assert (done.returncode, done.stdout) == (1, "")
    assert f"nomyo proxy: {told}" in done.stderr
    assert "secret" not in done.stderr
