"""The two transports, async and sync: each is a thin layer over a client of ours."""

from __future__ import annotations

import dataclasses
from typing import Self, Unpack

import httpx

from .._api_form import Answer
from ..client import SecureCompletionClient, SyncSecureCompletionClient
from ..errors import NomyoError
from ..exchange.own_names import shows_own_name
from ..exchange.protocol import SecurityTier, check_security_tier
from ..exchange.settings import DEFAULT_BASE_URL, PATIENT_TIMEOUT_S, ClientOptions, SecureMemory, Settings, client_repr
from ..exchange.signatures import refuse_unknown, shows_options
from ..exchange.startup import check_client
from ..exchange.tracebacks import clears_traceback
from ..responses import ChatCompletionResponse
from .answers import answer_for, answer_with, exception_for, response_of
from .request import NOWHERE_URL, SealedRequest, read_request

# Errors that are not bugs of ours: the router's answer, the network, a mistake in the request, the key files.
_EXPECTED = (NomyoError, TypeError, ValueError, OSError)


class _Transport:
    """What the two transports have in common: their options, and how requests are read and answered."""

    _client: SecureCompletionClient | SyncSecureCompletionClient

    @clears_traceback
    @shows_options()
    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        allow_http: bool = False,
        api_key: str | None = None,
        secure_memory: SecureMemory = True,
        *,
        security_tier: SecurityTier | None = None,
        timeout: float = PATIENT_TIMEOUT_S,
        http_client: httpx.AsyncClient | httpx.Client | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """Make a transport; its key pair is opened or generated in the background.

        Args:
            base_url: The router, with or without a final `/v1`; requests to another address are refused.
            api_key: Sent to the router as a bearer token; None reads `NOMYO_API_KEY`. An `Authorization` header that
                the HTTP client sets goes nowhere: it may hold the key of another service.
            security_tier: "standard", "high" or "maximum"; a request's own `X-Security-Tier` header takes precedence.
            timeout: Seconds for each step of a request that has no timeout of its own: a connection (60 at most),
                each 64 KiB of the request, the answer up to its headers' end, its body. An HTTP client gives each of
                its requests a timeout: give it one that is long enough, because httpx's default is 5 s.
            http_client: Your own `httpx.Client` (`httpx.AsyncClient` for the async transport) towards the router, for
                proxies, certificates and the like. It stays yours to close.

        The other options are those of `SecureChatCompletion`. There are no retries: they are the HTTP client's.

        Raises:
            ValueError, TypeError: An option is out of range or of the wrong type.
            SecurityError: The API key cannot be an HTTP header; or `secure_memory="require"` and memory cannot be
                locked.
        """
        refuse_unknown(type(self), options)
        settings = Settings(
            base_url=base_url,
            allow_http=allow_http,
            api_key=api_key,
            secure_memory=secure_memory,
            timeout=timeout,
            http_client=http_client,
            **options,
        )
        check_client(settings, stacklevel=4)
        self.start(settings, security_tier)

    @classmethod
    def from_settings(cls, settings: Settings, security_tier: str | None) -> Self:
        """Make a transport from options that were checked already, and that the caller was warned of."""
        transport = cls.__new__(cls)
        transport.start(settings, security_tier)
        return transport

    def __repr__(self) -> str:
        """Show the router's address, the key directory, and whether the router's key is pinned."""
        return client_repr(self, self._client.settings if hasattr(self, "_client") else None)

    @property
    def base_url(self) -> str:
        """The address to give to what uses the HTTP client: only a transport answers there.

        If a request goes around the transport, because a second HTTP client was forgotten, for example, it fails: no
        server has this address. At the router's own address it would travel in clear text.
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

    def _read(self, request: httpx.Request, body: bytes) -> SealedRequest | Answer:
        return read_request(request, body, self._router, self._api_key_for(request), self._security_tier)


@shows_own_name
class SecureTransport(_Transport, httpx.BaseTransport):
    """A transport for `httpx.Client` and `httpx2.Client`; for any number of threads. `close()` wipes its keys."""

    _client: SyncSecureCompletionClient

    @staticmethod
    def _open_client(settings: Settings) -> SyncSecureCompletionClient:
        return SyncSecureCompletionClient.from_settings(settings)

    @clears_traceback
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for a model by an encrypted exchange, and refuse everything else.

        Raises:
            httpx.ConnectError, httpx.ReadTimeout: No answer came. Of httpx2, if the request is.
            SecurityError, ConfigurationError, DisposedError, OSError: As from `SecureChatCompletion.create`. If an SDK
                is loaded, these are also its error: `openai.OpenAIError`, `anthropic.AnthropicError`.
        """
        sealed = self._read(request, request.read())
        if isinstance(sealed, Answer):
            return response_of(sealed, request)
        return _response(request, sealed, self._outcome(sealed))

    def _outcome(self, sealed: SealedRequest) -> ChatCompletionResponse | Exception:
        try:
            return self._client.send(sealed.call)
        except _EXPECTED as error:
            return error.with_traceback(None)

    def close(self) -> None:
        """Wipe the private key and close the connections. Idempotent."""
        self._client.close()


@shows_own_name
class AsyncSecureTransport(_Transport, httpx.AsyncBaseTransport):
    """A transport for `httpx.AsyncClient` and `httpx2.AsyncClient`. `aclose()` wipes its keys."""

    _client: SecureCompletionClient

    @staticmethod
    def _open_client(settings: Settings) -> SecureCompletionClient:
        return SecureCompletionClient.from_settings(settings)

    @clears_traceback
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for a model by an encrypted exchange; see `SecureTransport.handle_request`."""
        sealed = self._read(request, await request.aread())
        if isinstance(sealed, Answer):
            return response_of(sealed, request)
        return _response(request, sealed, await self._outcome(sealed))

    async def _outcome(self, sealed: SealedRequest) -> ChatCompletionResponse | Exception:
        try:
            return await self._client.send(sealed.call)
        except _EXPECTED as error:
            return error.with_traceback(None)

    async def aclose(self) -> None:
        """Wipe the private key and close the connections. Idempotent."""
        await self._client.aclose()


def _response(
    request: httpx.Request, sealed: SealedRequest, outcome: ChatCompletionResponse | Exception
) -> httpx.Response:
    """Return the response for an outcome, or raise; outside of any `except` block, so that the error has no context."""
    request_id = sealed.call.payload_id
    if not isinstance(outcome, Exception):
        return response_of(answer_with(outcome, request_id, sealed.form, sealed.read), request)
    refused = answer_for(outcome, request_id, sealed.form)
    if refused is None:
        raise exception_for(outcome, request)
    return response_of(refused, request)
