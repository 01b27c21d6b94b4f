"""`python -m wheels`: builds and checks wheels. `make wheels` and `make reproducible` call it."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from wheels.build import build
from wheels.checks import check
from wheels.smoke import smoke
from wheels.source import source
from wheels.targets import TARGETS

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Build the wheels that the command line names, all if it names none; check each, and run it."""
    parser = argparse.ArgumentParser(prog="python -m wheels", description="Build and check wheels.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)}")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "wheels", help="the folder for the wheels")
    parser.add_argument("--source", type=Path, default=ROOT, help="the clone that is built")
    parser.add_argument("--cache", type=Path, help="the folder for what the compilers write")
    parser.add_argument("--build-only", action="store_true", help="neither check nor run them")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    clone = source(given.source)
    cache = (given.cache or clone.folder / "target" / "published").resolve()
    for name in given.targets or TARGETS:
        target = TARGETS[name]
        wheel = build(clone, target, given.out.resolve(), cache)
        print(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}", flush=True)
        if not given.build_only:
            print(check(wheel, target, clone), flush=True)
            print(smoke(wheel, target, clone.folder / "README.md", cache), flush=True)


if __name__ == "__main__":
    main()
