"""A value for each event loop, which goes when the loop or its owner does.

A dictionary by loop would keep each loop that a program dropped without closing it, and all sockets of its connections.
Weak keys are not enough, because the values refer to their loop. So each loop itself holds its values, in an attribute,
and the garbage collector can collect both together.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet

T = TypeVar("T")

_ATTRIBUTE = "_nomyo_loop_local"


class LoopLocal(Generic[T]):
    """Holds one value for each event loop, as `threading.local` does for each thread."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lock = threading.Lock()
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        # For loops that take no attributes (loops written in C may not): kept until they are closed.
        self._kept: dict[asyncio.AbstractEventLoop, T] = {}
        # Of the last `get`: nearly all programs have one loop, and each request asks several times.
        self._latest: tuple[weakref.ref[asyncio.AbstractEventLoop], weakref.ref[T]] | None = None

    def get(self) -> T | None:
        """Return the value of the running loop; None if it has none."""
        loop = asyncio.get_running_loop()
        latest = self._latest
        if latest is not None and latest[0]() is loop and (value := latest[1]()) is not None:
            return value
        found = self._value_of(loop)
        if found is not None:
            self._latest = weakref.ref(loop), weakref.ref(found)
        return found

    def put(self, value: T) -> None:
        """Hold a value for the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._latest = None
            self._kept = {each: kept for each, kept in self._kept.items() if not each.is_closed()}
            self._loops.add(loop)
            self._hold(loop, value)

    def take_all(self) -> list[T]:
        """Return the values of all loops, and hold them no longer."""
        with self._lock:
            loops = list(self._loops)
            values = [self._value_of(loop) for loop in loops]
            for loop in loops:
                self._values_in(loop).pop(self, None)
            self._latest = None
            self._kept.clear()
            self._loops.clear()
        return [value for value in values if value is not None]

    def forget_lock(self) -> None:
        """Take a new lock, in a forked child: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def _value_of(self, loop: asyncio.AbstractEventLoop) -> T | None:
        return self._values_in(loop).get(self) or self._kept.get(loop)

    def _hold(self, loop: asyncio.AbstractEventLoop, value: T) -> None:
        with suppress(AttributeError):
            if not hasattr(loop, _ATTRIBUTE):
                setattr(loop, _ATTRIBUTE, WeakKeyDictionary())
            self._values_in(loop)[self] = value
            return
        self._kept[loop] = value

    def _values_in(self, loop: asyncio.AbstractEventLoop) -> WeakKeyDictionary[LoopLocal[T], T]:
        """Return the values that a loop holds, by their owners; an empty dictionary if it holds none."""
        values: WeakKeyDictionary[LoopLocal[T], T] | None = getattr(loop, _ATTRIBUTE, None)
        return WeakKeyDictionary() if values is None else values
