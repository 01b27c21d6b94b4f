"""Takes out of a wheel what depends on the machine that built it.

Cargo names a crate of the workspace by its folder, and so does the list of crates (SBOM) that maturin writes. Maturin
gives entries the modes that the files have.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from wheels.source import Source

_EARLIEST = 315_532_800  # 1980, the first year that a ZIP file knows
_FOLDER = "file:///nomyo"


def rewrite(wheel: Path, to: Path, source: Source, change_module: Callable[[bytes], bytes] = bytes) -> Path:
    """Write `wheel` to the path `to`, with the same names in the same order; return `to`.

    Args:
        wheel: as maturin wrote it.
        to: another path.
        source: the clone that was built.
        change_module: takes the compiled module, and returns the one to write.
    """
    with zipfile.ZipFile(wheel) as old:
        contents = {name: old.read(name) for name in old.namelist() if not name.endswith("/")}
    for name, content in contents.items():
        if ".dist-info/sboms/" in name:
            contents[name] = _sbom(content, source)
        elif name.endswith(".so"):
            contents[name] = change_module(content)
    record = next(name for name in contents if name.endswith(".dist-info/RECORD"))
    contents[record] = _record(contents, record)
    date = time.gmtime(max(source.date, _EARLIEST))[:6]
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, date)
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = (0o100755 if name.endswith(".so") else 0o100644) << 16
            new.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return to


def _sbom(content: bytes, source: Source) -> bytes:
    """Replace what a generated list says of its machine and hour: folders, the date, and a number drawn at random."""
    moved = content.replace(source.folder.as_uri().encode(), _FOLDER.encode())
    listed = json.loads(moved)
    if "timestamp" not in listed["metadata"]:
        return moved
    listed["metadata"]["timestamp"] = datetime.fromtimestamp(source.date, UTC).isoformat()
    listed.pop("serialNumber", None)
    listed["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(listed)).urn
    return json.dumps(listed, indent=2).encode()


def _record(contents: dict[str, bytes], record: str) -> bytes:
    """Return the list of all files with their hashes (PyPA's "Recording installed projects")."""
    lines = [f"{name},{_hash(content)},{len(content)}" for name, content in contents.items() if name != record]
    return "".join(f"{line}\n" for line in [*lines, f"{record},,"]).encode()


def _hash(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
