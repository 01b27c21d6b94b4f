"""The settings that all requests of one run share, and the text and finish reason of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from nomyo.memory import SecureBuffer
from nomyo.openai_form.chunks import as_text
from nomyo.responses import ChatCompletionResponse

if TYPE_CHECKING:
    from nomyo.exchange.call import Call

_CUT_SHORT: Final = {
    "length": "the answer is cut short: it reached the limit of tokens",
    "content_filter": "the answer is cut short: a content filter stopped it",
}


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """The model and the parameters of all requests of a run."""

    model: str
    tier: str | None = None
    system: str | None = field(default=None, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of a chat completion: `temperature`, `max_tokens`."""

    def call(self, messages: Sequence[Mapping[str, Any]]) -> Call:
        """Return the request for a conversation."""
        from nomyo._create_request import prepare

        opening = [] if self.system is None else [{"role": "system", "content": self.system}]
        call, _ = prepare(None, self.model, [*opening, *messages], {**self.params, "security_tier": self.tier})
        return call


def user_message(content: str | SecureBuffer) -> dict[str, Any]:
    """Return a message of the user."""
    return {"role": "user", "content": content}


def text_of(response: ChatCompletionResponse) -> str | None:
    """Return the text of the first choice; None if there is none."""
    try:
        content = response["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        return None
    text = as_text(content)  # some models answer with a list of parts
    return text if isinstance(text, str) else None


def reasoning_of(response: ChatCompletionResponse) -> str | None:
    """Return what a model that reasons said to itself before the first choice; None if there is nothing."""
    try:
        message = response["choices"][0]["message"]
        found = message.get("reasoning_content") or message.get("reasoning")  # the latter is vLLM's newer name
    except (LookupError, TypeError, AttributeError):
        return None
    text = as_text(found)
    return text if isinstance(text, str) and text.strip() else None


def cut_short(response: ChatCompletionResponse) -> str | None:
    """Return why an answer is cut short; None if it is not."""
    try:
        reason = response["choices"][0]["finish_reason"]
    except (LookupError, TypeError):
        return None
    return why_cut_short(reason)


def why_cut_short(finish_reason: object) -> str | None:
    """Return why a finish reason means that the answer is cut short; None if it does not."""
    return _CUT_SHORT.get(finish_reason) if isinstance(finish_reason, str) else None
