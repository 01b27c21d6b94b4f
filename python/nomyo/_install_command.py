"""The command that adds an extra to this copy of nomyo, in the way in which the copy was installed.

An installer leaves its name in INSTALLER, and `direct_url.json` if the package came from a file, a directory or a
repository (PEP 610). pipx and `uv tool` leave a file at the root of the environment that they made for the program.

All modules that need an extra import this one, so what is slow to import waits until an extra is missing.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_PIPX: Final = "pipx_metadata.json"
_UV_TOOL: Final = "uv-receipt.toml"


def install_command(extra: str) -> str:
    """Return the command for a shell that installs this copy again, with an extra.

    The command holds no credentials: an address that has some, or a query, which may have some, is left out of it.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution("nomyo")
    except PackageNotFoundError:  # the source is on the path, and nothing is installed
        return f"pip install {quoted(f'nomyo[{extra}]')}"
    is_editable, requirement = _requirement(found, extra)
    words = [*_installer(found, is_editable=is_editable), requirement]
    return " ".join(map(quoted, words))


def direct_url(found: Distribution) -> dict[str, Any]:
    """Return where a package was installed from (PEP 610); empty for an index, or if that cannot be read."""
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except (OSError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}


def editable_path(found: Distribution) -> Path | None:
    """Return the checkout of an editable installation; None for any other."""
    origin = direct_url(found)
    information = origin.get("dir_info")
    is_editable = isinstance(information, dict) and information.get("editable") is True
    return _path(origin) if is_editable else None


def installer_name(found: Distribution) -> str:
    """Return what installed a package (`pip`, `uv`, ...); empty if it did not say."""
    try:
        return (found.read_text("INSTALLER") or "").strip()
    except (OSError, ValueError):
        return ""


def quoted(word: str) -> str:
    """Return a word as the shell of this system takes it."""
    if os.name != "nt":
        return shlex.quote(word)
    return f'"{word}"' if set(word) & set(" []&()^@") else word


def _requirement(found: Distribution, extra: str) -> tuple[bool, str]:
    """Return whether this copy is editable, and what to install."""
    origin = direct_url(found)
    path = _path(origin)
    if path is not None and path.exists():
        return editable_path(found) is not None, f"{path}[{extra}]"
    # The same version, so that what is installed stays. Without it, an index could offer another one.
    same = f"nomyo[{extra}]=={found.version}" if origin else f"nomyo[{extra}]"
    url = origin.get("url")
    if path is not None or not isinstance(url, str) or "@" in urlsplit(url).netloc or urlsplit(url).query:
        return False, same
    return False, f"nomyo[{extra}] @ {_with_commit(origin, url)}"


def _path(origin: dict[str, Any]) -> Path | None:
    url = origin.get("url")
    if not isinstance(url, str) or not url.startswith("file://"):
        return None
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path))


def _with_commit(origin: dict[str, Any], url: str) -> str:
    repository = origin.get("vcs_info")
    if isinstance(repository, dict):
        url = f"{repository.get('vcs')}+{url}@{repository.get('commit_id')}"
    return f"{url}#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else url


def _installer(found: Distribution, *, is_editable: bool) -> list[str]:
    environment = Path(sys.prefix)
    editable = ["--editable"] if is_editable else []
    if (environment / _PIPX).exists():  # an environment is named for its program
        own = environment.name == "nomyo"
        return ["pipx", "install", "--force", *editable] if own else ["pipx", "inject", "--force", environment.name]
    if (environment / _UV_TOOL).exists():
        own = environment.name == "nomyo"
        return ["uv", "tool", "install", *(["--force", *editable] if own else [environment.name, "--with"])]
    if installer_name(found) == "uv":  # its environments have no pip
        return ["uv", "pip", "install", "--python", sys.executable, *editable]
    return [*_pip(), "install", *editable]


def _pip() -> list[str]:
    """Return `pip` if that is the pip of this interpreter, as it is in an activated environment."""
    from shutil import which

    beside = which("pip", path=str(Path(sys.executable).parent))
    is_first = beside is not None and which("pip") == beside
    return ["pip"] if is_first else [sys.executable, "-m", "pip"]
