"""The parameters of a chat completion as type checkers see them, and a warning for those that are misspelt.

Type checkers know the well-known parameters and their types. A router may know more, so they let all others pass, as
`create` does at run time. Messages may be those of this module, those of the OpenAI SDK, or any other mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, Protocol, TypeAlias, TypedDict, TypeVar, overload

from ._core import SecureBuffer
from ._near_names import one_edit_apart
from ._warn import warn_once
from .exchange.protocol import SecurityTier
from .responses import AnswerMessage

if TYPE_CHECKING:
    from typing_extensions import ReadOnly
else:

    class ReadOnly:  # of typing from Python 3.13 on
        """Only type checkers need it: with it, the SDK's messages of narrower types are messages, too."""

        def __class_getitem__(cls, kind: Any) -> Any:
            """Return the type that a field has."""
            return kind


__all__ = [
    "AssistantMessage",
    "ChatMethod",
    "FunctionMessage",
    "ImagePart",
    "Message",
    "SecurityTier",
    "SystemMessage",
    "TextPart",
    "ToolMessage",
    "UserMessage",
]

Text: TypeAlias = str | SecureBuffer
ResultT = TypeVar("ResultT", covariant=True)


class TextPart(TypedDict):
    """A piece of text among the parts of a message."""

    type: ReadOnly[Literal["text"]]
    text: ReadOnly[Text]


class ImagePart(TypedDict):
    """A picture among the parts of a message: `{"url": "https://..."}` or `{"url": "data:image/png;base64,..."}`."""

    type: ReadOnly[Literal["image_url"]]
    image_url: ReadOnly[Mapping[str, Any]]


Parts: TypeAlias = Iterable[TextPart | ImagePart | Mapping[str, Any]]


class SystemMessage(TypedDict):
    """What the model is to do throughout a conversation."""

    role: ReadOnly[Literal["system", "developer"]]
    content: ReadOnly[Text | Parts]
    name: NotRequired[ReadOnly[str]]


class UserMessage(TypedDict):
    """What the user says."""

    role: ReadOnly[Literal["user"]]
    content: ReadOnly[Text | Parts]
    name: NotRequired[ReadOnly[str]]


class AssistantMessage(TypedDict):
    """What the model said before."""

    role: ReadOnly[Literal["assistant"]]
    content: NotRequired[ReadOnly[Text | Parts | None]]
    name: NotRequired[ReadOnly[str]]
    refusal: NotRequired[ReadOnly[str | None]]
    tool_calls: NotRequired[ReadOnly[Iterable[Mapping[str, Any]]]]


class ToolMessage(TypedDict):
    """What a tool answered."""

    role: ReadOnly[Literal["tool"]]
    content: ReadOnly[Text | Parts]
    tool_call_id: ReadOnly[str]


class FunctionMessage(TypedDict):
    """What a function answered, in the form before tools."""

    role: ReadOnly[Literal["function"]]
    content: ReadOnly[Text | None]
    name: ReadOnly[str]


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage | AnswerMessage
Messages: TypeAlias = Sequence[Message | Mapping[str, Any]]


class ChatMethod(Protocol[ResultT]):
    """A method that takes a chat completion's parameters: by keywords, or as one mapping with keywords beside it."""

    # Each parameter is written out twice: `Unpack` of a TypedDict would refuse all others, because mypy does not know
    # open TypedDicts yet (PEP 728).
    @overload
    def __call__(
        self,
        request: None = None,
        /,
        *,
        model: str,
        messages: Messages,
        api_key: str | None = None,
        base_url: str | None = None,
        security_tier: SecurityTier | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        frequency_penalty: float | None = None,
        function_call: str | Mapping[str, Any] | None = None,
        functions: Sequence[Mapping[str, Any]] | None = None,
        logit_bias: Mapping[str, float] | None = None,
        logprobs: bool | None = None,
        max_completion_tokens: int | None = None,
        max_tokens: int | None = None,
        metadata: Mapping[str, str] | None = None,
        min_p: float | None = None,
        modalities: Sequence[str] | None = None,
        n: int | None = None,
        parallel_tool_calls: bool | None = None,
        presence_penalty: float | None = None,
        reasoning_effort: str | None = None,
        repetition_penalty: float | None = None,
        response_format: Mapping[str, Any] | None = None,
        seed: int | None = None,
        service_tier: str | None = None,
        stop: Text | Sequence[Text] | None = None,
        store: bool | None = None,
        stream: bool | None = None,
        stream_options: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        top_k: int | None = None,
        top_logprobs: int | None = None,
        top_p: float | None = None,
        user: Text | None = None,
        verbosity: str | None = None,
        **params: Any,
    ) -> ResultT: ...

    @overload
    def __call__(
        self,
        request: Mapping[str, Any],
        /,
        *,
        model: str | None = None,
        messages: Messages | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        security_tier: SecurityTier | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        frequency_penalty: float | None = None,
        function_call: str | Mapping[str, Any] | None = None,
        functions: Sequence[Mapping[str, Any]] | None = None,
        logit_bias: Mapping[str, float] | None = None,
        logprobs: bool | None = None,
        max_completion_tokens: int | None = None,
        max_tokens: int | None = None,
        metadata: Mapping[str, str] | None = None,
        min_p: float | None = None,
        modalities: Sequence[str] | None = None,
        n: int | None = None,
        parallel_tool_calls: bool | None = None,
        presence_penalty: float | None = None,
        reasoning_effort: str | None = None,
        repetition_penalty: float | None = None,
        response_format: Mapping[str, Any] | None = None,
        seed: int | None = None,
        service_tier: str | None = None,
        stop: Text | Sequence[Text] | None = None,
        store: bool | None = None,
        stream: bool | None = None,
        stream_options: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        top_k: int | None = None,
        top_logprobs: int | None = None,
        top_p: float | None = None,
        user: Text | None = None,
        verbosity: str | None = None,
        **params: Any,
    ) -> ResultT: ...


def typed_parameters(method: Callable[..., ResultT]) -> ChatMethod[ResultT]:
    """Return the method as it is, for type checkers as a `ChatMethod`."""
    return method


KNOWN_PARAMETERS: Final = frozenset(
    {
        "api_key",
        "base_url",
        "chat_template_kwargs",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "min_p",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "security_tier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)
# Other parameters that servers know. Each is within one edit of one above, and is meant as it is.
_NO_MISTAKES: Final = frozenset({"top_a"})
_SHORTEST: Final = 4
"""Shorter names (`n`) are within one edit of too many others."""


def warn_of_misspelt(names: Iterable[str]) -> None:
    """Warn, once in this process, of each name that is nearly that of a well-known parameter."""
    for name in names:
        if name not in KNOWN_PARAMETERS and (meant := meant_by(name)) is not None:
            warn_once(f"the parameter {name!r} is sent as it is: did you mean {meant!r}?")


def hint_for(missing: Iterable[str], names: Iterable[str]) -> str:
    """Return which name in a request may have been meant for one that it lacks."""
    meant = {meant_by(name): name for name in names}
    hints = (f": is {meant[name]!r} meant for {name!r}?" for name in missing if name in meant)
    return next(hints, "")


def meant_by(name: object) -> str | None:
    """Return the well-known parameter that is one edit away from a name; None if there is none."""
    if not isinstance(name, str) or name in _NO_MISTAKES:
        return None
    near = (known for known in sorted(KNOWN_PARAMETERS) if len(known) >= _SHORTEST and one_edit_apart(name, known))
    return next(near, None)
