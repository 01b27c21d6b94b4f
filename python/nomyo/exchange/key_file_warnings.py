"""What the user is warned of after key files were read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from .. import _core

_ADVICE: Final = (
    "set its mode to 0600 (a directory's to 0700)"
    if os.name == "posix"
    else "let your user alone in (icacls with /inheritance:r and /grant:r)"
)


def warnings_of(condition: _core.KeyFilesCondition, place: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a warning for each weakness of key files.

    Args:
        condition: What the core found.
        place: The directory of the files, or one of them.
    """
    for path in condition.too_open:
        yield f"{path} can be read or changed by others: {_ADVICE}"
    if condition.lockless:
        yield (
            f"{os.fspath(place)}: its file system has no locks, so nothing keeps a second process from replacing the"
            " key pair at once"
        )
