"""Puts a README with absolute links into wheels and source distributions that are built.

maturin takes README.md as it stands, and a changed one would make the source differ from its commit. So the text is
changed afterwards, in the metadata that an index shows. Order, dates and modes of all entries stay as they are: the
same files and the same README give the same bytes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from release.project import UnfitError

Change = Callable[[str], str]


def change_readme(path: Path, change: Change) -> None:
    """Change the README in the metadata of a wheel or a source distribution, in place.

    Raises:
        UnfitError: It is neither, or has no such metadata.
    """
    kinds = {".whl": _wheel, ".tar.gz": _source}
    form = next((form for name, form in kinds.items() if path.name.endswith(name)), None)
    if form is None:
        raise UnfitError(f"{path.name} is neither a wheel nor a source distribution")
    try:
        written = form(path, change)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise UnfitError(f"{path.name} cannot be read: {error}") from None
    path.write_bytes(written)


def _changed(metadata: bytes, change: Change) -> bytes:
    """Return core metadata with another description, which is what stands behind the first blank line."""
    head, blank, description = metadata.decode("utf-8").partition("\n\n")
    if not blank or "Description-Content-Type: text/markdown" not in head:
        raise UnfitError("its metadata has no description in Markdown")
    return f"{head}{blank}{change(description)}".encode()


def _wheel(path: Path, change: Change) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(target, "w") as after:
        metadata = _one(path, [name for name in before.namelist() if name.endswith(".dist-info/METADATA")])
        record = metadata.replace("METADATA", "RECORD")
        text = _changed(before.read(metadata), change)
        for entry in before.infolist():
            content = before.read(entry)
            if entry.filename == metadata:
                content = text
            elif entry.filename == record:
                content = _recorded(content.decode("utf-8"), metadata, text).encode()
            after.writestr(entry, content, compress_type=entry.compress_type)
    return target.getvalue()


def _recorded(record: str, name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode("ascii").rstrip("=")
    line = f"{name},sha256={digest},{len(content)}"
    return "".join(
        line + old[len(old.rstrip("\r\n")) :] if old.startswith(f"{name},") else old
        for old in record.splitlines(keepends=True)
    )


def _source(path: Path, change: Change) -> bytes:
    target = io.BytesIO()
    packed = path.read_bytes()
    written = int.from_bytes(packed[4:8], "little")  # of gzip's header, RFC 1952
    with (
        tarfile.open(fileobj=io.BytesIO(packed)) as before,
        gzip.GzipFile("", "wb", fileobj=target, mtime=written) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        members = before.getmembers()
        metadata = _one(
            path, [one.name for one in members if one.name.count("/") == 1 and one.name.endswith("/PKG-INFO")]
        )
        for member in members:
            file = before.extractfile(member)
            content = b"" if file is None else file.read()
            if member.name == metadata:
                content = _changed(content, change)
                member.size = len(content)
            after.addfile(member, io.BytesIO(content) if member.isfile() else None)
    return target.getvalue()


def _one(path: Path, names: list[str]) -> str:
    if len(names) != 1:
        raise UnfitError(f"{path.name} has {len(names)} files of metadata in place of one")
    return names[0]
