"""What all requests of one run have in common, and what an answer says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nomyo.chat import prepare
from nomyo.exchange.flow import Call
from nomyo.memory import SecureBuffer
from nomyo.response import ChatCompletionResponse

_CUT_SHORT: Final = {
    "length": "the answer is cut short: it reached the limit of tokens",
    "content_filter": "the answer is cut short: a content filter stopped it",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The model, and how it is asked."""

    model: str
    tier: str | None = None
    system: str | None = field(default=None, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of a chat completion: `temperature`, `max_tokens`."""

    def call(self, messages: Sequence[Mapping[str, Any]]) -> Call:
        """Return the request for a conversation."""
        opening = [] if self.system is None else [{"role": "system", "content": self.system}]
        call, _ = prepare(None, self.model, [*opening, *messages], {**self.params, "security_tier": self.tier})
        return call


def user_message(content: str | SecureBuffer) -> dict[str, Any]:
    """Return what a person says, as a message."""
    return {"role": "user", "content": content}


def text_of(response: ChatCompletionResponse) -> str | None:
    """Return the text of the first choice; None where there is none."""
    try:
        content = response["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        return None
    return content if isinstance(content, str) else None


def cut_short(response: ChatCompletionResponse) -> str | None:
    """Say why an answer is not whole; None where it is."""
    try:
        reason = response["choices"][0]["finish_reason"]
    except (LookupError, TypeError):
        return None
    return why_cut_short(reason)


def why_cut_short(finish_reason: object) -> str | None:
    """Say what a finish reason means for an answer; None where it is whole."""
    return _CUT_SHORT.get(finish_reason) if isinstance(finish_reason, str) else None
