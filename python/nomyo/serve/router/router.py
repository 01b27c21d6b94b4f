"""The router: takes one request from sealed bytes to sealed bytes, and holds its keys, limits and model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import Any, Protocol

import anyio
import anyio.to_thread
from starlette.datastructures import Headers

from nomyo._core import seal
from nomyo._finite_json import with_nulls
from nomyo._warn import log_named
from nomyo.errors import SecurityError
from nomyo.serve.access_log import Answered
from nomyo.serve.bearer import BearerTokens, authorization_of, caller_of
from nomyo.serve.router.checks import (
    RequestHead,
    check_chat_request,
    check_model_allowed,
    check_plaintext_size,
    read_head,
)
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.echo import EchoModel
from nomyo.serve.router.keys import KeyRing
from nomyo.serve.router.limits import RateLimiter
from nomyo.serve.router.protection import cuda_device, memory_protection
from nomyo.serve.router.refusal import NOT_MENDED, Refusal
from nomyo.serve.router.tpm import Tpm
from nomyo.serve.router.upstream import Upstream

_log = log_named("nomyo.router")


class ChatModel(Protocol):
    """A model that answers decrypted chat requests."""

    async def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return a chat completion, or raise Refusal."""

    async def aclose(self) -> None:
        """Close the connections."""


class Attester(Protocol):
    """What attests the router's machine."""

    def attestation(self, payload_id: str) -> dict[str, Any]:
        """Return `tpm_attestation` for a request. It is called in a worker thread."""

    def close(self) -> None:
        """Release what it holds."""


class Router:
    """A router's state: its keys, its limits, and the model that answers.

    Drawing the first key takes half a second for 4096 bits. `close` wipes the keys; a closed router serves no more.

    Args:
        config: Its settings.
        clock: Returns monotonic seconds, for key rotation and rate limits.
        attester: Attests this machine in each answer, instead of the TPM of `config`.

    Raises:
        TpmError, OSError: The TPM cannot be used.
    """

    def __init__(
        self,
        config: RouterConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        attester: Attester | None = None,
    ) -> None:
        self.config = config
        self._attester = Tpm(config.tpm) if attester is None and config.tpm is not None else attester
        self.answers: Counter[tuple[str, int]] = Counter()
        """How many answers were sent, by path and status; a path that does not exist counts as `-`."""
        self.keys = KeyRing(
            config.key_bits,
            interval_s=config.key_rotation_interval_s,
            grace_s=config.key_rotation_grace_s,
            clock=clock,
        )
        self._api_keys = BearerTokens(config.api_keys)
        self._rate = None if config.rate_limit is None else RateLimiter(config.rate_limit, clock)
        self._model: ChatModel = (
            EchoModel() if config.upstream is None else Upstream(config.upstream, config.max_response_bytes)
        )
        self._crypto_threads = anyio.CapacityLimiter(config.crypto_threads)
        self._in_flight = 0

    def rotate(self) -> None:
        """Replace the router's key now; the old one is accepted for the configured grace period. From any thread."""
        self.keys.rotate()
        _log.info("the key was rotated: fingerprint=%s", self.keys.fingerprint)

    async def maintain(self) -> None:
        """Rotate and retire keys as configured, until cancelled."""
        while True:
            await anyio.sleep(min(1.0, self.config.key_rotation_interval_s or 1.0))
            self.keys.retire_expired()
            if self.keys.rotation_due:
                await self._rotate_or_keep()

    async def aclose(self) -> None:
        """Close the model's connections and wipe every key."""
        await self._model.aclose()
        self.close()

    def close(self) -> None:
        """Wipe every key."""
        self.keys.close()
        if self._attester is not None:
            self._attester.close()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Count a request in flight for a block. Raises Refusal, 503, if there are too many."""
        if self._in_flight >= self.config.max_requests_in_flight:
            raise Refusal(503, "The router is busy", retry_after_s=1)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def admit(self, headers: Headers, address: str) -> RequestHead:
        """Check a request's token, its caller's rate, and the protocol's headers, in this order.

        Args:
            headers: The request's headers.
            address: The address it came from, which identifies the caller if it sent no API key.

        Raises:
            Refusal: 401, 429 or 400.
        """
        authorization = authorization_of(headers)
        if not self._api_keys.admit(authorization):
            raise Refusal(401, "Invalid or missing API key")
        if self._rate is not None:
            wait_s = self._rate.wait_s(caller_of(authorization, address))
            if wait_s > 0:
                raise Refusal(429, "Rate limit exceeded", retry_after_s=ceil(wait_s))
        return read_head(headers)

    def note(self, answered: Answered) -> None:
        """Count an answer that was sent."""
        self.answers[answered.path, answered.status] += 1

    async def answer(self, head: RequestHead, package: bytes) -> bytes:
        """Open a package, have the model answer, and seal the answer for the client's key.

        RSA work runs in worker threads. The request and its answer live in this coroutine's objects and nowhere else.

        Raises:
            Refusal: The request is not served. The message holds nothing of it.
        """
        request = await self._open(package)
        check_chat_request(request)
        check_model_allowed(request["model"], head.security_tier, self.config.tier_models)
        completion = await self._model.complete(request)
        return await self._seal(completion | {"_metadata": _metadata(head) | await self._attested(head)}, head)

    async def _rotate_or_keep(self) -> None:
        try:
            await anyio.to_thread.run_sync(self.rotate)
        except Exception as error:  # noqa: BLE001 - the present key stays in use, and the next round tries again
            _log.error("the key could not be rotated: %s", type(error).__name__)

    async def _open(self, package: bytes) -> dict[str, Any]:
        check_plaintext_size(package, self.config.max_plaintext_bytes)
        try:
            return await anyio.to_thread.run_sync(self.keys.open, package, limiter=self._crypto_threads)
        except SecurityError:
            pass
        raise Refusal(400, "Failed to decrypt the request")

    async def _attested(self, head: RequestHead) -> dict[str, Any]:
        if self._attester is None:
            return {}
        return {"tpm_attestation": await anyio.to_thread.run_sync(self._attester.attestation, head.payload_id)}

    async def _seal(self, completion: dict[str, Any], head: RequestHead) -> bytes:
        def sealed() -> bytes:
            return seal(
                with_nulls(completion),
                head.client_key,
                limit_bytes=self.config.max_response_bytes,
                processed_at=int(time.time()),
                padded=head.padded_answer,
            )

        try:
            return await anyio.to_thread.run_sync(sealed, limiter=self._crypto_threads)
        except (ValueError, TypeError, RecursionError):  # too large, too deep, or not JSON
            pass
        raise Refusal(NOT_MENDED, "The model's answer cannot be sent")


def _metadata(head: RequestHead) -> dict[str, Any]:
    return {
        "response_status": "success",
        "security_tier": head.security_tier,
        "memory_protection": memory_protection(),
        "cuda_device": cuda_device(),
    }
