"""The decrypted answer: a dict whose levels also read as attributes, or buffers of locked memory."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ._core import SecureBuffer

# Fields that a chat completion may leave out. Read as attributes they are None then, so that
# `if message.tool_calls:` works whatever the model did; any other missing name is an error.
_OPTIONAL_FIELDS = frozenset(
    {
        "_metadata",
        "audio",
        "annotations",
        "content",
        "cuda_device",
        "finish_reason",
        "function_call",
        "logprobs",
        "memory_protection",
        "reasoning_content",
        "refusal",
        "security_tier",
        "service_tier",
        "system_fingerprint",
        "tool_calls",
        "usage",
    }
)


class ChatCompletionResponse(dict[str, Any]):
    """A JSON object of the answer: `r["choices"][0]["message"]` and `r.choices[0].message` alike.

    A name that `dict` itself has (`items`, `keys`, `values`, ...) is read with brackets only. Values are those of
    Python's `json`: a router in Python may send NaN and infinities (log probabilities), which arrive as floats, and
    half of a surrogate pair, which arrives as a lone surrogate. A lone surrogate may be sent back; NaN and infinities
    may not. The content consists of ordinary Python objects, which CPython does not wipe: drop the response as soon as
    you have what you need.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Return a field; None for an optional field of a chat completion that is missing.

        Raises:
            AttributeError: There is no such field.
        """
        if name.startswith(("__", "_repr_", "_ipython_")):  # asked for by Python and notebooks: no server answers that
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            pass
        if name in _OPTIONAL_FIELDS:
            return None
        raise AttributeError(f"the response has no field {name!r}")

    def __repr__(self) -> str:
        """Show no content, because tracebacks, logs and debuggers show the repr of all objects.

        `asyncio.run` does as well: on Python 3.11 it makes the repr of a task, with its result, only to drop it.
        """
        return f"<{type(self).__name__}: its content is not shown>"

    def __str__(self) -> str:
        """Return the content as a dict shows it: whoever prints a response wants to see it."""
        return str(_plain(self))

    def __dir__(self) -> list[str]:
        """List the fields beside the methods, for completion in a shell."""
        return sorted({*super().__dir__(), *(key for key in self if key.isidentifier())})

    def copy(self) -> ChatCompletionResponse:
        """Return a shallow copy."""
        return type(self)(self)


class SecureResponse:
    """An answer whose content is in `SecureBuffer`s; `with` or `async with` wipes and closes them.

    Only `id`, `model`, `usage`, `finish_reason` and `metadata` are ordinary Python objects. If the response is dropped
    without being closed, the garbage collector wipes it.
    """

    __slots__ = ("content", "finish_reason", "id", "json", "metadata", "model", "usage")

    content: SecureBuffer | None
    """`choices[0].message.content` as UTF-8, its escapes decoded; None if that is no string (a tool call).
    U+FFFD stands for a lone surrogate, which UTF-8 cannot hold."""
    json: SecureBuffer
    """The whole response as it was sealed: JSON, UTF-8."""
    id: Any
    model: Any
    usage: Any
    """Token counts; reads as a dict and as attributes. None if the router sent none."""
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
        """Wipe the answer and release its memory. Idempotent.

        Raises:
            BufferError: A view of a buffer is still held. Both buffers were wiped all the same.
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

    if not TYPE_CHECKING:  # hidden from mypy, which then reports a wrong name itself

        def __getattr__(self, name: str) -> Any:
            """Raise an AttributeError that says where to find the fields of an ordinary response."""
            raise AttributeError(f"a SecureResponse has no {name!r}: its text is in `content`, all of it in `json`")

    def __repr__(self) -> str:
        """Show the buffers, but nothing of their content."""
        return f"<SecureResponse json={self.json!r} content={self.content!r}>"

    def __reduce__(self) -> str:
        """Refuse to be pickled or copied: its secret exists once, in locked memory."""
        raise TypeError("a SecureResponse cannot be pickled or copied: its secret exists once, in locked memory")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
