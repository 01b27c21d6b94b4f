"""The counts of tokens of a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._counts import count, total


def usage_of(given: Any) -> dict[str, Any] | None:
    """Return the usage of a completion as a response has it; None if the router gave none, or nothing that counts."""
    fields = given if isinstance(given, Mapping) else {}
    read, written = count(fields.get("prompt_tokens")), count(fields.get("completion_tokens"))
    if read is None and written is None:
        return None
    both = count(fields.get("total_tokens"))
    return {
        "input_tokens": read or 0,
        "input_tokens_details": _details(fields.get("prompt_tokens_details"), "cached_tokens", "cache_write_tokens"),
        "output_tokens": written or 0,
        "output_tokens_details": _details(fields.get("completion_tokens_details"), "reasoning_tokens"),
        "total_tokens": total(read, written) if both is None else both,
    }


def _details(given: Any, *names: str) -> dict[str, int]:
    fields = given if isinstance(given, Mapping) else {}
    return {name: count(fields.get(name)) or 0 for name in names}
