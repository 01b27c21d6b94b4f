"""docs/reference.md is what docstrings, signatures and commands say now; `make reference-page` writes it anew."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import nomyo
import nomyo.anthropic
import nomyo.batch
import nomyo.openai
import nomyo.transports
from reference_page import MODULES
from reference_page.commands import commands

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reference.md").read_text()


def exports(module: str) -> list[str]:
    """Return `__all__` of a module, which may need an extra that is not installed here."""
    path = ROOT.joinpath("python", *module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


def below(heading: str) -> str:
    """Return what stands below a heading."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#)", TEXT + "#", re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {heading!r}"
    return found[1]


def rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the tables below a heading: the cells of each by its first."""
    lines = re.findall(r"^\| (.*) \|$", below(heading), re.MULTILINE)
    cells = [[cell.replace(r"\|", "|") for cell in re.split(r"(?<!\\) ?\| ?", line)] for line in lines]
    return {first.strip("`"): rest for first, *rest in reversed(cells)}  # options stand above attributes of their name


def test_page_is_what_the_sources_say(tmp_path: Path) -> None:
    fresh = tmp_path / "reference.md"
    command = [sys.executable, "-m", "reference_page", str(fresh)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    subprocess.run(command, check=True, timeout=300, env=env)

    assert fresh.read_text() == TEXT, "the page is out of date: `make reference-page` writes it anew"


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_heading(module: str) -> None:
    names = [name for name in exports(module) if f"{module}.{name}" not in MODULES]
    headings = [name if module == "nomyo" else f"{module}.{name}" for name in names]
    found = re.findall(r"^### (\S+)$", TEXT, re.MULTILINE)

    assert len(names) >= 2
    assert [name for name in found if name in headings] == headings


@pytest.mark.parametrize(
    ("heading", "made"),
    [
        ("SecureChatCompletion", nomyo.SecureChatCompletion),
        ("SecureCompletionClient", nomyo.SecureCompletionClient),
        ("nomyo.transports.AsyncSecureTransport", nomyo.transports.AsyncSecureTransport),
        ("nomyo.openai.AsyncOpenAI", nomyo.openai.AsyncOpenAI),
        ("nomyo.anthropic.Anthropic", nomyo.anthropic.Anthropic),
        ("nomyo.batch.run_async", nomyo.batch.run_async),
        ("nomyo.batch.Limits", nomyo.batch.Limits),
        ("APIError", nomyo.APIError),
    ],
)
def test_table_has_every_option_and_its_default(heading: str, made: Callable[..., Any]) -> None:
    """What griffe reads in the source, compared with what Python made of it."""
    table = rows(heading)
    for name, each in inspect.signature(made).parameters.items():
        if each.kind is each.VAR_KEYWORD:
            assert f"**{name}" in table
        elif each.default is each.empty:
            assert table[name][1] == "required", name
        elif each.default is openai.NOT_GIVEN:
            assert table[name][1] == "`openai.NOT_GIVEN`"
        elif each.default is anthropic.NOT_GIVEN:
            assert table[name][1] == "`anthropic.NOT_GIVEN`"
        else:
            assert table[name][1] == f"`{each.default!r}`".replace("'", '"'), name


def test_every_option_of_a_client_is_explained() -> None:
    table = rows("SecureChatCompletion")
    assert [name for name in inspect.signature(nomyo.SecureChatCompletion).parameters if not table[name][2]] == []


def test_every_error_is_in_the_table_with_its_status() -> None:
    errors = {name: value for name in nomyo.__all__ if inspect.isclass(value := getattr(nomyo, name))}
    statuses = {
        name: "" if (status := getattr(value, "_status", None)) is None else str(status)
        for name, value in errors.items()
        if issubclass(value, nomyo.NomyoError)
    }
    found = {re.sub(r"\[`(\w+)`\].*", r"\1", name): rest for name, rest in rows("All errors").items()}
    assert {name: found[name][1] for name in statuses} == statuses


def test_every_command_stands_with_its_options() -> None:
    names = [name for name, _ in commands()]
    assert {"nomyo chat", "nomyo batch open", "nomyo keys check", "nomyo doctor"} <= set(names)
    assert all(below(name).strip() for name in names)
    assert rows("nomyo chat")["-m`, `--model"][1] == "required"
    assert rows("nomyo router")["--port"][1] == "`12435`"
