"""Examines this copy of nomyo: its origin, whether its files are as installed, and what its core was built of."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import nomyo
from nomyo import _core
from nomyo._install_command import direct_url, editable_path, installer_name
from nomyo.cli.doctor import bytecode, record, shadows
from nomyo.cli.doctor.record import Files
from nomyo.cli.doctor.shadows import PthFile, Shadow

Kind: TypeAlias = Literal["installed", "editable", "source"]

PACKAGE: Final = Path(nomyo.__file__).parent


@dataclass(frozen=True, slots=True)
class Installation:
    """All facts about this copy."""

    kind: Kind
    """"editable": the files of a checkout run, and nothing lists them; "source": nothing was installed at all."""
    package: str
    """The directory that runs."""
    installer: str | None
    origin: str | None
    """The file or directory that it was installed from; None for an index and for addresses of the network."""
    version: str | None
    """That of the installed package; None without one."""
    others: tuple[str, ...]
    """Further installations in the search path, which do not count."""
    files: Files | None
    altered_bytecode: tuple[str, ...]
    shadows: tuple[Shadow, ...]
    stray_pth_files: tuple[PthFile, ...]
    start_modules: dict[str, str]
    core: dict[str, Any]
    """Of what the core was built, and how."""
    core_path: str

    @property
    def is_sound(self) -> bool:
        """Whether what runs is what was installed, as far as RECORD and the search path tell."""
        differ = self.files is not None and self.files.differ
        return not (differ or self.altered_bytecode or any(shadow.is_loaded for shadow in self.shadows))


def examine(package: Path = PACKAGE) -> Installation:
    """Examine the copy of nomyo in a directory.

    Args:
        package: The directory of the package, which stands in `sys.path`.
    """
    found = _installed()
    own = next((one for one in found if _directory(one, package).resolve() == package.resolve()), None)
    # If another copy runs than the one that was installed, no RECORD lists it.
    expected = _directory(found[0], package) if own is None and found else package
    return Installation(
        kind="source" if own is None else "editable" if editable_path(own) is not None else "installed",
        package=str(package),
        installer=None if own is None else installer_name(own) or None,
        origin=None if own is None else _origin(own),
        version=None if own is None else own.version,
        others=tuple(str(_directory(one, package)) for one in found if one is not own),
        files=None if own is None else _files(own, package),
        altered_bytecode=tuple(map(str, bytecode.altered(package))),
        shadows=tuple(shadows.shadows(expected, sys.path)),
        stray_pth_files=tuple(shadows.stray_pth_files()),
        start_modules=shadows.start_modules(),
        core=_core.build_info(),
        core_path=str(_core.__file__),
    )


def as_json(found: Installation) -> dict[str, object]:
    """Return the facts as values for JSON."""
    return {"is_sound": found.is_sound, **asdict(found)}


def _installed() -> list[Distribution]:
    """Return all installations of nomyo in the search path, the one of the version that runs first."""
    found: dict[tuple[str, str], Distribution] = {}
    for one in distributions(name="nomyo"):
        # A directory may stand in the search path twice, and hold what is left of another version.
        found.setdefault((os.path.realpath(str(one.locate_file(""))), one.version), one)
    return sorted(found.values(), key=lambda one: one.version != nomyo.__version__)


def _directory(one: Distribution, package: Path) -> Path:
    """Return the directory of the package that an installation brought; of a checkout, it is the one that runs."""
    checkout = editable_path(one)
    if checkout is None:
        return Path(str(one.locate_file("nomyo")))
    return package if package.resolve().is_relative_to(checkout.resolve()) else checkout


def _files(own: Distribution, package: Path) -> Files:
    return record.compare(own, package=package.name if editable_path(own) is None else None)


def _origin(own: Distribution) -> str | None:
    url = direct_url(own).get("url")
    # What came over the network may have credentials in its address.
    return url if isinstance(url, str) and url.startswith("file:") else None
