"""Lets a forked child go of connections that belong to its parent."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Protocol


class Disowned(Protocol):
    """Holds connections that a forked child must let go of."""

    def disown(self) -> None:
        """Let go of everything, without closing any of it."""


LIVE: weakref.WeakSet[Disowned] = weakref.WeakSet()


def _disown_all() -> None:
    for http in list(LIVE):
        http.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


def keep_for_ever(thing: object) -> None:
    """Have an object outlive the interpreter: Python does not even collect it at exit."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
