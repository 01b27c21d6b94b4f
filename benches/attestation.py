"""The processor's time that judging an attestation takes: real quotes, with a policy; the least of five rounds."""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable
from pathlib import Path
from time import process_time as clock
from typing import Any

from extent import extent

from nomyo.attestation.judge import judge
from nomyo.attestation.policy import read_policy

QUOTES = Path(__file__).parents[1] / "tests" / "attestation" / "real_quotes.json"
PAYLOAD_ID = "00000000-0000-4000-8000-000000000001"
TIMES = extent(500, 5)


def measure() -> dict[str, float]:
    """Return milliseconds by the quote's name, and for an answer without an attestation."""
    quotes: dict[str, dict[str, Any]] = json.loads(QUOTES.read_text())
    policies = {name: read_policy({"pcrs": quote["pcr_values"]}) for name, quote in quotes.items()}
    assert all(judge(quote, PAYLOAD_ID, policies[name]).verdict == "as-pinned" for name, quote in quotes.items())
    figures = {
        name: _least_ms(lambda q=quote, p=policies[name]: judge(q, PAYLOAD_ID, p)) for name, quote in quotes.items()
    }
    return {**figures, "absent": _least_ms(lambda: judge(None, PAYLOAD_ID))}


def _least_ms(work: Callable[[], object]) -> float:
    return 1000 * min(timeit.repeat(work, timer=clock, number=TIMES, repeat=5)) / TIMES


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
