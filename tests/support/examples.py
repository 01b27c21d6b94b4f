"""How many examples Hypothesis makes: in the suite a fifth of those in `make soak`, in `make fuzz` many times more."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

_TIMES: Final = int(os.environ.get("NOMYO_SOAK_EXAMPLES", "0"))


def examples(most: int) -> settings:
    """Return the settings of a test with `most` examples in `make soak`; NOMYO_SOAK_EXAMPLES multiplies them."""
    return settings(max_examples=most * _TIMES if _TIMES else most // 5)
