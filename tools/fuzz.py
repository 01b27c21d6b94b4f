"""Runs the fuzz targets of rust/fuzz, two at a time, and tells how far each came.

    python tools/fuzz.py SECONDS [TARGET ...]

Each target begins with its seeds and with what earlier runs found worth keeping (target/fuzz/corpus). An input that
makes a target fail stays in target/fuzz/findings: it joins the seeds with the mend. Needs cargo-fuzz.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
FUZZ = ROOT / "rust" / "fuzz"
WORK = ROOT / "target" / "fuzz"
# The options of the sanitizers are unstable: without this, they would need another compiler than the wheel's.
UNSTABLE = {"RUSTC_BOOTSTRAP": "1"}
# An input that takes longer is a finding: 600,000 rounds of PBKDF2 take half a second.
TIMEOUT_S = 20
AT_ONCE = 2


def main(arguments: list[str]) -> int:
    """Run each target for so many seconds; 1 if one failed."""
    seconds, targets = int(arguments[0]), arguments[1:] or sorted(path.stem for path in FUZZ.glob("fuzz_targets/*.rs"))
    build: list[str | Path] = ["cargo", "fuzz", "build", "-O", "--fuzz-dir", FUZZ, "--target-dir", WORK]
    subprocess.run(build, check=True, cwd=ROOT, env=os.environ | UNSTABLE)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = list(threads.map(lambda target: _run(target, seconds), targets))
    print(f"{'target':16}{'executions':>12}{'edges':>8}{'features':>10}{'inputs':>8}  outcome")
    for target, (log, code) in zip(targets, outcomes, strict=True):
        print(_row(target, log, code))
    return int(any(code for _, code in outcomes))


def _run(target: str, seconds: int) -> tuple[str, int]:
    corpus, findings = WORK / "corpus" / target, WORK / "findings" / target
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    (program,) = WORK.glob(f"*/release/{target}")
    options = [f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}", f"-artifact_prefix={findings}/"]
    command: list[str | Path] = [program, *options, "-print_final_stats=1", corpus, FUZZ / "seeds" / target]
    done = subprocess.run(command, cwd=WORK, capture_output=True, text=True, errors="replace")
    return done.stderr, done.returncode


def _row(target: str, log: str, code: int) -> str:
    executions = re.findall(r"stat::number_of_executed_units: (\d+)", log)
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", log)
    edges, features, inputs = progress[-1] if progress else ("-", "-", "-")
    outcome = "nothing found" if code == 0 else f"failed:\n{log[-4000:]}"
    return f"{target:16}{(executions or ['-'])[-1]:>12}{edges:>8}{features:>10}{inputs:>8}  {outcome}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
