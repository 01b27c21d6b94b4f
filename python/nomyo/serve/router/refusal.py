"""How a request is turned down: a status and fixed words, which travel in clear."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """The answer to a request that is not served.

    Args:
        status: The HTTP status.
        detail: Fixed words. They travel unencrypted: nothing of the request's content may stand in them.
        retry_after_s: Whole seconds for a `Retry-After` header.
    """

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """Return it in the protocol's form, `{"detail": ...}`."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 11.6.1
        return JSONResponse({"detail": self.detail}, status_code=self.status, headers=headers)
