"""The two transports: thin async and sync twins over one client of ours each."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Self

import httpx

from ..client import SecureCompletionClient, SyncSecureCompletionClient, announce
from ..errors import NomyoError
from ..exchange.discreet import discreet
from ..exchange.protocol import check_security_tier
from ..exchange.settings import DEFAULT_BASE_URL, DEFAULT_KEY_DIR, KeyDir, Password, SecureMemory, Settings
from ..response import ChatCompletionResponse
from .answers import Answer, answer_for, raised_for, streamed_answer, unwritable_answer, whole_answer
from .asked import NOWHERE_URL, Asked, read_request

# What is no bug of ours: the router's answer, the network, a mistake in the request, the key files.
_EXPECTED = (NomyoError, TypeError, ValueError, OSError)


class _Transport:
    """What the two transports have in common: their options, and how requests are read and answered."""

    _client: SecureCompletionClient | SyncSecureCompletionClient

    @discreet
    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        allow_http: bool = False,
        api_key: str | None = None,
        secure_memory: SecureMemory = True,
        *,
        security_tier: str | None = None,
        timeout: float = 60.0,
        debug: bool = False,
        key_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_interval: float = 86_400.0,
        key_rotation_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_password: Password | None = None,
        server_key_ttl: float = 300.0,
        server_key_fingerprint: str | Collection[str] | None = None,
        max_connections: int = 100,
        http_client: httpx.AsyncClient | httpx.Client | None = None,
    ) -> None:
        """Make a transport; its key pair is opened or generated in the background.

        Args:
            base_url: The router, with or without a final `/v1`; requests to another address are refused.
            api_key: Sent to the router as a bearer token; None reads `NOMYO_API_KEY`. An `Authorization` header that
                the HTTP client sets goes nowhere: it may hold the key of another service.
            security_tier: "standard", "high" or "maximum"; a request's own `X-Security-Tier` header goes before it.
            timeout: Seconds for requests that bring no timeout of their own; those of an HTTP client do.
            http_client: Your own `httpx.Client` (`httpx.AsyncClient` for the async transport) towards the router, for
                proxies, certificates and the like. It stays yours to close.

        The other options are those of `SecureChatCompletion`. There are no retries: they are the HTTP client's.

        Raises:
            ValueError, TypeError: An option is out of range or of the wrong type.
            SecurityError: The API key cannot be an HTTP header; or `secure_memory="require"` and memory cannot be
                locked.
        """
        settings = Settings(
            base_url=base_url,
            allow_http=allow_http,
            api_key=api_key,
            secure_memory=secure_memory,
            timeout=timeout,
            debug=debug,
            key_dir=key_dir,
            key_rotation_interval=key_rotation_interval,
            key_rotation_dir=key_rotation_dir,
            key_rotation_password=key_rotation_password,
            server_key_ttl=server_key_ttl,
            server_key_fingerprint=server_key_fingerprint,
            max_connections=max_connections,
            http_client=http_client,
        )
        announce(settings, stacklevel=4)
        self.start(settings, security_tier)

    @classmethod
    def from_settings(cls, settings: Settings, security_tier: str | None) -> Self:
        """Make a transport from options that were checked already, and that the caller was warned of."""
        transport = cls.__new__(cls)
        transport.start(settings, security_tier)
        return transport

    @property
    def base_url(self) -> str:
        """The address to give to what uses the HTTP client: only a transport answers there.

        A request that goes around the transport, because a second HTTP client was forgotten, say, fails then for want
        of a server; at the router's own address it would travel in clear text.
        """
        return NOWHERE_URL

    def start(self, settings: Settings, security_tier: str | None) -> None:
        """Open the client below; called once, by the constructors."""
        check_security_tier(security_tier)
        self._security_tier = security_tier
        self._router = httpx.URL(settings.base_url)
        self._client = self._open_client(dataclasses.replace(settings, max_retries=0))

    @staticmethod
    def _open_client(settings: Settings) -> SecureCompletionClient | SyncSecureCompletionClient:
        raise NotImplementedError

    def _api_key_for(self, request: httpx.Request) -> str | None:
        """Return the API key of one request; None for the transport's own."""
        return None

    def _read(self, request: httpx.Request, body: bytes) -> Asked | Answer:
        return read_request(request, body, self._router, self._api_key_for(request), self._security_tier)


class SecureTransport(_Transport, httpx.BaseTransport):
    """A transport for `httpx.Client` and `httpx2.Client`; for any number of threads. `close()` wipes its keys."""

    _client: SyncSecureCompletionClient

    @staticmethod
    def _open_client(settings: Settings) -> SyncSecureCompletionClient:
        return SyncSecureCompletionClient.from_settings(settings)

    @discreet
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a chat completion by an encrypted exchange, and refuse everything else.

        Raises:
            httpx.ConnectError, httpx.ReadTimeout: No answer came. Of httpx2, where the request is.
            SecurityError, DisposedError, OSError: As from `SecureChatCompletion.create`; where the OpenAI SDK is
                loaded, these are `openai.OpenAIError` too.
        """
        asked = self._read(request, request.read())
        if isinstance(asked, Answer):
            return asked.as_response(request)
        return _response(request, asked, self._outcome(asked))

    def _outcome(self, asked: Asked) -> ChatCompletionResponse | Exception:
        try:
            return self._client.send(asked.call)
        except _EXPECTED as error:
            return error.with_traceback(None)

    def close(self) -> None:
        """Wipe the private key and close the connections. Idempotent."""
        self._client.close()


class AsyncSecureTransport(_Transport, httpx.AsyncBaseTransport):
    """A transport for `httpx.AsyncClient` and `httpx2.AsyncClient`. `aclose()` wipes its keys."""

    _client: SecureCompletionClient

    @staticmethod
    def _open_client(settings: Settings) -> SecureCompletionClient:
        return SecureCompletionClient.from_settings(settings)

    @discreet
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a chat completion by an encrypted exchange; see `SecureTransport.handle_request`."""
        asked = self._read(request, await request.aread())
        if isinstance(asked, Answer):
            return asked.as_response(request)
        return _response(request, asked, await self._outcome(asked))

    async def _outcome(self, asked: Asked) -> ChatCompletionResponse | Exception:
        try:
            return await self._client.send(asked.call)
        except _EXPECTED as error:
            return error.with_traceback(None)

    async def aclose(self) -> None:
        """Wipe the private key and close the connections. Idempotent."""
        await self._client.aclose()


def _response(request: httpx.Request, asked: Asked, outcome: ChatCompletionResponse | Exception) -> httpx.Response:
    """Return the response for an outcome, or raise; outside of any `except` block, so that no context comes along."""
    if not isinstance(outcome, Exception):
        return _told(asked, outcome).as_response(request)
    answer = answer_for(outcome, asked.call.payload_id)
    if answer is None:
        raise raised_for(outcome, request)
    return answer.as_response(request)


def _told(asked: Asked, completion: ChatCompletionResponse) -> Answer:
    request_id = asked.call.payload_id
    try:
        if asked.stream:
            return streamed_answer(completion, request_id, include_usage=asked.include_usage)
        return whole_answer(completion, request_id)
    except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
        return unwritable_answer(request_id)
