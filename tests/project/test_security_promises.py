"""Every proof that SECURITY.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.compile(
    r"^\| (?!on the wire|in memory|in files|in the browser|promise|[^|]+ \| bound|-)(.+) \| (.+) \|$", re.MULTILINE
)


def test_every_promise_has_a_proof_that_exists() -> None:
    rows = ROWS.findall((ROOT / "SECURITY.md").read_text())
    assert len(rows) > 20
    for promise, proofs in rows:
        named = re.findall(r"`([^`]+)`", proofs)
        assert named, promise
        for name in named:
            path, _, test = name.partition("::")
            assert (ROOT / path).is_file(), name
            assert not test or f"def {test}(" in (ROOT / path).read_text(), name
