"""The upstream: an OpenAI-compatible server that answers decrypted requests in place of the echo model.

Rules: what an upstream says in an error stays here. Its error bodies often quote the prompt, and the router's own error
bodies travel in clear, so a client learns the class of the failure and fixed words. Redirects are not followed, proxies
and credentials of the environment are not used, and an answer is bounded before it is parsed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import anyio
import anyio.to_thread
import httpx

from nomyo.exchange.retries import in_seconds, parse_retry_after
from nomyo.serve.router.config import UpstreamConfig
from nomyo.serve.router.refusal import NOT_MENDED, Refusal

_MAX_RETRY_AFTER_S: Final = 3600

# What becomes of an upstream's status; all others of its class are at the end of `_refusal_for`.
_REFUSALS: Final = {
    401: (502, "The upstream did not accept the router's credentials"),
    403: (502, "The upstream did not accept the router's credentials"),
    407: (502, "The upstream did not accept the router's credentials"),
    408: (504, "The upstream took too long"),
    429: (429, "The upstream's rate limit is exceeded"),
    503: (503, "The upstream is unavailable"),
    504: (504, "The upstream took too long"),
}


class Upstream:
    """Sends chat requests to an OpenAI-compatible server over one pool of connections.

    Args:
        config: The server's address, key and timeout.
        max_response_bytes: The largest answer that is read.
    """

    def __init__(self, config: UpstreamConfig, max_response_bytes: int) -> None:
        base = config.url.rstrip("/")
        self._url = f"{base}/chat/completions" if base.endswith("/v1") else f"{base}/v1/chat/completions"
        self._timeout_s = config.timeout_s
        self._max_response_bytes = max_response_bytes
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(config.timeout_s, connect=min(10.0, config.timeout_s)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            trust_env=False,
        )

    async def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the upstream's chat completion.

        Raises:
            Refusal: 400, 422, 429, 502, 503 or 504, in fixed words.
        """
        body = await anyio.to_thread.run_sync(_upstream_body, request)
        refusal: Refusal
        try:
            with anyio.fail_after(self._timeout_s):
                answer = await self._post(body)
            return await anyio.to_thread.run_sync(_completion, answer)
        except (TimeoutError, httpx.TimeoutException):
            refusal = Refusal(504, "The upstream took too long")
        except httpx.ConnectError:
            refusal = Refusal(503, "The upstream cannot be reached")
        except httpx.HTTPError:
            refusal = Refusal(502, "The connection to the upstream failed")
        raise refusal

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, body: bytes) -> bytes:
        async with self._client.stream("POST", self._url, content=body) as response:
            if not response.is_success:
                raise _refusal_for(response)
            answer = bytearray()
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > self._max_response_bytes:
                    raise Refusal(NOT_MENDED, "The upstream's answer is too large")
            return bytes(answer)


def _upstream_body(request: Mapping[str, Any]) -> bytes:
    body = {name: value for name, value in request.items() if name != "stream_options"}
    body["stream"] = False
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except ValueError:  # a number that Python refuses; the message does not quote it
        pass
    raise Refusal(400, "The request holds a number that JSON does not have")


def _completion(answer: bytes) -> dict[str, Any]:
    try:
        completion = json.loads(answer)
    except (ValueError, RecursionError):
        completion = None
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if isinstance(completion, dict) and isinstance(choices, list) and choices:
        return completion
    if isinstance(completion, dict) and completion.get("error"):
        raise Refusal(NOT_MENDED, "The upstream answered with an error, and with the status of a success")
    raise Refusal(NOT_MENDED, "The upstream's answer is not a chat completion")


def _refusal_for(response: httpx.Response) -> Refusal:
    status = response.status_code
    if status in _REFUSALS:
        return Refusal(*_REFUSALS[status], retry_after_s=_retry_after_s(response))
    if response.is_client_error:
        return Refusal(400, f"The upstream refused the request with status {status}")
    return Refusal(502, f"The upstream answered with status {status}")


def _retry_after_s(response: httpx.Response) -> int | None:
    stated = (response.headers.get(name) for name in ("Retry-After", "Date", "retry-after-ms"))
    asked = in_seconds(*stated)
    seconds = parse_retry_after(asked)
    return None if seconds is None else min(math.ceil(seconds), _MAX_RETRY_AFTER_S)
