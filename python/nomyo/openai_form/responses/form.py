"""Responses as one of the forms that the transports and the proxy take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..._api_form import Answer
from ..answer import error_answer, json_answer, stream_answer
from .event_lines import streamed_response
from .request import ResponsesRequest, read_responses_request
from .response_object import response_of


class ResponsesForm:
    """OpenAI's Responses; see `ApiForm`."""

    ignored_queries: Final[frozenset[str]] = frozenset()

    def read(self, body: bytes, header_tiers: Sequence[str]) -> ResponsesRequest:
        """Read a body; see `read_responses_request`."""
        return read_responses_request(body, header_tiers)

    def answer(self, completion: Mapping[str, Any], request: ResponsesRequest) -> Answer:
        """Return the answer to a request: a response as JSON, or as a stream of events.

        Raises:
            UnfitAnswerError: It is not clear what the model said, or the response cannot be written as JSON.
        """
        if request.stream:
            return stream_answer(lambda: streamed_response(response_of(completion, request)))
        return json_answer(lambda: response_of(completion, request))

    refusal = staticmethod(error_answer)
