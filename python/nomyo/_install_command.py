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

    The command holds no credentials: an address that has some, or a query or a fragment, which may have some, is left
    out of it.
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
    except (OSError, ValueError, RecursionError):
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
    address = None if path is not None else _address(origin)
    return False, same if address is None else f"nomyo[{extra}] @ {address}"


def _path(origin: dict[str, Any]) -> Path | None:
    url = origin.get("url")
    if not isinstance(url, str) or not url.startswith("file://"):
        return None
    from urllib.request import url2pathname

    try:
        return Path(url2pathname(urlsplit(url).path))
    except ValueError:  # a host that is none
        return None


def _address(origin: dict[str, Any]) -> str | None:
    """Return an address of the network for pip; None if it may have credentials, or if no installer writes it so."""
    url, folder = _with_commit(origin), origin.get("subdirectory", "")
    if url is None or not isinstance(folder, str) or not f"{url}{folder}".isprintable():
        return None
    return f"{url}#subdirectory={folder}" if folder else url


def _with_commit(origin: dict[str, Any]) -> str | None:
    url, repository = origin.get("url"), origin.get("vcs_info")
    if not isinstance(url, str) or set(url) & set("@?#"):
        return None
    try:
        if not urlsplit(url).netloc:
            return None
    except ValueError:
        return None
    if repository is None:
        return url
    words = [repository.get(name) for name in ("vcs", "commit_id")] if isinstance(repository, dict) else [None]
    return f"{words[0]}+{url}@{words[1]}" if all(isinstance(word, str) for word in words) else None


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
        return ["uv", "pip", "install", "--python", sys.executable or "python", *editable]
    return [*_pip(), "install", *editable]


def _pip() -> list[str]:
    """Return `pip` if that is the pip of this interpreter, as it is in an activated environment."""
    from shutil import which

    if not sys.executable:  # a program that has Python inside
        return ["pip"]
    beside = which("pip", path=str(Path(sys.executable).parent))
    is_first = beside is not None and which("pip") == beside
    return ["pip"] if is_first else [sys.executable, "-m", "pip"]
