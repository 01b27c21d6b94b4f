"""Reads server-sent events."""

from __future__ import annotations

import json
from typing import Any


def events_in(body: bytes) -> list[tuple[str | None, Any]]:
    """Return the events of a stream: the name of each, and its data."""
    events = []
    for text in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in text.splitlines())
        if fields:
            events.append((fields.get("event"), json.loads(fields["data"])))
    return events
