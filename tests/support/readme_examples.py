"""The Python examples of the README and of docs/. Run as a program, it type-checks them with `mypy --strict`."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Pages whose blocks are signatures (reference), need a cluster, or are settings of programs that are not installed.
_NOT_RUN = {"docs/reference.md", "docs/ray.md", "docs/recipes.md"}
PAGES = tuple(
    sorted({str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]} - _NOT_RUN)
)
# Examples that import these run in a venv of their own: `test_frameworks.py`.
FRAMEWORKS = ("instructor", "langchain_openai", "llama_index")


def examples(page: str) -> list[str]:
    """Return the Python blocks of a page, as they stand."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def examples_without_frameworks() -> dict[str, str]:
    """Return the Python blocks of all pages by page and number, `README.md:0`."""
    found = {f"{page}:{number}": example for page in PAGES for number, example in enumerate(examples(page))}
    return {name: example for name, example in found.items() if not _imports_framework(example)}


def _imports_framework(example: str) -> bool:
    return re.search(rf"^(import|from) ({'|'.join(FRAMEWORKS)})\b", example, re.MULTILINE) is not None


def write_examples(folder: Path) -> list[Path]:
    """Write each example without frameworks into a file of its own; return the files."""
    paths = []
    for name, example in examples_without_frameworks().items():
        paths.append(folder / f"{re.sub(r'[^A-Za-z0-9]', '_', name)}.py")
        paths[-1].write_text(example)
    return paths


# pyarrow has no types, which is no fault of an example.
STRICT = ["--strict", "--config-file=", "--disable-error-code=import-untyped"]


def main() -> int:
    """Type-check every example as a program of its own; return mypy's exit code."""
    with tempfile.TemporaryDirectory() as directory:
        return max(_check(path) for path in write_examples(Path(directory)))


def _check(path: Path) -> int:
    from mypy import api

    output, errors, code = api.run([*STRICT, str(path)])
    sys.stdout.write(output)
    sys.stderr.write(errors)
    return code


if __name__ == "__main__":
    sys.exit(main())
