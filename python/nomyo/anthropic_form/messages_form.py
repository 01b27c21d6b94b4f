"""Messages as one of the forms that the transports and the proxy take: Anthropic's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .._api_form import Answer
from .._finite_json import utf8_json
from ..openai_form.answer import UnwritableAnswerError
from ..openai_form.error import UNWRITABLE_WORDS
from ..openai_form.event_stream import in_pieces
from .body import MessagesRequest, read_body_to_count, read_messages_body
from .error import error_object
from .events import as_sse, events_of
from .message import message_of
from .token_estimate import estimated_tokens

_JSON: Final = {"Content-Type": "application/json"}
# The header says that the whole answer existed before its first event, so that nobody takes the stream for incremental.
_STREAM: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Nomyo-Stream": "complete"}


class MessagesForm:
    """Anthropic's Messages; see `ApiForm`."""

    ignored_queries: Final[frozenset[str]] = frozenset({"beta=true"})
    """What the SDK and Claude Code add where they use a field of a beta version. The body says all of it."""

    def read(self, body: bytes, header_tiers: Sequence[str]) -> MessagesRequest:
        """Read a body; see `read_messages_body`."""
        return read_messages_body(body, header_tiers)

    def answer(self, completion: Mapping[str, Any], request: MessagesRequest) -> Answer:
        """Return the answer to a request.

        Raises:
            UnfitAnswerError: The completion cannot be a message.
            UnwritableAnswerError: It cannot be written as JSON.
        """
        message = message_of(completion, request)
        try:
            if request.stream:
                return Answer(200, {**_STREAM}, in_pieces(as_sse(events_of(message)), _last_event))
            return Answer(200, {**_JSON}, utf8_json(message))
        except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
            pass
        raise UnwritableAnswerError(UNWRITABLE_WORDS)

    def refusal(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str],
        *,
        param: str | None = None,
        code: str | None = None,
        named: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Return an error. Its form has no place for `code` and `named`."""
        return Answer(status, {**_JSON, **headers}, utf8_json(error_object(status, message, param)))


class TokenCountForm(MessagesForm):
    """The count of a request's tokens: a request without `max_tokens`, and the usage of an answer that has no more."""

    def read(self, body: bytes, header_tiers: Sequence[str]) -> MessagesRequest:
        """Read a body; see `read_body_to_count`."""
        return read_body_to_count(body, header_tiers)

    def answer(self, completion: Mapping[str, Any], request: MessagesRequest) -> Answer:
        """Return the answer to a request.

        Args:
            completion: Its `usage` has the `prompt_tokens`.
            request: What `read` returned.
        """
        return Answer(200, {**_JSON}, utf8_json({"input_tokens": completion["usage"]["prompt_tokens"]}))

    def estimate(self, request: MessagesRequest) -> Answer:
        """Return the answer to a request with the estimate of its tokens; it takes about 0.1 s a megabyte."""
        return self.answer({"usage": {"prompt_tokens": estimated_tokens(request.payload)}}, request)


def _last_event() -> bytes:
    """Return the event that ends a stream whose rest cannot be written."""
    return next(as_sse([error_object(502, UNWRITABLE_WORDS)]))
