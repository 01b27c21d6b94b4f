"""`SecureResponse`: the decrypted answer in locked memory, never as a Python string."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ._core import SecureBuffer


class SecureResponse:
    """An answer whose content is in `SecureBuffer`s; `with` or `async with` wipes and closes them.

    What is plain here (`id`, `model`, `usage`, `finish_reason`, `metadata`) became ordinary Python objects; nothing
    else of the answer did. Dropped without being closed, it is wiped by the garbage collector.
    """

    __slots__ = ("content", "finish_reason", "id", "json", "metadata", "model", "usage")

    content: SecureBuffer | None
    """`choices[0].message.content` as UTF-8, its escapes decoded; None where that is no string (a tool call).
    U+FFFD stands for a lone surrogate, which UTF-8 cannot hold."""
    json: SecureBuffer
    """The whole response as it was sealed: JSON, UTF-8."""
    id: Any
    model: Any
    usage: Any
    """Token counts; reads as a dict and as attributes. None where the router sent none."""
    finish_reason: Any
    """That of `choices[0]`."""
    metadata: dict[str, Any]
    """`_metadata` of the response, with what the client adds to it."""

    def __init__(self, json: SecureBuffer, content: SecureBuffer | None, plain: dict[str, Any]) -> None:
        self.json = json
        self.content = content
        self.id = plain["id"]
        self.model = plain["model"]
        self.usage = plain["usage"]
        self.finish_reason = plain["finish_reason"]
        self.metadata = plain["_metadata"]

    def close(self) -> None:
        """Wipe the answer and give its memory back. Idempotent.

        Raises:
            BufferError: A view of a buffer is still held; both were wiped all the same.
        """
        try:
            if self.content is not None:
                self.content.close()
        finally:
            self.json.close()

    async def aclose(self) -> None:
        """Do what `close` does."""
        self.close()

    def __enter__(self) -> Self:
        """Return the answer; leaving the block closes it."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it. An exception under way is not replaced by a BufferError."""
        try:
            self.close()
        except BufferError:
            if exc_type is None:
                raise

    async def __aenter__(self) -> Self:
        """Return the answer; leaving the block closes it."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it. An exception under way is not replaced by a BufferError."""
        self.__exit__(exc_type, exc, tb)

    if not TYPE_CHECKING:  # mypy finds a wrong name by itself, if this is out of its sight

        def __getattr__(self, name: str) -> Any:
            """Say where the fields are that the response of `create` has."""
            raise AttributeError(f"a SecureResponse has no {name!r}: its text is in `content`, all of it in `json`")

    def __repr__(self) -> str:
        """Show what it is, and nothing of the answer."""
        return f"<SecureResponse json={self.json!r} content={self.content!r}>"

    def __reduce__(self) -> str:
        """Refuse to be pickled or copied: its secret exists once, in locked memory."""
        raise TypeError("a SecureResponse cannot be pickled or copied: its secret exists once, in locked memory")
