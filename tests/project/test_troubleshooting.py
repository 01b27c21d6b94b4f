"""docs/troubleshooting.md quotes errors as they are worded now."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"^\| the error[^|]* says \|.*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)


def test_quoted_words_are_those_of_the_sources() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    cells = [row.split(" | ")[0] for table in TABLE.findall(page) for row in table.splitlines()]
    quoted = [words for cell in cells for words in re.findall(r"`([^`]+)`", cell)]
    sources = "".join(
        path.read_text() for path in [*ROOT.glob("python/nomyo/**/*.py"), *ROOT.glob("rust/core/src/**/*.rs")]
    )

    assert len(quoted) > 10
    assert [words for words in quoted if words not in sources] == []
