"""`nomyo doctor --self` in words: what was found about this copy of nomyo, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from nomyo import __version__
from nomyo._plurals import counted
from nomyo.cli.doctor.installation import Installation
from nomyo.cli.doctor.record import Files
from nomyo.cli.doctor.shadows import PthFile, Shadow

_KINDS: Final = {
    "installed": ("installed", ""),
    "editable": ("an editable installation", ": RECORD lists no file of the checkout; `git status` tells what changed"),
    "source": ("source that nothing installed", ": there is no RECORD of its files"),
}


def lines(found: Installation) -> Iterator[str]:
    """Yield the lines for people."""
    by = f" by {found.installer}" if found.installer else ""
    origin = f" from {found.origin}" if found.origin else ""
    yield _line("nomyo", f"{found.version or __version__} in {found.package}")
    kind, remark = _KINDS[found.kind]
    yield _line("", f"{kind}{by}{origin}{remark}")
    for other in found.others:
        yield _line("", f"another installation in the search path: {other}")
    yield from _core(found)
    yield from _files(found.files)
    yield from _bytecode(found.altered_bytecode)
    yield from _shadows(found.shadows)
    yield from _pth_files(found.stray_pth_files)
    for name, path in found.start_modules.items():
        yield _line("at start", f"{path} runs at each start of Python ({name})")
    yield ""
    yield from _verdict(found)


def _line(name: str, text: str) -> str:
    return f"{name:14} {text}"


def _core(found: Installation) -> Iterator[str]:
    core = found.core
    yield _line("core", f"{core['version']}, {core['crypto']}, for {core['target']}")
    commit = core["commit"] or "unknown (a build of a developer, or from the source distribution)"
    changed = ", with changed files" if core["dirty"] else ""
    yield _line("", f"commit {commit}{changed}{_built(core)}")
    flags = f", flags {core['flags']}" if core["flags"] else ""
    debug = ", with debug information" if core["debug"] else ""
    yield _line("", f"{core['rustc']}, profile {core['profile']}, optimisation {core['opt_level']}{debug}{flags}")
    yield _line("", found.core_path)


def _built(core: dict[str, Any]) -> str:
    if core["built_at"] is None:
        return ""
    return f", source of {datetime.fromtimestamp(core['built_at'], UTC):%Y-%m-%d %H:%M} UTC"


def _files(files: Files | None) -> Iterator[str]:
    if files is None:
        return
    if files.record_failure:
        yield _line("files", f"NOT COMPARED, RECORD cannot be used: {files.record_failure}")
        return
    yield _line("files", f"{files.matching} of {counted(files.listed, 'file')} in RECORD are as installed")
    if files.without_hash:
        unjudged = counted(len(files.without_hash), "file")
        yield _line("", f"{unjudged} without a hash in RECORD: only their presence was checked")
    found = (("ALTERED", files.altered), ("MISSING", files.missing), ("UNREADABLE", files.unreadable))
    for word, paths in found:
        yield from (_line("", f"{word} {path}") for path in paths)
    yield from (_line("", f"not where RECORD says: {path}") for path in files.elsewhere)
    for extra in files.extra:
        instead = f", which is imported in the place of {extra.in_place_of}" if extra.in_place_of else ""
        yield _line("", f"NOT IN RECORD {extra.path}{instead}")


def _bytecode(paths: tuple[str, ...]) -> Iterator[str]:
    for number, path in enumerate(paths):
        yield _line("" if number else "byte code", f"ALTERED {path} is not what its source says")


def _shadows(shadows: tuple[Shadow, ...]) -> Iterator[str]:
    for number, shadow in enumerate(shadows):
        state = "RUNS" if shadow.is_loaded else "would be imported"
        hidden = f"of {shadow.hides}" if shadow.hides else f"of Python's own {shadow.module}"
        yield _line("" if number else "shadows", f"{shadow.path} {state} in the place {hidden}")
    if not shadows:
        yield _line("shadows", "no module stands in the place of nomyo or of the standard library")


def _pth_files(files: tuple[PthFile, ...]) -> Iterator[str]:
    for number, file in enumerate(files):
        does = ["runs code at each start of Python"] if file.runs_code else []
        does += [f"adds {name}" for name in file.directories]
        what = f"{file.path}, which no package lists, {' and '.join(does) or 'is empty'}"
        yield _line("" if number else ".pth files", what)
    if not files:
        yield _line(".pth files", "each belongs to an installed package")


def _verdict(found: Installation) -> Iterator[str]:
    if found.files and found.files.record_failure and replace(found, files=None).is_sound:
        yield "The files of this copy could not be compared. To know that they are as published, install it again:"
        yield "  from a file or an index that you trust"
        return
    if not found.is_sound:
        yield "This copy is not what was installed. If you did not change it, find out who did, then install it again:"
        yield "  into a new environment, from a file or an index that you trust"
        return
    if found.files is None or found.kind != "installed":
        yield "Nothing was found to be wrong. The files of this copy were not compared, because no RECORD lists them."
        return
    if found.files.without_hash:
        yield "Nothing was found to be wrong. Files without a hash in RECORD were not compared."
        return
    yield "Every file is as it was installed. RECORD lies beside the files: whoever can write both can make them match."
