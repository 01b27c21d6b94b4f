"""The API key and the password of key files: each node has its own, and neither is ever an argument.

Ray pickles an actor's arguments, keeps them in its control service and object store as long as the actor may be
restarted, and shows them in its dashboard. It does the same with environment variables that a `runtime_env` sets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import ray

from nomyo.exchange.passwords import from_file
from nomyo.exchange.tracebacks import clears_traceback
from nomyo.memory import SecureBuffer

REFUSED: Final = ("api_key", "key_rotation_password", "http_client")
"""Options of a client that no actor takes as arguments."""
_KEY_VARIABLE: Final = "NOMYO_API_KEY"
_PASSWORDS: Final = ("key_rotation_password", "key_password", "password")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that would carry a secret through Ray, and an `http_client`, which cannot be pickled.

    Raises:
        TypeError: `options` has one of them.
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


@clears_traceback
def with_secrets(
    options: Mapping[str, Any],
    api_key_file: str | os.PathLike[str] | None,
    key_password_file: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Return a client's options together with this node's secrets.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is empty, the key is not UTF-8, or `NOMYO_API_KEY` came by a `runtime_env`.
    """
    _check_runtime_env()
    known: dict[str, Any] = {}
    if api_key_file is not None:
        known["api_key"] = _text_of(from_file(Path(api_key_file)))
    if key_password_file is not None:
        known["key_rotation_password"] = from_file(Path(key_password_file))
    return {**options, **known}


def _text_of(content: SecureBuffer) -> str:
    with content, content.data as view, suppress(UnicodeDecodeError):  # whose object is the key
        return str(view, "utf-8")
    raise ValueError("the content of api_key_file is not UTF-8")


def _check_runtime_env() -> None:
    if not ray.is_initialized():
        return
    if _KEY_VARIABLE in (ray.get_runtime_context().runtime_env.get("env_vars") or {}):
        raise ValueError(
            f"{_KEY_VARIABLE} must not come by runtime_env, which Ray stores and shows: set it where each node's Ray is"
            " started, or give api_key_file"
        )
