"""The refusal of a request: a status, and an error object in the form that the caller's SDK reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from nomyo._api_form import ApiForm


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """The answer to a request that is not served.

    Args:
        status: The HTTP status.
        code: One word for programs and for the log.
        message: The message for people; it holds nothing of the request's content.
        param: The field of the request that is at fault.
        retry_after_s: Seconds for a `Retry-After` header.
        retried: Whether the proxy retried already, so that the SDKs are told not to.
        named: The `type`, `param` and `code` of the router's own error: for the caller, not for the log.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        retried: bool = False,
        named: Mapping[str, str | int | float] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.retried = retried
        self.named = named or {}

    def response(self, form: ApiForm[Any]) -> Response:
        """Return the answer in a form, OpenAI's for example: `{"error": {"message", "type", "param", "code"}}`."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = f"{self.retry_after_s:.9f}".rstrip("0").rstrip(".")
        if self.retried:
            headers["X-Should-Retry"] = "false"  # the SDKs for Python and Node respect it
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 11.6.1
        answer = form.refusal(self.status, self.message, headers, param=self.param, code=self.code, named=self.named)
        return Response(answer.body, answer.status, answer.headers)
