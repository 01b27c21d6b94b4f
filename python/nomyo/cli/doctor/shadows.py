"""Finds what Python runs in the place of other code, or before it: shadowing modules, and `.pth` files of nobody.

Source: the pages `site` and `sys.path` of Python's documentation. A directory that stands earlier in `sys.path` wins.
Lines of a `.pth` file that begin with `import` run at each start of Python, before any check of ours.
"""

from __future__ import annotations

import csv
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import BYTECODE_SUFFIXES, BuiltinImporter, FrozenImporter, all_suffixes
from importlib.metadata import Distribution, PackagePath, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

# Nothing imports them: a folder `test` in the working directory does no harm.
_UNUSED: Final = frozenset({"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"})
_AT_START: Final = ("sitecustomize", "usercustomize")


@dataclass(frozen=True, slots=True)
class Shadow:
    """A module that stands before another one of its name in the search path."""

    module: str
    path: str
    hides: str | None
    """The file or directory that should be imported; None for a module of the standard library that has none."""
    is_loaded: bool
    """Whether it runs now; otherwise the first import of its name will run it."""


@dataclass(frozen=True, slots=True)
class PthFile:
    """A `.pth` file that no installed package lists."""

    path: str
    runs_code: bool
    directories: tuple[str, ...]
    """What it adds to the search path."""


def shadows(package: Path, search_path: Iterable[str]) -> list[Shadow]:
    """Return what stands in the way of nomyo's package and of the standard library.

    Args:
        package: The directory of nomyo that should run.
        search_path: The directories in which Python looks for modules, in its order.
    """
    standard = [_real(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    earlier: dict[str, Path] = {}
    for directory in map(Path, dict.fromkeys(search_path)):
        if _real(directory) in (*standard, *(path / "lib-dynload" for path in standard)):
            break
        for name, path in _modules(directory):
            if name in sys.stdlib_module_names - _UNUSED and not _is_built_in(name):
                earlier.setdefault(name, path)
    found = [_of_standard_library(name, path) for name, path in earlier.items()]
    return [*_of_nomyo(package, search_path), *found]


def _is_built_in(name: str) -> bool:
    """Say whether a module is a part of the interpreter, which it looks for before the search path."""
    return BuiltinImporter.find_spec(name) is not None or FrozenImporter.find_spec(name) is not None


def _of_nomyo(package: Path, search_path: Iterable[str]) -> Iterator[Shadow]:
    for directory in map(Path, search_path):
        for name, path in _modules(directory):
            if name == "nomyo" and _real(path) == _real(package):
                return
            if name == "nomyo":
                yield Shadow("nomyo", str(path), str(package), _is_loaded("nomyo", path))


def _of_standard_library(name: str, path: Path) -> Shadow:
    own = Path(sysconfig.get_path("stdlib"))
    hidden = next((file for file in (own / f"{name}.py", own / name) if file.exists()), None)
    return Shadow(name, str(path), None if hidden is None else str(hidden), _is_loaded(name, path))


def _is_loaded(name: str, path: Path) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and (Path(file) == path or path in Path(file).parents)


def _modules(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the top-level modules of a directory; a package counts only with an `__init__`, as all others come last."""
    suffixes = tuple(suffix for suffix in all_suffixes() if suffix not in BYTECODE_SUFFIXES)
    for path in _entries(directory):
        if path.name.endswith(suffixes):
            yield path.name.partition(".")[0], path
        elif any((path / f"__init__{suffix}").is_file() for suffix in suffixes):
            yield path.name, path


def stray_pth_files(directories: Iterable[Path] | None = None) -> list[PthFile]:
    """Return the `.pth` files of all directories of packages that no package lists in its RECORD.

    Args:
        directories: Where to look; None for those from which Python reads such files.
    """
    files = [path for directory in directories or site_directories() for path in _entries(directory)]
    found = [path for path in files if path.suffix == ".pth"]
    listed = _listed_pth_files() if found else set()
    return [_read(path) for path in found if _real(path) not in listed]


def site_directories() -> list[Path]:
    """Return the directories of packages from which Python reads `.pth` files."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [Path(name) for name in dict.fromkeys([*site.getsitepackages(), *user])]


def _listed_pth_files() -> set[Path]:
    return {
        _real(str(file.locate())) for package in distributions() for file in _files(package) if file.suffix == ".pth"
    }


def _files(package: Distribution) -> list[PackagePath]:
    try:
        return package.files or []
    except (OSError, ValueError, csv.Error):  # a RECORD that is no text, or no table
        return []


def _read(path: Path) -> PthFile:
    try:
        lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError:
        lines = []
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    code = [line for line in words if line.startswith(("import ", "import\t"))]
    return PthFile(str(path), bool(code), tuple(line for line in words if line not in code))


def start_modules() -> dict[str, str]:
    """Return the files of the modules that Python imports at its start if there are any (`site`), by name."""
    specs = {name: find_spec(name) for name in _AT_START}
    return {name: spec.origin for name, spec in specs.items() if spec is not None and spec.origin}


def _real(path: str | Path) -> Path:
    """Return a path without symbolic links; unlike `Path.resolve`, this takes loops of them."""
    return Path(os.path.realpath(path))


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
