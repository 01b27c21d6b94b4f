"""No file is longer than a reader holds in mind, and most functions are a few lines."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("python", "tests", "tools", "benches", "examples", "rust")
MOST_LINES = 400
MOST_LINES_OF_MEDIAN = 7


def _sources(*endings: str) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT).parts
            if path.suffix in endings and not {"node_modules", "target"} & set(inside):
                yield path


def test_no_file_is_longer_than_a_reader_holds() -> None:
    files = list(_sources(".py", ".pyi", ".rs"))
    long = {str(path.relative_to(ROOT)) for path in files if path.read_text().count("\n") > MOST_LINES}
    assert len(files) > 500
    assert long == set()


def test_half_of_all_functions_are_a_few_lines() -> None:
    """Counted from `def` to the end, docstrings included."""
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for path in _sources(".py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median(lengths) <= MOST_LINES_OF_MEDIAN
