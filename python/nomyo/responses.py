"""The decrypted answer: a dict whose levels also read as attributes, or buffers of locked memory.

At run time every level of an answer is a `ChatCompletionResponse`; type checkers know which fields each level has.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ._core import SecureBuffer
from ._counts import count
from ._finite_json import text_json
from ._near_names import suggestion
from ._printable import printable_id
from .attestation import Attestation
from .attestation.found import attestation_in

# Fields that a chat completion may leave out. Read as attributes they are None then, so that
# `if message.tool_calls:` works whatever the model did; any other missing name is an error.
_OPTIONAL_FIELDS: Final = frozenset(
    {
        "_metadata",
        "audio",
        "annotations",
        "attestation",
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
        "tpm_attestation",
        "usage",
    }
)
_TOKEN_COUNTS: Final = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "accepted_prediction_tokens",
        "audio_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "rejected_prediction_tokens",
    }
)
_TOKEN_DETAILS: Final = frozenset({"prompt_tokens_details", "completion_tokens_details"})
# The only fields that an error may suggest: other names are the server's, and may be content.
_KNOWN_FIELDS: Final = (
    _OPTIONAL_FIELDS
    | _TOKEN_COUNTS
    | _TOKEN_DETAILS
    | {
        "arguments",
        "choices",
        "created",
        "function",
        "id",
        "index",
        "message",
        "model",
        "name",
        "object",
        "role",
        "type",
    }
)


class Level(dict[str, Any]):
    """A JSON object of an answer, whose fields also read as attributes."""

    __slots__ = ()

    if not TYPE_CHECKING:  # hidden from type checkers, which then report a wrong name themselves

        def __getattr__(self, name: str) -> Any:
            """Return a field; None for an optional field of a chat completion that is missing.

            Raises:
                AttributeError: There is no such field.
            """
            if name.startswith(("__", "_repr_", "_ipython_")):  # asked for by Python and notebooks: no server answers
                raise AttributeError(name)
            try:
                return self[name]
            except KeyError:
                pass
            if name in _OPTIONAL_FIELDS:
                return None
            # With an `obj` of their own, errors keep no answer alive, and Python adds no suggestion to ours.
            raise AttributeError(f"the response has no field {name!r}{self._hint(name)}", name=name, obj=None)

    def _hint(self, name: str) -> str:
        """Return which field or method may have been meant."""
        methods = (method for method in dir(type(self)) if not method.startswith("_"))
        return suggestion(name, [*(_KNOWN_FIELDS & self.keys()), *methods], cutoff=0.7)

    def __repr__(self) -> str:
        """Show no content, because tracebacks, logs and debuggers show the repr of all objects.

        `asyncio.run` does as well: on Python 3.11 it makes the repr of a task, with its result, only to drop it.
        """
        whole = isinstance(self.get("choices"), list)
        if not whole and any(count(self.get(name)) is not None for name in _TOKEN_COUNTS):
            return f"{{{', '.join(_shown_counts(self))}}}"
        name = type(self).__name__
        shown = " ".join([name, *_shown_facts(self)]) if whole else f"part of a {name}"
        return f"<{shown}; print() shows it>"

    def __str__(self) -> str:
        """Return the content as a dict shows it: whoever prints a response wants to see it."""
        return str(_plain(self))

    def __dir__(self) -> list[str]:
        """List the fields beside the methods, for completion in a shell."""
        return sorted({*super().__dir__(), *(key for key in self if key.isidentifier())})

    def copy(self) -> Self:
        """Return a shallow copy."""
        return type(self)(self)

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of all levels as ordinary dicts."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def to_json(self, indent: int | None = None) -> str:
        """Return all levels as JSON that every program reads.

        Numbers that JSON does not have (`NaN`, infinities) become null. Lone surrogates are written as escapes, other
        characters as they are.

        Args:
            indent: Spaces for each level; None writes one line.
        """
        return text_json(self, indent=indent)


class ChatCompletionResponse(Level):
    """A chat completion: `r["choices"][0]["message"]` and `r.choices[0].message` alike.

    A name that `dict` itself has (`items`, `keys`, `values`, ...) is read with brackets only, and so is a field that no
    chat completion has, if a type checker is to accept it. Values are those of Python's `json`: a router in Python may
    send NaN and infinities (log probabilities), which arrive as floats, and half of a surrogate pair, which arrives as
    a lone surrogate. A lone surrogate may be sent back; NaN and infinities may not. The content consists of ordinary
    Python objects, which CPython does not wipe: drop the response as soon as you have what you need.
    """

    __slots__ = ()

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None
    service_tier: str | None
    system_fingerprint: str | None
    _metadata: Metadata

    @property
    def attestation(self) -> Attestation | None:
        """What was found about the router's TPM; None if nobody looked (`attestation="ignore"`)."""
        if not isinstance(self.get("attestation"), Attestation) and "_metadata" in self:
            return attestation_in(self["_metadata"])
        raise AttributeError  # a field of a level below: `__getattr__` reads it


if TYPE_CHECKING:

    class Choice(Level):
        """One of `choices`."""

        index: int
        message: AnswerMessage
        finish_reason: str | None
        logprobs: Level | None

    class AnswerMessage(Level):
        """What the model said; it may stand among the messages of the next request."""

        role: str
        content: str | None
        refusal: str | None
        reasoning_content: str | None
        tool_calls: list[ToolCall] | None
        function_call: CalledFunction | None
        annotations: list[Level] | None
        audio: Level | None

    class ToolCall(Level):
        """A tool that the model wants to be called."""

        id: str
        type: str
        function: CalledFunction

    class CalledFunction(Level):
        """The function of a tool call, with its arguments as the model wrote them: mostly JSON."""

        name: str
        arguments: str

    class Usage(Level):
        """How many tokens were used."""

        prompt_tokens: int
        completion_tokens: int
        total_tokens: int
        prompt_tokens_details: PromptTokens | None
        completion_tokens_details: CompletionTokens | None

    class PromptTokens(Level):
        """Kinds of tokens among those of the prompt."""

        audio_tokens: int | None
        cached_tokens: int | None

    class CompletionTokens(Level):
        """Kinds of tokens among those of the answer."""

        accepted_prediction_tokens: int | None
        audio_tokens: int | None
        reasoning_tokens: int | None
        rejected_prediction_tokens: int | None

    class Metadata(Level):
        """What the router and the client say about the transport of an answer."""

        payload_id: str
        is_encrypted: bool
        encryption_algorithm: str
        processed_at: float | None
        security_tier: str | None
        memory_protection: Level | None
        cuda_device: Level | None
        tpm_attestation: Level | None
        attestation: Attestation | None

else:
    Choice = AnswerMessage = ToolCall = CalledFunction = ChatCompletionResponse
    Usage = PromptTokens = CompletionTokens = Metadata = ChatCompletionResponse


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
    id: str | None
    model: str | None
    usage: Usage | None
    """Token counts; reads as a dict and as attributes. None if the router sent none."""
    finish_reason: str | None
    """That of `choices[0]`."""
    metadata: Metadata
    """`_metadata` of the response, with what the client adds to it."""

    @property
    def attestation(self) -> Attestation | None:
        """What was found about the router's TPM; None if nobody looked (`attestation="ignore"`)."""
        return attestation_in(self.metadata)

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


def _shown_facts(response: dict[str, Any]) -> Iterator[str]:
    """Yield what a whole answer's repr shows of it, none of it content."""
    for name in ("id", "model"):
        if name in response:
            yield f"{name}={_as_id(response[name])}"
    choices = response["choices"]
    if choices and isinstance(choices[0], dict):
        yield f"finish={_as_id(choices[0].get('finish_reason'))}"
    usage = response.get("usage")
    if isinstance(usage, dict):
        yield f"tokens={_as_count(usage.get('prompt_tokens'))}+{_as_count(usage.get('completion_tokens'))}"


def _shown_counts(usage: dict[str, Any]) -> Iterator[str]:
    """Yield the counts of tokens in their order; three dots stand for everything else."""
    for name, value in usage.items():
        if name in _TOKEN_COUNTS:
            yield f"{name!r}: {_as_count(value)}"
        elif name in _TOKEN_DETAILS:
            yield f"{name!r}: {{{', '.join(_shown_counts(value))}}}" if isinstance(value, dict) else f"{name!r}: None"
    if not usage.keys() <= _TOKEN_COUNTS | _TOKEN_DETAILS:
        yield "..."


def _as_id(value: object) -> str:
    return printable_id(value) or "?"


def _as_count(value: object) -> str:
    known = count(value)
    return "?" if known is None else str(known)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
