"""Anthropic's SDK's own clients, whose messages travel encrypted.

    from nomyo.anthropic import Anthropic

    client = Anthropic(api_key="...")

`Anthropic` and `AsyncAnthropic` are subclasses of the SDK's, with a transport of ours (`nomyo.transports`) inside. The
router knows chat completions: each request is translated on this machine, then sealed. See docs/anthropic.md.

Rules:

- Variables of the environment for Anthropic's service never reach the router: not `ANTHROPIC_API_KEY`, not
  `ANTHROPIC_AUTH_TOKEN`, not `ANTHROPIC_BASE_URL`, not `ANTHROPIC_CUSTOM_HEADERS`. Ours are `NOMYO_API_KEY` and
  `NOMYO_BASE_URL`. Profiles and credentials on disk are not looked for.
- Whatever the router does not offer is refused by the transport, before anything leaves.
- Only the SDK retries, and only its timeouts hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Unpack

from ._install_command import install_command

try:
    import anthropic
    import httpx2
except ModuleNotFoundError as error:
    if error.name != "anthropic":
        raise
    raise ModuleNotFoundError(
        f"nomyo.anthropic needs the extra 'anthropic': {install_command('anthropic')}", name="anthropic"
    ) from None

from ._sdk_client import AsyncKeyedTransport, EncryptedClient, KeyedTransport, Sdk, SharedHttpClient
from .exchange.own_names import shows_own_name
from .exchange.protocol import SecurityTier
from .exchange.settings import ClientOptions, SecureMemory
from .exchange.signatures import shows_options
from .exchange.tracebacks import clears_traceback

__all__ = ["Anthropic", "AsyncAnthropic"]

# Options of the SDK that lead to other services, or hold their credentials.
_NOT_OFFERED: Final = ("auth_token", "credentials", "config", "profile")


class _OfHttpx2(httpx2.BaseTransport):
    """A transport of ours as one of httpx2: the SDK takes no other, although ours answers requests of both."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    @clears_traceback
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response: httpx2.Response = self.transport.handle_request(request)
        return response

    def close(self) -> None:
        self.transport.close()


class _AsyncOfHttpx2(httpx2.AsyncBaseTransport):
    """The same with asyncio."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    @clears_traceback
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response: httpx2.Response = await self.transport.handle_async_request(request)
        return response

    async def aclose(self) -> None:
        await self.transport.aclose()


class _SharedHttpClient(SharedHttpClient, anthropic.DefaultHttpxClient):
    """The HTTP client that a client of ours shares with its copies (`with_options`)."""

    def __init__(self, transport: KeyedTransport) -> None:
        super().__init__(transport=_OfHttpx2(transport))


class _AsyncSharedHttpClient(SharedHttpClient, anthropic.DefaultAsyncHttpxClient):
    """The same with asyncio."""

    def __init__(self, transport: AsyncKeyedTransport) -> None:
        super().__init__(transport=_AsyncOfHttpx2(transport))


class _Options(ClientOptions, total=False):
    """Our options, and those of the SDK that are passed to it unchanged."""

    timeout: float | anthropic.Timeout | anthropic.NotGiven | None
    max_retries: int
    webhook_key: str | None
    default_query: Mapping[str, object] | None
    open_telemetry: Any
    middleware: Sequence[Any] | None
    _strict_response_validation: bool


class _EncryptedClient(EncryptedClient):
    """What the async and the sync client add to the SDK's classes."""

    _sdk = Sdk("Anthropic", anthropic.AnthropicError, "ANTHROPIC_API_KEY", _NOT_OFFERED)

    @clears_traceback
    @shows_options(_Options, timeout=anthropic.NOT_GIVEN)
    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: object = None,
        allow_http: bool = False,
        secure_memory: SecureMemory = True,
        security_tier: SecurityTier | None = None,
        http_client: Any = None,
        default_headers: Mapping[str, str] | None = None,
        **options: Unpack[_Options],
    ) -> None:
        """Make a client; its key pair is opened or generated in the background.

        Args:
            api_key: The router's; None reads `NOMYO_API_KEY`, never `ANTHROPIC_API_KEY`. `""` sends none.
            base_url: The router, with or without a final `/v1`; None reads `NOMYO_BASE_URL`.
            security_tier: "standard", "high" or "maximum"; for one request,
                `extra_headers={"X-Security-Tier": "high"}`.
            http_client: Your own `httpx.Client` (`httpx.AsyncClient` for `AsyncAnthropic`) towards the router, for
                proxies, certificates and the like. It stays yours to close.
            default_headers: As in the SDK; only `X-Security-Tier` and `Authorization` mean anything here.
            options: Those of `nomyo.SecureChatCompletion`, but `timeout`, `max_retries` and all others are the SDK's.

        Raises:
            anthropic.AnthropicError: There is no API key, or an option of the SDK's leads to another service.
            ValueError, TypeError: An option is out of range or of the wrong type.
            SecurityError: The API key cannot be an HTTP header; or `secure_memory="require"` and memory cannot be
                locked.
        """
        self._open(api_key, base_url, allow_http, secure_memory, security_tier, http_client, default_headers, options)


@shows_own_name
class Anthropic(_EncryptedClient, anthropic.Anthropic):
    """`anthropic.Anthropic`, whose messages travel encrypted; for any number of threads."""

    _transport_class = KeyedTransport
    _http_client_class = _SharedHttpClient


@shows_own_name
class AsyncAnthropic(_EncryptedClient, anthropic.AsyncAnthropic):
    """`anthropic.AsyncAnthropic`, whose messages travel encrypted."""

    _transport_class = AsyncKeyedTransport
    _http_client_class = _AsyncSharedHttpClient
