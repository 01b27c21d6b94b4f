"""The decrypted answer: a dict whose levels also read as attributes."""

from __future__ import annotations

from typing import Any

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

    A name that `dict` itself has (`items`, `keys`, `values`, ...) is read with brackets only.
    The content consists of ordinary Python objects, which CPython does not wipe: let the
    response go out of scope as soon as you have what you need.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Return a field; None for an optional field of a chat completion that is not there.

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
        """Show no content: tracebacks, logs and debuggers ask for the repr of whatever they meet.

        `asyncio.run` does as well: on Python 3.11 it makes the repr of a task, with its result, only to drop it.
        """
        return f"<{type(self).__name__}: its content is not shown>"

    def __str__(self) -> str:
        """Return the content, as that of a dict: who prints a response wants to see it."""
        return str(_plain(self))

    def __dir__(self) -> list[str]:
        """List the fields beside the methods, for completion in a shell."""
        return sorted({*super().__dir__(), *(key for key in self if key.isidentifier())})

    def copy(self) -> ChatCompletionResponse:
        """Return a shallow copy."""
        return type(self)(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
