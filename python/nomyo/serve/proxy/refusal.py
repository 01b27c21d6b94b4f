"""How a request is turned down: a status, and words in the form that the OpenAI SDKs read."""

from __future__ import annotations

from starlette.responses import JSONResponse

from nomyo.error_kinds import error_kind


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """The answer to a request that is not served.

    Args:
        status: The HTTP status.
        code: One word for programs and for the log.
        message: For people; nothing of the request's content stands in it.
        param: The field of the request that is meant.
        retry_after_s: Whole seconds for a `Retry-After` header.
        retried: It was tried again here already, as often as makes sense: the SDKs are told not to.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        retried: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.retried = retried

    def response(self) -> JSONResponse:
        """Return it as OpenAI's servers do: `{"error": {"message", "type", "param", "code"}}`."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.retried:
            headers["X-Should-Retry"] = "false"  # the SDKs for Python and Node heed it
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 11.6.1
        error = {"message": self.message, "type": error_kind(self.status), "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, status_code=self.status, headers=headers)
