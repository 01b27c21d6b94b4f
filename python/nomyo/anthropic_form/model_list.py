"""The list of models in Anthropic's form.

Source: https://docs.claude.com/en/api/models-list
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def model_object(name: str, created: int) -> dict[str, Any]:
    """Return a model.

    Args:
        name: Its name.
        created: Seconds since 1970.
    """
    since = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": name, "display_name": name, "created_at": since, "lifecycle": "active"}


def model_list(names: Sequence[str], created: int) -> dict[str, Any]:
    """Return models as the one page of a list; for the arguments see `model_object`."""
    models = [model_object(name, created) for name in names]
    first, last = (names[0], names[-1]) if names else (None, None)
    return {"data": models, "has_more": False, "first_id": first, "last_id": last}
