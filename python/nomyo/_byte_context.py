"""`SecureByteContext`: locks and wipes the caller's own buffer, where it lies."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from ._core import PageLock, SecureBuffer

LockableT = TypeVar("LockableT", bound=bytearray | memoryview | SecureBuffer)
T = TypeVar("T")


class _Switch:
    """Whether `SecureByteContext` protects if its `use_secure` is None."""

    enabled = True


def protection_is_on() -> bool:
    """Return whether new `SecureByteContext`s protect if their `use_secure` is None."""
    return _Switch.enabled


def enable_secure_memory() -> None:
    """Let new `SecureByteContext`s lock and wipe again, unless `use_secure` says otherwise."""
    _Switch.enabled = True


def disable_secure_memory() -> None:
    """Let new `SecureByteContext`s neither lock nor wipe, unless `use_secure` says otherwise.

    Clients are not affected: the native core locks and wipes all the same.
    """
    _Switch.enabled = False


def _is_writable(buffer: object) -> bool:
    try:
        with memoryview(buffer) as view:  # type: ignore[arg-type]
            return not view.readonly
    except TypeError:  # not a buffer: a str, for example
        return False


class SecureByteContext(Generic[LockableT]):
    """Locks the caller's own buffer for a while, and wipes it on every way out.

    Args:
        buffer: A bytearray, writable memoryview or `SecureBuffer`. It is locked where it lies
            (whole pages, mlock(2)), and cannot change its size meanwhile.
        use_secure: Whether to lock and wipe. None means yes, unless `disable_secure_memory` was called.

    Raises:
        TypeError: The buffer is not writable.

    Copies that the program makes of the content are not protected.
    """

    def __init__(self, buffer: LockableT, use_secure: bool | None = None) -> None:
        """Check the buffer; nothing is locked before the context is entered."""
        if not _is_writable(buffer):
            kind = type(buffer).__name__
            raise TypeError(f"{kind} that is not writable cannot be wiped: use a bytearray or a SecureBuffer")
        self._buffer = buffer
        self._secure = _Switch.enabled if use_secure is None else use_secure
        self._page_lock: PageLock | None = None

    @property
    def locked(self) -> bool:
        """Whether the buffer's pages are locked now."""
        return self._page_lock is not None and self._page_lock.locked

    def __enter__(self) -> LockableT:
        """Lock the buffer and return it."""
        if self._page_lock is not None:
            raise RuntimeError("the context was entered already")
        if self._secure:
            self._page_lock = PageLock(self._buffer)
        return self._buffer

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Wipe the buffer and unlock it."""
        page_lock, self._page_lock = self._page_lock, None
        if page_lock is not None:
            page_lock.wipe()
            page_lock.release()

    @overload
    def use(self, function: Callable[[LockableT], Coroutine[Any, Any, T]], /) -> Coroutine[Any, Any, T]: ...
    @overload
    def use(self, function: Callable[[LockableT], T], /) -> T: ...
    def use(self, function: Callable[[LockableT], Any], /) -> Any:
        """Call a function with the protected buffer.

        Returns:
            The value of a plain function. For an async function, a coroutine of its value: the
            buffer is locked from here on, and wiped when the coroutine ends, is cancelled or is
            dropped without ever having run.

        Raises:
            TypeError: The function is a generator function.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a generator would read the buffer after it was wiped: use `with` inside it instead")
        data = self.__enter__()
        try:
            outcome = function(data)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        if inspect.isawaitable(outcome):
            return _Wiping(outcome, self)
        self.__exit__(None, None, None)
        return outcome


class _Wiping(Generator[Any, Any, T], Coroutine[Any, Any, T]):
    """Awaits another awaitable, and leaves a context when that ends.

    A coroutine function with `try ... finally` is not enough: a task that is cancelled before its
    first step never enters the function, and so never reaches the `finally`.
    """

    def __init__(self, work: Awaitable[T], context: SecureByteContext[Any]) -> None:
        self._work = work if isinstance(work, Coroutine) else _awaiting(work)
        self._context = context

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        return self._step(lambda: self._work.send(value))

    def throw(self, *error: Any) -> Any:
        return self._step(lambda: self._work.throw(*error))

    def close(self) -> None:
        self._step(self._work.close)
        self._leave()

    def __del__(self) -> None:
        self._leave()

    def _step(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except BaseException:  # StopIteration, which carries the value, among them
            self._leave()
            raise

    def _leave(self) -> None:
        self._context.__exit__(None, None, None)


async def _awaiting(work: Awaitable[T]) -> T:
    return await work
