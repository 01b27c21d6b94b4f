"""Padmé as its paper prints it, with floating-point logarithms: the judge of the core's arithmetic on bits."""

from __future__ import annotations

import math


def padme(length: int) -> int:
    """Return the padded size of a length (Nikitin et al., PoPETs 2019, algorithm 1)."""
    if length < 2:
        return length
    exponent = math.floor(math.log2(length))
    kept_bits = math.floor(math.log2(exponent)) + 1 if exponent > 0 else 1
    mask = (1 << max(exponent - kept_bits, 0)) - 1
    return (length + mask) & ~mask
