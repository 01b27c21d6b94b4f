"""Judges a log of `cargo test` under an emulator: what failed must be exactly what the emulator cannot answer.

Arguments: a TOML file of limits; a file with a line `NAME yes` or `NAME no` for each facility that was tried in the
emulator; the log. A limit is a table with the name of a facility, `why`, and `tests` ("PROGRAM: TEST"), which all must
fail.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RUNNING = re.compile(r"^ +Running (?:unittests )?\w+/(\w+)\.rs ", re.MULTILINE)
FAILED = re.compile(r"^test (\S+).* FAILED$", re.MULTILINE)
RESULT = "\ntest result: "


def failures(log: str) -> Iterator[str]:
    """Yield what failed, as "PROGRAM: TEST", and programs that ended without a result."""
    parts = RUNNING.split(log)[1:]
    for program, report in zip(parts[::2], parts[1::2], strict=True):
        # Below "failures:" stand the reports of tests that tests started.
        tests, _, details = report.partition("\nfailures:\n")
        yield from (f"{program}: {name}" for name in FAILED.findall(tests))
        if RESULT not in (details or tests):
            yield f"{program}: no result"


def judge(limits: dict[str, Any], facilities: dict[str, str], failed: set[str]) -> Iterator[str]:
    """Yield a complaint about each difference between the limits and what was found."""
    for name in limits:
        if facilities.get(name) != "no":
            yield f"{name} works here ({facilities.get(name)}): its tests must leave the list"
    excused = {test for limit in limits.values() for test in limit["tests"]}
    yield from (f"{test} failed" for test in sorted(failed - excused))
    yield from (f"{test} passed, and must leave the list" for test in sorted(excused - failed))


def main() -> bool:
    """Print the limits, the complaints, and how many failures are excused; return whether there are complaints."""
    limits = tomllib.loads(Path(sys.argv[1]).read_text())
    facilities = dict(line.split() for line in Path(sys.argv[2]).read_text().splitlines())
    failed = set(failures(Path(sys.argv[3]).read_text(errors="replace")))
    for name, limit in limits.items():
        print(f"the emulator lacks {name}: {limit['why']}")
        for test in limit["tests"]:
            print(f"    {test}")
    complaints = list(judge(limits, facilities, failed))
    print(*complaints, sep="\n")
    excused = {test for limit in limits.values() for test in limit["tests"]}
    print("excused:", len(failed & excused))
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
