"""The figures of docs/performance.md are those that `make bench` wrote down, and its plots are there."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"


def test_tables_of_the_page_are_made_from_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benches")
    tables = importlib.import_module("tables")
    page = PAGE.read_text()
    assert tables.with_tables(page, json.loads((ROOT / "docs/performance.json").read_text())) == page


def test_plots_of_the_page_are_there() -> None:
    plots = re.findall(r"!\[.+\]\((.+\.svg)\)", PAGE.read_text())
    assert len(plots) == 6
    assert all((PAGE.parent / plot).read_text().startswith("<?xml") for plot in plots)
