"""The refusal of a request: a status and fixed words, which travel in clear."""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse

NOT_MENDED: Final = 422
"""The status if another attempt would give the same answer, and cost the same. Clients repeat a 502, but not this."""


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """The answer to a request that is not served.

    Args:
        status: The HTTP status.
        detail: Fixed words. They travel unencrypted, so they must hold nothing of the request's content.
        retry_after_s: Whole seconds for a `Retry-After` header.
    """

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """Return the answer in the protocol's form, `{"detail": ...}`."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 11.6.1
        return JSONResponse({"detail": self.detail}, status_code=self.status, headers=headers)
