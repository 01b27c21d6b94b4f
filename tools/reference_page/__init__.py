"""Makes docs/reference.md of the package's docstrings and signatures, and of its commands.

griffe reads the docstrings and signatures; typer knows the commands. The page is committed, so that it can be read
where the source is read. `make reference-page` writes it, and tests/project/test_reference_page.py compares it with a
fresh one.

Modules, from the ground up; each imports only from those above it:

    markdown  headings, tables, links
    source    reads the package
    api       classes, functions, errors
    commands  the commands and their options
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import griffe

from reference_page.api import Api, Entry, is_brief, levels, methods, prose_of
from reference_page.commands import commands
from reference_page.markdown import Links, anchor, blocks, code, table
from reference_page.source import exports, load, thing

MODULES = (
    "nomyo",
    "nomyo.parameters",
    "nomyo.openai",
    "nomyo.anthropic",
    "nomyo.transports",
    "nomyo.batch",
    "nomyo.batch.ray",
    "nomyo.serve.router",
)
_HEAD = """\
# Reference

All public classes, functions and errors, in the order of each module's `__all__`, and all commands with their options.
The [variables of the environment](environment.md) have a page of their own.

`make reference-page` writes this page from docstrings, signatures and the help of commands: change those, not this
page."""
_ERRORS = "All errors"
_COMMANDS = "Commands"


def page() -> str:
    """Return the whole page."""
    package = load()
    found = {name: list(_entries(package, _module(package, name))) for name in MODULES}
    links = _links(found)
    api = Api(package, links)
    parts = [_HEAD, _contents(found, links), f"## {_ERRORS}", _errors(package, links)]
    for name, entries in found.items():
        parts += [f"## {name}", links.prose(_introduction(_module(package, name)), name)]
        for entry in entries:
            level = "####" if entry.owner else "###"
            parts += [f"{level} {_heading(name, entry)}", api.entry(entry)]
    parts.append(f"## {_COMMANDS}")
    for name, text in commands():
        parts += [f"### {name}", text]
    return blocks(*parts) + "\n"


def _module(package: griffe.Module, name: str) -> griffe.Module:
    found = package if name == package.name else package[name.removeprefix(f"{package.name}.")]
    assert isinstance(found, griffe.Module)
    return found


def _entries(package: griffe.Module, source: griffe.Module) -> Iterator[Entry]:
    known = set(exports(source))
    for name in exports(source):
        found = thing(source, name)
        if isinstance(found, griffe.Module):
            continue  # has a part of its own
        yield Entry(name, found)
        if isinstance(found, griffe.Class):
            for method, function in methods(found):
                if not is_brief(function):
                    yield Entry(f"{name}.{method}", function, name)
            yield from (Entry(level.name, level, name) for level in levels(found, package, known))


def _heading(module: str, entry: Entry) -> str:
    return entry.name if module == "nomyo" else f"{module}.{entry.name}"


def _links(found: dict[str, list[Entry]]) -> Links:
    """Return the links to all headings. A short name of which there are several is none."""
    times = Counter(entry.name for entries in found.values() for entry in entries)
    headings: dict[str, str | None] = {name: anchor(name) for name in MODULES}
    for module, entries in found.items():
        for entry in entries:
            target = anchor(_heading(module, entry))
            headings[f"{module}.{entry.name}"] = target
            if times[entry.name] == 1:
                headings[entry.name] = target
    return Links(headings)


def _contents(found: dict[str, list[Entry]], links: Links) -> str:
    lines = [f"- [{_ERRORS}](#{anchor(_ERRORS)}): what can be raised, with attributes"]
    for module, entries in found.items():
        names = ", ".join(links.to(f"{module}.{entry.name}", entry.name) for entry in entries if not entry.owner)
        lines.append(f"- [{module}](#{anchor(module)}): {names}")
    names = ", ".join(f"[`{name}`](#{anchor(name)})" for name, _ in commands())
    return "\n".join([*lines, f"- [{_COMMANDS}](#{anchor(_COMMANDS)}): {names}"])


def _introduction(module: griffe.Module) -> str:
    """Return a module's docstring as far as it speaks to users."""
    return prose_of(module).partition("Modules, from the ground up")[0]


def _errors(package: griffe.Module, links: Links) -> str:
    rows = []
    for name in exports(package):
        cls = thing(package, name)
        if isinstance(cls, griffe.Class) and cls.module.name == "errors":
            bases = ", ".join(links.to(str(base)) for base in cls.bases)
            rows.append((links.to(name), bases, _status(cls), _own_attributes(cls), prose_of(cls).split("\n\n")[0]))
    return table(("error", "is a", "HTTP status", "attributes of its own", "when"), rows)


def _status(cls: griffe.Class) -> str:
    status = cls.members.get("_status")
    value = str(status.value) if isinstance(status, griffe.Attribute) else ""
    return "" if value == "None" else value


def _own_attributes(cls: griffe.Class) -> str:
    names = [name for name, each in cls.members.items() if isinstance(each, griffe.Attribute) and name[0] != "_"]
    return ", ".join(map(code, names))
