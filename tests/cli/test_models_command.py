"""`nomyo models`: what the proxy would list."""

from __future__ import annotations

import json

import pytest

from nomyo.cli import main

ALIASES = ["--alias", "claude-*=Qwen/Qwen3-0.6B", "--alias", "gpt-5=Qwen/Qwen3-0.6B"]


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, str]:
    with pytest.raises(SystemExit) as left:
        main(["models", *options])
    assert left.value.code == 0
    said = capsys.readouterr()
    return said.out, said.err


def test_models_are_printed_one_a_line_with_what_aliases_mean(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(capsys, "--model", "a/b", *ALIASES)
    assert out.splitlines() == ["a/b", "Qwen/Qwen3-0.6B", "gpt-5", "claude-*=Qwen/Qwen3-0.6B"]
    assert err == ""


def test_json_is_what_the_proxy_answers(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed(capsys, "--json", *ALIASES)[0])
    assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", ["Qwen/Qwen3-0.6B", "gpt-5"])
    assert {model["object"] for model in listed["data"]} == {"model"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"NOMYO_MODEL": "a"}, ["a"]),
        ({"NOMYO_MODEL": "a", "NOMYO_PROXY_MODELS": "b c"}, ["b", "c"]),
        ({"NOMYO_MODEL": "a", "NOMYO_PROXY_MODELS": ""}, ["a"]),
        ({"NOMYO_PROXY_ALIASES": "x=y z*=y"}, ["y", "x", "z*=y"]),
    ],
)
def test_variables_name_models(
    environment: dict[str, str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert printed(capsys)[0].splitlines() == expected


def test_empty_list_says_what_fills_it(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(capsys)
    assert out == ""
    assert "NOMYO_MODEL" in err


@pytest.mark.parametrize("alias", ["", "a", "=b", "a=", "*a=b", "a*b=c", "a**=b"])
def test_alias_that_cannot_be_is_refused(alias: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["models", "--alias", alias])
    assert left.value.code == 2
    assert "alias" in capsys.readouterr().err


def test_alias_that_is_given_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["models", "--alias", "a=b", "--alias", "a=c"])
    assert left.value.code == 2
    assert "'a' is given twice" in capsys.readouterr().err
