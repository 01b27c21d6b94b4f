"""Imports run one way, and importing the package stays cheap."""

from __future__ import annotations

import ast
from pathlib import Path

import nomyo
from process import output_of

PACKAGE = Path(nomyo.__file__).parent

# From the ground up: a module may import from its own layer and from those before it.
LAYERS = [
    {"errors"},
    {"_core"},
    {"chunks", "error_kinds", "in_range", "many", "memory", "response", "secure_response"},
    {"exchange", "machine"},
    {"client", "chat", "chat_body"},
    {"transports", "terminal"},
    {"openai", "batch", "serve", "doctor"},
    {"cli"},
    {"__main__"},
]
FREE = {"__init__"}
EXCHANGE = [
    "turns",
    "effects",
    "workers",
    "trace",
    "discreet",
    "protocol",
    "settings",
    "retries",
    "client_keys",
    "server_key",
    "flow",
    "http",
    "driver",
]


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


def test_every_module_has_a_layer_and_imports_downwards_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in FREE:
            continue
        own = _layer(parts[0])
        assert own is not None, f"{path} has no layer"
        for name in _imports(path):
            imported = name.split(".")[0]
            layer = _layer(imported)
            # What the package itself re-exports counts as the layer of the clients.
            layer = _layer("client") if layer is None else layer
            assert layer is not None
            assert layer < own or imported == parts[0] or layer == own, f"{path} imports {name}"


def test_modules_of_the_exchange_import_downwards_only() -> None:
    for path in (PACKAGE / "exchange").rglob("*.py"):
        module = path.relative_to(PACKAGE / "exchange").with_suffix("").parts[0]
        if module in FREE:
            continue
        imported = {name.split(".")[1] for name in _imports(path) if name.startswith("exchange.")}
        below = EXCHANGE[: EXCHANGE.index(module)]
        assert imported <= {module, *below}, path


def test_one_place_of_the_exchange_names_the_http_library() -> None:
    for path in (PACKAGE / "exchange").glob("*.py"):  # not exchange/http/*
        tree = ast.parse(path.read_text())
        roots = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        roots |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not roots & {"httpx", "aiohttp", "httpx_aiohttp"}, path


def test_importing_the_package_imports_no_http_library_and_no_extra() -> None:
    program = (
        "import sys, nomyo\n"
        "heavy = {'httpx', 'aiohttp', 'starlette', 'uvicorn', 'typer', 'rich', 'prompt_toolkit', 'openai', 'pydantic',"
        " 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert output_of(program) == "[]\n"
