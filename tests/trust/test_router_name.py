"""A router has one name, however its address is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomyo.trust.router_name import router_name
from nomyo.trust.state_directory import state_directory


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.nomyo.ai", "api.nomyo.ai:443"),
        ("https://API.Nomyo.AI./v1", "api.nomyo.ai:443"),
        ("api.nomyo.ai", "api.nomyo.ai:443"),
        ("api.nomyo.ai:443", "api.nomyo.ai:443"),
        ("http://api.nomyo.ai", "api.nomyo.ai:80"),
        ("https://api.nomyo.ai:8443/", "api.nomyo.ai:8443"),
        ("https://b\u00fccher.example", "xn--bcher-kva.example:443"),
        ("https://XN--BCHER-KVA.example", "xn--bcher-kva.example:443"),
        ("https://fa\u00df.example", "xn--fa-hia.example:443"),
        ("https://[::1]:12434", "[::1]:12434"),
        ("https://[0:0:0:0:0:0:0:1]", "[::1]:443"),
        ("https://[2001:DB8::0:1]", "[2001:db8::1]:443"),
        ("http://127.0.0.1:12434", "127.0.0.1:12434"),
        ("http://127.1", "127.1:80"),
        ("[::1]:80", "[::1]:80"),
    ],
)
def test_name_is_host_and_port_in_one_form(url: str, name: str) -> None:
    assert router_name(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "ftp://x",
        "https://x:0x",
        "https://x:0",
        "x:0",
        "https://[::1",
        "https://u:secret@x",
        "https://x?secret",
        "https://\u2002",
    ],
)
def test_what_is_no_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"^a router is named by its address") as refused:
        router_name(url)
    assert "secret" not in str(refused.value)


def test_state_directory_is_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_directory() == tmp_path / "state" / "nomyo"
    for ignored in ("relative", ""):
        monkeypatch.setenv("XDG_STATE_HOME", ignored)
        assert state_directory() == tmp_path / ".local" / "state" / "nomyo"
