"""The page's files, read once at the start, so that no request's path ever reaches the file system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DIRECTORY: Final = Path(__file__).parent / "page"
_INDEX: Final = "index.html"
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is served."""

    content: bytes
    media_type: str


def page_files() -> dict[str, PageFile]:
    """Return the page's files by the path under which they are served; `index.html` is `/`."""
    files = sorted(path for path in _DIRECTORY.iterdir() if path.suffix in _MEDIA_TYPES)
    return {
        "/" if path.name == _INDEX else f"/{path.name}": PageFile(path.read_bytes(), _MEDIA_TYPES[path.suffix])
        for path in files
    }
