"""The API key and the keys' password: each node's own, never an argument.

What an actor is made with is pickled, kept by Ray's control service and object store as long as the actor may be
restarted, and shown by its dashboard. So are environment variables that a `runtime_env` sets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import ray

from nomyo.exchange.discreet import discreet
from nomyo.memory import SecureBuffer
from nomyo.terminal.password import from_file

_KEY_VARIABLE: Final = "NOMYO_API_KEY"
_PASSWORDS: Final = ("key_rotation_password", "key_password", "password")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that would carry a secret through Ray, or a connection that cannot be carried.

    Raises:
        TypeError: There is one.
    """
    if "api_key" in options:
        raise TypeError(
            f"api_key cannot be an argument: Ray would store it. Set {_KEY_VARIABLE} where each node's Ray is started,"
            " or give api_key_file, a path on each node"
        )
    for name in _PASSWORDS:
        if name in options:
            raise TypeError(
                f"{name} cannot be an argument: Ray would store it. Give key_password_file, a path on each node"
            )
    if "http_client" in options:
        raise TypeError(
            "http_client cannot be an argument: it belongs to one process, and each actor has a client of its own"
        )


@discreet
def with_secrets(
    options: Mapping[str, Any],
    api_key_file: str | os.PathLike[str] | None,
    key_password_file: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Return a client's options with what this node alone knows.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is empty, or the key came by a `runtime_env`.
    """
    _check_runtime_env()
    known: dict[str, Any] = {}
    if api_key_file is not None:
        known["api_key"] = _text_of(from_file(Path(api_key_file)))
    if key_password_file is not None:
        known["key_rotation_password"] = from_file(Path(key_password_file))
    return {**options, **known}


def _text_of(content: SecureBuffer) -> str:
    with content, content.data as view:
        return bytes(view).decode()


def _check_runtime_env() -> None:
    if not ray.is_initialized():
        return
    if _KEY_VARIABLE in (ray.get_runtime_context().runtime_env.get("env_vars") or {}):
        raise ValueError(
            f"{_KEY_VARIABLE} must not come by runtime_env, which Ray stores and shows: set it where each node's Ray is"
            " started, or give api_key_file"
        )
