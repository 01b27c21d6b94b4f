"""A client of a public service that was given no API key says so when it is made."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import nomyo
from support.twins import Twin

MISSING = "there is no API key"


def told(twin: Twin, **options: object) -> list[warnings.WarningMessage]:
    """Return the warnings of a missing API key that making both clients of a kind gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for made in (twin.chat_class, twin.client_class):
            made(allow_http=True, key_dir=None, key_rotation_interval=0, **options).dispose()
    return [each for each in caught if MISSING in str(each.message)]


@pytest.mark.parametrize("variable", [None, ""])
def test_missing_key_is_told_with_the_name_of_the_variable(
    variable: str | None, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("NOMYO_API_KEY", variable)
    each = told(twin)
    assert {str(one.message) for one in each} == {
        "there is no API key for https://api.nomyo.ai: set NOMYO_API_KEY; in Python, api_key takes one, too,"
        ' and api_key="" is right for a router that asks for none'
    }
    assert [Path(one.filename).name for one in each] == [Path(__file__).name] * 2


@pytest.mark.parametrize("url", ["http://10.1.2.3", "https://127.0.0.1:9", "https://[::1]:9", "https://LOCALHOST:9"])
def test_router_of_this_machine_or_without_tls_needs_none(
    url: str, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMYO_BASE_URL", url)
    assert told(twin) == []


@pytest.mark.parametrize("key", ["", "a-key"])
def test_key_that_is_given_is_enough(key: str, twin: Twin) -> None:
    assert told(twin, api_key=key) == []


def test_key_of_the_environment_is_enough(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMYO_API_KEY", "a-key")
    assert told(twin) == []


def test_warning_that_a_filter_makes_an_error_is_one() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=MISSING):
            nomyo.SyncSecureChatCompletion(key_dir=None)
