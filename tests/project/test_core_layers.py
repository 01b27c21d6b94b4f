"""Modules of the native core use each other one way; system calls and AWS-LC have one folder each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "rust" / "core" / "src"
BINDING = ROOT / "rust" / "python" / "src"

COMMENT = re.compile(r"//.*")
TESTS = re.compile(r"#\[cfg\(test\)\]\s+mod tests \{.*\Z", re.DOTALL)
USE = re.compile(r"\buse ((?:crate|super|self)::[^;]+);")
CHILD = re.compile(r"\bmod (\w+);")
PATH = re.compile(r"\b(?:crate|super)(?:::\w+)+")
# What the crate's root hands on: the module that it comes from.
HANDED_ON = {"Error": "error", "Result": "error"}


def _code(path: Path) -> str:
    """Return a file's code, without comments and unit tests."""
    return TESTS.sub("", COMMENT.sub("", path.read_text()))


def _files(source: Path) -> list[Path]:
    return [path for path in sorted(source.rglob("*.rs")) if not path.stem.endswith("_tests") and path.stem != "lib"]


def _names(path: Path, source: Path) -> tuple[str, ...]:
    """Return a file's module, by its names from the crate's root."""
    parts = path.relative_to(source).with_suffix("").parts
    if parts[-1] == "mod":
        return parts[:-1]
    above = path.with_name("mod.rs")
    renamed = re.search(rf'path = "{path.name}"\]\s*(?:pub )?mod (\w+);', above.read_text() if above.exists() else "")
    return (*parts[:-1], renamed[1]) if renamed else parts


def _spread(tree: str) -> Iterator[str]:
    """Yield each path of a use declaration, braces spread out."""
    head, brace, rest = tree.partition("{")
    if not brace:
        yield tree.split(" as ")[0].strip()
        return
    depth, part = 0, ""
    for char in rest[: rest.rindex("}")] + ",":
        depth += (char == "{") - (char == "}")
        if char != "," or depth:
            part += char
            continue
        if part.strip():
            yield from (head.strip() + inner for inner in _spread(part.strip()))
        part = ""


def _used(path: Path, source: Path, modules: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return the modules that a file uses."""
    code, own = _code(path), _names(path, source)
    paths = {found for tree in USE.findall(code) for found in _spread(" ".join(tree.split()))}
    paths |= set(PATH.findall(USE.sub("", code)))
    paths |= {f"self::{child}" for child in CHILD.findall(code)}
    used = set()
    for found in paths:
        root, *names = found.split("::")
        base = {"crate": (), "super": own[:-1], "self": own}[root]
        full = (*base, *(HANDED_ON.get(name, name) for name in names))
        used |= {max((module for module in modules if full[: len(module)] == module), key=len, default=())}
    return used - {(), own}


@pytest.mark.parametrize("source", [CORE, BINDING])
def test_no_modules_use_each_other_in_a_circle(source: Path) -> None:
    files = _files(source)
    modules = {_names(path, source) for path in files}
    uses: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for path in files:  # a module may have a file for each platform
        uses.setdefault(_names(path, source), set()).update(_used(path, source, modules))
    order = list(TopologicalSorter(uses).static_order())  # raises an error that names the circle
    assert len(order) > 20


def test_uses_are_seen_in_every_form() -> None:
    modules = {("os",), ("arena",), ("arena", "heap"), ("crypto", "gate"), ("error",), ("init",)}
    spread = set(_spread("crate::{Error, arena::{self, heap::{Heap, Lane}}, os as system}"))
    assert spread == {
        "crate::Error",
        "crate::arena::self",
        "crate::arena::heap::Heap",
        "crate::arena::heap::Lane",
        "crate::os",
    }
    assert _used(CORE / "fork.rs", CORE, modules) == {("arena",), ("crypto", "gate"), ("os",)}
    assert _used(CORE / "crypto" / "random.rs", CORE, modules) == {("crypto", "gate"), ("error",), ("init",)}


@pytest.mark.parametrize(
    ("word", "folder"),
    [(r"\blibc\b|\bextern \"(C|system)\" \{", "os"), (r"\baws_lc_sys\b", "crypto")],
    ids=["system calls", "AWS-LC"],
)
def test_what_is_foreign_is_named_in_one_folder(word: str, folder: str) -> None:
    naming = {path for source in (CORE, BINDING) for path in source.rglob("*.rs") if re.search(word, _code(path))}
    assert naming
    assert {path.relative_to(ROOT) for path in naming if CORE / folder not in path.parents} == set()
