"""The processor's time that judging an attestation takes: real quotes, with a policy; the least of five rounds.

.venv/bin/python benches/attestation.py
"""

from __future__ import annotations

import json
import timeit
from pathlib import Path
from time import process_time as clock
from typing import Any

from nomyo.attestation.judge import judge
from nomyo.attestation.policy import read_policy

QUOTES = Path(__file__).parents[1] / "tests" / "attestation" / "real_quotes.json"
PAYLOAD_ID = "00000000-0000-4000-8000-000000000001"
TIMES = 500


def main() -> None:
    quotes: dict[str, dict[str, Any]] = json.loads(QUOTES.read_text())
    for name, quote in quotes.items():
        policy = read_policy({"pcrs": quote["pcr_values"]})
        assert judge(quote, PAYLOAD_ID, policy).verdict == "as-pinned"
        seconds = min(
            timeit.repeat(lambda q=quote, p=policy: judge(q, PAYLOAD_ID, p), timer=clock, number=TIMES, repeat=5)
        )
        print(f"{name:20} {1000 * seconds / TIMES:.3f} ms")
    seconds = min(timeit.repeat(lambda: judge(None, PAYLOAD_ID), timer=clock, number=TIMES, repeat=5))
    print(f"{'absent':20} {1000 * seconds / TIMES:.4f} ms")


if __name__ == "__main__":
    main()
