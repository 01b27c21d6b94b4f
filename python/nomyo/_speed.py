"""What the extra `speed` brings, if it is installed: uvloop's event loop, and aiofastnet's TLS.

Rules:

- uvloop (winloop on Windows) runs our own commands alone. The loop of a program that uses our clients is its own, and
  is never patched.
- aiofastnet makes the TLS connections of our async clients in any loop, by its function `create_connection`. OpenSSL,
  the certificates and their checks are those of Python's `ssl`, as without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")

LOOP: Final = "winloop" if sys.platform == "win32" else "uvloop"
TLS: Final = "aiofastnet"


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Do what `asyncio.run` does, in the fastest loop that there is: for commands of ours."""
    import asyncio  # `nomyo doctor`, which reports what is there, needs none

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def installed() -> dict[str, str | None]:
    """Return by which library our commands run their loop, and our async clients TLS; None for Python's own.

    Neither is imported for that: a library that is there but does not work counts as installed.
    """
    return {"loop": _if_there(LOOP), "tls": _if_there(TLS)}


def _if_there(library: str) -> str | None:
    return None if find_spec(library) is None else library


def loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """Return what makes the event loop of a command of ours; None for asyncio's own."""
    made_by = _attribute_of(LOOP, "new_event_loop")
    factory: Callable[[], AbstractEventLoop] | None = made_by
    return factory


def tls_connector() -> Callable[..., Any] | None:
    """Return aiofastnet's `create_connection`, which takes the loop first; None if it is missing or cannot work."""
    connector: Callable[..., Any] | None = _attribute_of(TLS, "create_connection")
    if connector is None or not _has_temporary_directory():
        return None
    import_module("encodings.ascii")  # as its first connection would, where a fork could interrupt it
    return connector


def _has_temporary_directory() -> bool:
    """Return whether there is a directory for temporary files.

    aiofastnet decodes the certificate of each connection by way of one (`_decode_certificate` of its 1.2). If it cannot
    make the file, the handshake neither ends nor fails, and the connection waits for its timeout.
    """
    import tempfile  # aiohttp, whose connections these are, has imported it

    try:
        tempfile.gettempdir()
    except OSError:
        return False
    return True


def _attribute_of(library: str, name: str) -> Any:
    """Return an attribute of a library; None if the library is missing or does not work here."""
    try:
        return getattr(import_module(library), name)
    except (ImportError, AttributeError, OSError):
        return None
