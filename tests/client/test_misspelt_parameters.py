"""A misspelt parameter is sent as it is, with a warning; and all lists of well-known parameters agree."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_overloads

import pytest

from nomyo import parameters
from support.faults import FaultyRouter
from support.peer import open_with
from support.twins import Twin

REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_misspelt_parameter_is_sent_and_warned_of_once(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    client = twin.chat(faulty_router.url, key_dir=key_directory)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        twin.call(client.create, **REQUEST, temprature=0.5)
        twin.call(client.create_secure, {**REQUEST, "temprature": 0.25}).close()

    words = "the parameter 'temprature' is sent as it is: did you mean 'temperature'?"
    assert [str(each.message) for each in warned if "parameter" in str(each.message)] == [words]
    sent = [open_with(faulty_router.private_key_pem, post.body) for post in faulty_router.posts]
    assert [body["temprature"] for body in sent] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("temprature", "temperature"),
        ("temperaturee", "temperature"),
        ("temperatore", "temperature"),
        ("temepratures", None),
        ("tmeperature", "temperature"),
        ("mesages", "messages"),
        ("max_token", "max_tokens"),
        ("max_tokesn", "max_tokens"),
        ("sede", "seed"),
        ("tool", "tools"),
        ("ools", "tools"),
        ("m", None),
        ("nn", None),
        ("", None),
        ("top_a", None),
        ("mirostat", None),
        ("guided_json", None),
        (7, None),
    ],
)
def test_name_within_one_edit_of_a_known_one(name: object, meant: str | None) -> None:
    assert parameters.meant_by(name) == meant


def test_known_parameters_are_warned_of_by_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parameters.warn_of_misspelt(sorted(parameters.KNOWN_PARAMETERS))


def test_missing_field_is_told_with_the_name_that_was_meant(twin: Twin, key_directory: Path) -> None:
    client = twin.chat("http://127.0.0.1:9", key_dir=key_directory)

    with pytest.raises(TypeError, match=r"^the request lacks messages: is 'mesages' meant for 'messages'\?$"):
        twin.call(client.create, model="m", mesages=[])


def test_type_checkers_know_the_same_parameters() -> None:
    method: Any = SimpleNamespace(__module__=parameters.__name__, __qualname__="ChatMethod.__call__")
    by_keywords, as_mapping = (
        {each.name: each.annotation for each in inspect.signature(form).parameters.values()}
        for form in get_overloads(method)
    )

    assert by_keywords.keys() - {"self", "request", "params"} == parameters.KNOWN_PARAMETERS
    others = {name: kind for name, kind in by_keywords.items() if name not in ("request", "model", "messages")}
    assert others.items() <= as_mapping.items()
    assert by_keywords.keys() == as_mapping.keys()
