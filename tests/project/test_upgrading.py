"""UPGRADING.md names files that exist, and for each row a test or that there is none."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.compile(r"^\| (?!relied on|-)(.+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([^`]+)`")


def test_every_row_names_its_place_and_what_fails() -> None:
    rows = ROWS.findall((ROOT / "UPGRADING.md").read_text())
    assert len(rows) > 40
    for relied_on, where, fails in rows:
        places = NAMED.findall(where)
        proofs = [name for name in NAMED.findall(fails) if "tests/" in name]
        assert places, relied_on
        assert all((ROOT / place).is_file() for place in places), where
        assert "no test" in fails or proofs, relied_on
        assert all((ROOT / proof).is_file() for proof in proofs), fails


def test_every_file_that_uses_aws_lc_has_a_row() -> None:
    page = (ROOT / "UPGRADING.md").read_text()
    for path in (ROOT / "rust" / "core" / "src" / "crypto").rglob("*.rs"):
        if "aws_lc_sys" in path.read_text() and path.stem not in {"version", "constant_time"}:
            assert str(path.relative_to(ROOT)) in page, path
