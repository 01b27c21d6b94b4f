"""Chat completions as one of the forms that the transports and the proxy take: the router's own form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .._api_form import Answer
from .answer import completion_answer, error_answer
from .body import ChatBody, read_chat_body


class ChatForm:
    """OpenAI's chat completions; see `ApiForm`."""

    ignored_queries: Final[frozenset[str]] = frozenset()

    def read(self, body: bytes, header_tiers: Sequence[str]) -> ChatBody:
        """Read a body; see `read_chat_body`."""
        return read_chat_body(body, header_tiers)

    def answer(self, completion: Mapping[str, Any], request: ChatBody) -> Answer:
        """Return the answer to a request; see `completion_answer`."""
        return completion_answer(completion, stream=request.stream, include_usage=request.include_usage)

    refusal = staticmethod(error_answer)
