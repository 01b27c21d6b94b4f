"""Compares the byte code that Python has cached with the source that it was made of.

Python runs the cached code, and compares no more than the time and the size of its source (PEP 552). RECORD has no hash
of it. So the source is compiled again here, and the two must be equal.
"""

from __future__ import annotations

import importlib.util
import marshal
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Final

_HEADER_BYTES: Final = 16
_IS_HASHED: Final = 0b01
_CHECKS_SOURCE: Final = 0b10


def altered(package: Path) -> Iterator[Path]:
    """Yield each cached file below a directory that this Python would run, and that is not what its source says."""
    for source in sorted(package.rglob("*.py")):
        cached = Path(importlib.util.cache_from_source(str(source)))
        try:
            text, data = source.read_bytes(), cached.read_bytes()
            is_run = _is_run(source, text, data)
        except OSError:  # no cache, or one that Python cannot read either
            continue
        if is_run and not _is_equal(source, text, data):
            yield cached


def _is_run(source: Path, text: bytes, data: bytes) -> bool:
    """Say whether Python takes a cached file (importlib's `_bootstrap_external`, `SourceLoader.get_code`)."""
    if data[:4] != importlib.util.MAGIC_NUMBER or len(data) < _HEADER_BYTES:
        return False
    flags = int.from_bytes(data[4:8], "little")
    if flags & _IS_HASHED:
        return not flags & _CHECKS_SOURCE or data[8:16] == importlib.util.source_hash(text)
    status = source.stat()
    written = int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little")
    return written == (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)


def _is_equal(source: Path, text: bytes, data: bytes) -> bool:
    # Other options than those of this interpreter (-O) have a cache of another name.
    compiled = compile(text, str(source), "exec", dont_inherit=True)
    try:
        cached = marshal.loads(data[_HEADER_BYTES:])  # noqa: S302 - Python has loaded the same bytes at the import
    except (EOFError, ValueError, TypeError):
        return False
    return isinstance(cached, CodeType) and cached == compiled
