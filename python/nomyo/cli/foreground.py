"""Whether this process is in the foreground of its terminal: a background job would write over what others draw there.

A job may be moved between the two at any time (`fg`, `bg`), so each drawing asks anew (tcgetpgrp(3)).
"""

from __future__ import annotations

import os
from contextlib import suppress


def is_own_terminal(descriptor: int) -> bool:
    """Return whether a terminal controls this process. One of another session has no foreground for us."""
    if not hasattr(os, "tcgetpgrp"):  # Windows: no jobs
        return True
    with suppress(OSError):
        os.tcgetpgrp(descriptor)
        return True
    return False


def in_foreground(descriptor: int) -> bool:
    """Return whether this process may draw on a terminal now."""
    if not hasattr(os, "tcgetpgrp"):  # Windows: no jobs
        return True
    with suppress(OSError):
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False
