"""Clients that judge the key of a router whose key somebody replaces, and what they noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nomyo import _core
from nomyo.trust.key_log import KeyRecord, records
from nomyo.trust.known_routers import KnownRouters
from support.faults import FaultyRouter
from support.twins import Twin

HELLO: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]


def replace_key(router: FaultyRouter, key: _core.PublicKey) -> None:
    router.change = lambda _: key.pem.encode()


def ask(twin: Twin, url: str, **options: Any) -> str:
    """Send one request with a client of its own."""
    answer = twin.call(twin.chat(url, **options).create, model="m", messages=HELLO)
    return str(answer.choices[0].message.content)


def judged(path: Path) -> list[str]:
    """Return how each key of the log was judged."""
    found = [record for _, record, _ in records(KnownRouters(path).log)]
    return [str(record.judged) for record in found if isinstance(record, KeyRecord)]
