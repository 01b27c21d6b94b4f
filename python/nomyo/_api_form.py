"""A form in which programs speak to a model by HTTP, and what each form gives to the transports and the proxy.

The router knows chat completions alone. A form reads the body of a request into a chat completion to seal, and writes
the completion that comes back, or an error, as its own callers expect it. It does no I/O and knows no HTTP library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

LEFT_OUT_HEADER = "X-Nomyo-Left-Out"
"""The header of an answer that names the tools that were left out of its request."""


class MalformedRequestError(ValueError):
    """A body is no request of its form, or none that can be sent. The message shows no content.

    Args:
        words: What is wrong.
        param: The field that is at fault.
    """

    def __init__(self, words: str, param: str | None = None) -> None:
        super().__init__(words)
        self.param = param


class UnfitAnswerError(ValueError):
    """A completion cannot be written in the form that its caller wants. The message shows no content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormRequest:
    """A request that was read from a body. Its repr does not show its content."""

    payload: dict[str, Any] = field(repr=False)
    """The chat completion to seal."""
    security_tier: str | None
    left_out: tuple[str, ...] = ()
    """The kinds of tools that only another server has, and that were left out. These are words of the form's own
    documentation, never a caller's, so that they may be logged."""


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """An HTTP answer that belongs to no HTTP library yet."""

    status: int
    headers: dict[str, str]
    body: bytes | Iterator[bytes]
    """The whole body, or its pieces, which are made as they are read."""


RequestT = TypeVar("RequestT", bound=FormRequest)


class ApiForm(Protocol[RequestT]):
    """One form."""

    @property
    def ignored_queries(self) -> frozenset[str]:
        """The queries of a URL that change nothing. Any other query is refused, because it would not travel."""

    def read(self, body: bytes, header_tiers: Sequence[str]) -> RequestT:
        """Read a body.

        Args:
            body: JSON in UTF-8.
            header_tiers: The values of the request's `X-Security-Tier` headers.

        Raises:
            MalformedRequestError: The request cannot be sent, or not as its caller meant it.
        """

    def answer(self, completion: Mapping[str, Any], request: RequestT) -> Answer:
        """Return the answer to a request. A stream is made as it is read.

        Args:
            completion: A whole chat completion. It must not change until the last piece of a stream is read.
            request: What `read` returned.

        Raises:
            UnfitAnswerError: The completion cannot be written in this form.
        """

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
        """Return an error.

        Args:
            status: 400 or above.
            message: For people.
            headers: Beside the content type.
            param: The field of the request that is meant.
            code: One word for programs.
            named: The `type`, `param` and `code` that a server named in its own error.
        """
