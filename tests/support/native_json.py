"""JSON to and from the arena, beside Python's own `json`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from nomyo import _core
from support.by_hand import Owner

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | UNICODE
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(UNICODE, inner, max_size=5),
    max_leaves=30,
)
PAYLOADS = st.dictionaries(UNICODE, VALUES, min_size=1, max_size=5)


class Json:
    """Writes and reads JSON by way of packages, whose other half is `cryptography`."""

    def __init__(self, key: _core.PrivateKey) -> None:
        self.key = key
        self.public_key = key.public_key
        self.owner = Owner(key)

    def write(self, payload: Any, **options: Any) -> str:
        return self.owner.open(_core.seal(payload, self.public_key, **options)).decode()

    def read(self, plaintext: str | bytes, *types: type[dict[str, Any]]) -> Any:
        encoded = plaintext.encode() if isinstance(plaintext, str) else plaintext
        return _core.open_package(self.owner.seal(encoded), self.key, *types)[0]


def dumps(payload: Any) -> str:
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def same(left: Any, right: Any) -> bool:
    """Equal in every bit and type: -0.0 is not 0.0, True is not 1."""
    return repr(left) == repr(right)


def nested(levels: int) -> Any:
    value: Any = "innermost"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value
