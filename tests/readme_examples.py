"""The Python examples of the README. Run as a program, it type-checks them with `mypy --strict`."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def examples(path: Path = README) -> list[str]:
    """Return the Python blocks, as they stand."""
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


def main() -> int:
    """Type-check every example as a program of its own; return mypy's exit code."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for number, example in enumerate(examples()):
            paths.append(Path(directory) / f"readme_{number}.py")
            paths[-1].write_text(example)
        codes = [_check(path) for path in paths]
    return max(codes)


def _check(path: Path) -> int:
    from mypy import api

    output, errors, code = api.run(["--strict", "--config-file=", str(path)])
    sys.stdout.write(output)
    sys.stderr.write(errors)
    return code


if __name__ == "__main__":
    sys.exit(main())
