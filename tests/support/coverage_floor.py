"""Holds the measured coverage of the package to its floor: 95 % of lines, 90 % of branches.

Coverage's own `fail_under` knows only one figure of both together, in which lines make up for branches.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LINES_PERCENT = 95.0
BRANCHES_PERCENT = 90.0


def main() -> int:
    """Read the coverage data of this folder; return 1 where it is below the floor."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(report)], check=True)
        totals = json.loads(report.read_text())["totals"]
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    branches = 100 * totals["covered_branches"] / totals["num_branches"]
    print(f"lines: {lines:.1f} % (floor {LINES_PERCENT}), branches: {branches:.1f} % (floor {BRANCHES_PERCENT})")
    return int(lines < LINES_PERCENT or branches < BRANCHES_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
