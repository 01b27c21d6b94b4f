"""Imports run one way, and importing the package stays cheap."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import nomyo
from support.process import output_of

PACKAGE = Path(nomyo.__file__).parent

# From the ground up: a module of the root, or a folder, may import from the lines above its own.
LAYERS = [
    {"_install_command", "_near_names", "_plurals", "_printable", "_signals", "_system_errors", "_warn", "errors"},
    {"_core", "_late_imports", "_threads"},
    {"_byte_context", "_speed"},
    {"_api_form", "_checks", "_counts", "_files", "_finite_json", "_unique_json", "attestation", "memory"},
    {"_missing_core", "responses"},
    {"_create_many", "_terminal_text", "exchange"},
    {"trust"},
    {"client", "openai_form", "parameters"},
    {"_create_request", "anthropic_form"},
    {"chat", "transports"},
    {"_sdk_client"},
    {"anthropic", "batch", "openai", "serve"},
    {"cli"},
    {"__main__"},
]
# Imports between equals, which are refused unless they stand here: who imports whom.
BETWEEN_EQUALS: set[tuple[str, str]] = set()
# Within a package, its map gives the order; these know nothing of each other all the same.
APART = {
    "cli": {"batch", "chat", "demo", "doctor", "keys", "launch", "models", "proxy", "router", "trust"},
    "serve": {"proxy", "router"},
}
PACKAGES = sorted(
    init.parent.relative_to(PACKAGE).as_posix() for init in PACKAGE.rglob("__init__.py") if init.parent != PACKAGE
)
# What users import from the root, beside the names of the package itself.
PUBLIC = {
    "anthropic",
    "attestation",
    "batch",
    "chat",
    "client",
    "errors",
    "memory",
    "openai",
    "parameters",
    "responses",
    "transports",
}
FOLDERS = {"anthropic_form", "cli", "exchange", "openai_form", "serve", "trust"}
FREE = {"__init__"}


def _imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, as dotted names below it."""
    package = ("nomyo", *path.relative_to(PACKAGE).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *(node.module or "").split("."))).strip(".")
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("nomyo.") for name in found if name.startswith("nomyo.")}


def _layer(module: str) -> int | None:
    return next((number for number, layer in enumerate(LAYERS) if module in layer), None)


def _map_of(package: str) -> list[str]:
    """Return the modules that the docstring of a package lists, in its order."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / package / "__init__.py").read_text()), clean=False) or ""
    return re.findall(r"^    (\w+) +\S", docstring.partition("Modules, from the ground up;")[2], re.MULTILINE)


def test_every_module_has_a_layer_and_imports_downwards_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own in FREE:
            continue
        layer = _layer(own)
        assert layer is not None, f"{path} has no layer"
        for name in _imports(path):
            imported = name.split(".")[0]
            # What the package itself re-exports counts as the layer of the clients.
            below = _layer(imported) if _layer(imported) is not None else _layer("chat")
            assert below is not None
            allowed = below < layer or imported == own or (own, imported) in BETWEEN_EQUALS
            assert allowed, f"{path} imports {name}"


def test_root_shows_what_users_import() -> None:
    shown = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in shown if not name.startswith("_")} == PUBLIC | FOLDERS


@pytest.mark.parametrize("package", PACKAGES)
def test_map_of_a_package_names_each_module_once(package: str) -> None:
    folder = PACKAGE / package
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(_map_of(package)) == sorted(there - FREE)


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_of_a_package_import_only_from_those_above_them_in_its_map(package: str) -> None:
    order, inside = _map_of(package), package.replace("/", ".") + "."
    for path in (PACKAGE / package).rglob("*.py"):
        module = path.relative_to(PACKAGE / package).with_suffix("").parts[0]
        if module in FREE:
            continue
        imported = {name.removeprefix(inside).split(".")[0] for name in _imports(path) if name.startswith(inside)}
        assert imported <= {module, *order[: order.index(module)]}, path
        if module in APART.get(package, ()):
            assert not imported & APART[package] - {module}, path


@pytest.mark.parametrize("form", ["anthropic_form", "openai_form"])
def test_form_names_no_http_library_and_does_no_io(form: str) -> None:
    for path in (PACKAGE / form).rglob("*.py"):
        assert not _roots(path) & {"aiohttp", "asyncio", "httpx", "os", "pathlib", "socket", "starlette"}, path


def test_one_place_of_the_exchange_names_the_http_libraries() -> None:
    for path in (PACKAGE / "exchange").glob("*.py"):  # not exchange/http/*
        assert not _roots(path) & {"httpx", "aiohttp"}, path


def test_two_modules_name_aiohttp() -> None:
    naming = {path for path in PACKAGE.rglob("*.py") if "aiohttp" in _roots(path)}
    assert naming == {PACKAGE / "exchange" / "http" / f"{name}.py" for name in ("connector", "session")}


def _roots(path: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    tree = ast.parse(path.read_text())
    roots = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    return roots | {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_importing_the_package_imports_no_http_library_and_no_extra() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"  # coverage imports some of them
        "import nomyo\n"
        "heavy = {'httpx', 'aiohttp', 'starlette', 'uvicorn', 'typer', 'rich', 'prompt_toolkit', 'openai', 'pydantic',"
        " 'asyncio', 'dataclasses', 'difflib', 'inspect', 'logging'}\n"
        "print(sorted(heavy & set(sys.modules) - before))"
    )
    assert output_of(program) == "[]\n"


def test_one_folder_opens_and_locks_files_by_what_the_platform_has() -> None:
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "fcntl" in _roots(path) or re.search(r"\bos\.O_(?!RDONLY\b)|\"O_", path.read_text())
    }
    beside = {
        "batch/governor/shared_file.py",
        "cli/password_prompt.py",
        "cli/streams.py",
    }  # books; a terminal; /dev/null
    assert {name for name in naming if not name.startswith("_files/")} == beside
