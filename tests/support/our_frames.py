"""The frames of a traceback whose code is the package's, wherever the repository lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

import nomyo

_PACKAGE = str(Path(nomyo.__file__).parent)


def our_frames(trace: TracebackType | None) -> Iterator[FrameType]:
    """Yield the package's frames, the caller's first."""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            yield trace.tb_frame
        trace = trace.tb_next
