"""Packages as an installer leaves them: files, and a `.dist-info` with their RECORD."""

from __future__ import annotations

import base64
import hashlib
import shutil
from importlib.metadata import PathDistribution
from pathlib import Path

import nomyo

VERSION = nomyo.__version__
RECORD = f"nomyo-{VERSION}.dist-info/RECORD"


def line_of(site: Path, path: str) -> str:
    """Return a file's line in RECORD."""
    digest = hashlib.sha256((site / path).read_bytes()).digest()
    return f"{path},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{(site / path).stat().st_size}"


def install(site: Path, *, version: str = VERSION) -> PathDistribution:
    """List all files that are in a directory of packages in the RECORD of nomyo."""
    record = site / f"nomyo-{version}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.4\nName: nomyo\nVersion: {version}\n")
    (record / "INSTALLER").write_text("pip\n")
    names = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*")) if path.is_file()]
    lines = [*(line_of(site, name) for name in names), f"{record.name}/RECORD,,"]
    (record / "RECORD").write_text("\n".join(lines) + "\n")
    return PathDistribution(record)


def copy_of_nomyo(site: Path) -> None:
    """Copy the package that runs, as if it had been installed into a directory of packages."""
    source = Path(nomyo.__file__).parent
    shutil.copytree(source, site / "nomyo", ignore=shutil.ignore_patterns("__pycache__"))
    install(site)
