"""How many examples Hypothesis makes: in the suite a fifth of those in `make soak`."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

_SOAKING: Final = "NOMYO_SOAK_EXAMPLES" in os.environ


def examples(most: int) -> settings:
    """Return the settings of a test with as many examples in `make soak`."""
    return settings(max_examples=most if _SOAKING else most // 5)
