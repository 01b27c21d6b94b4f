"""docs/environment.md names every variable that the package reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nomyo

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "environment.md"
READ = re.compile(r"""os\.environ(?:\.get\(|\[)\s*"(\w+)"|envvar="(\w+)"|"(NOMYO_[A-Z_]+)\"""")


def test_page_names_every_variable_that_is_read() -> None:
    page = PAGE.read_text()
    sources = [path.read_text() for path in (ROOT / "python").rglob("*.py")]
    names = {name for source in sources for found in READ.findall(source) for name in found if name}
    assert {"NOMYO_API_KEY", "NOMYO_MODEL", "SSL_CERT_FILE", "TERM"} <= names
    private = {name for name in names if name.startswith("_TYPER_COMPLETE_TEST")}
    assert {name for name in names - private if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("url", ["router.example", "ftp://router.example", "https://", "https://a b", "https://x:port"])
def test_address_of_the_environment_that_is_none_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("NOMYO_BASE_URL", url)
    with pytest.raises(ValueError, match="NOMYO_BASE_URL"):
        nomyo.SyncSecureChatCompletion(key_dir=None)


@pytest.mark.parametrize("key", ["secret-key\n", "s\N{LATIN SMALL LETTER E WITH ACUTE}cret-key", "secret\tkey"])
def test_api_key_of_the_environment_that_cannot_be_sent_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("NOMYO_API_KEY", key)
    with pytest.raises(nomyo.SecurityError, match="NOMYO_API_KEY") as raised:
        nomyo.SyncSecureChatCompletion(key_dir=None)
    assert "cret" not in str(raised.value)
