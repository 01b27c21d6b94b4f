"""The OpenAI SDK's own clients, whose chat completions and responses travel encrypted.

    from nomyo.openai import OpenAI

    client = OpenAI(api_key="...")

`OpenAI` and `AsyncOpenAI` are subclasses of the SDK's, of major 2 and of major 3 alike, with a transport of ours
(`nomyo.transports`) inside. See docs/openai.md.

Rules:

- Variables of the environment for OpenAI's service never reach the router: not `OPENAI_API_KEY`, not
  `OPENAI_BASE_URL`, not `OPENAI_CUSTOM_HEADERS`. Ours are `NOMYO_API_KEY` and `NOMYO_BASE_URL`.
- Whatever the router does not offer is refused before anything leaves. The transport refuses it; WebSockets, which go
  around the transport, are refused here. If the SDK found another way around, its address would lead nowhere.
- Only the SDK retries, and only its timeouts hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Unpack

from ._install_command import install_command

try:
    import openai
except ModuleNotFoundError as error:
    if error.name != "openai":
        raise
    raise ModuleNotFoundError(
        f"nomyo.openai needs the extra 'openai': {install_command('openai')}", name="openai"
    ) from None
if not hasattr(openai.OpenAI, "_auth_headers"):  # before 2.34 its requests and its WebSockets cannot be told apart
    raise ImportError(f"nomyo.openai needs version 2.34 or later of the OpenAI SDK: {install_command('openai')}")

from ._sdk_client import AsyncKeyedTransport, EncryptedClient, KeyedTransport, Sdk, SharedHttpClient
from .exchange.own_names import shows_own_name
from .exchange.protocol import SecurityTier
from .exchange.settings import ClientOptions, SecureMemory
from .exchange.signatures import shows_options
from .exchange.tracebacks import clears_traceback
from .transports.request import NOWHERE_URL

__all__ = ["AsyncOpenAI", "OpenAI"]

# Options of the SDK that lead to other services, each with an authentication of its own.
_NOT_OFFERED: Final = ("provider", "workload_identity", "data_residency", "websocket_base_url")


class _SharedHttpClient(SharedHttpClient, openai.DefaultHttpxClient):
    """The HTTP client that a client of ours shares with its copies (`with_options`)."""


class _AsyncSharedHttpClient(SharedHttpClient, openai.DefaultAsyncHttpxClient):
    """The same with asyncio."""


class _Options(ClientOptions, total=False):
    """Our options, and those of the SDK that are passed to it unchanged."""

    timeout: float | openai.Timeout | openai.NotGiven | None
    max_retries: int
    organization: str | None
    project: str | None
    webhook_secret: str | None
    admin_api_key: str | None
    default_query: Mapping[str, object] | None
    _strict_response_validation: bool
    _enforce_credentials: bool


class _EncryptedClient(EncryptedClient):
    """What the async and the sync client add to the SDK's classes."""

    _sdk = Sdk("OpenAI", openai.OpenAIError, "OPENAI_API_KEY", _NOT_OFFERED)
    websocket_base_url: Any

    @clears_traceback
    @shows_options(_Options, timeout=openai.NOT_GIVEN)
    def __init__(
        self,
        *,
        api_key: str | Callable[[], Any] | None = None,
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
            api_key: The router's; None reads `NOMYO_API_KEY`, never `OPENAI_API_KEY`. A function that returns it is
                called before each request, as in the SDK. `""` sends none.
            base_url: The router, with or without a final `/v1`; None reads `NOMYO_BASE_URL`.
            security_tier: "standard", "high" or "maximum"; for one request,
                `extra_headers={"X-Security-Tier": "high"}`.
            http_client: Your own `httpx.Client` (`httpx.AsyncClient` for `AsyncOpenAI`) towards the router, for
                proxies, certificates and the like. It stays yours to close.
            default_headers: As in the SDK; only `X-Security-Tier` and `Authorization` mean anything here.
            options: Those of `nomyo.SecureChatCompletion`, but `timeout`, `max_retries` and all others are the SDK's.

        Raises:
            openai.OpenAIError: There is no API key, or an option of the SDK's leads to another service.
            ValueError, TypeError: An option is out of range or of the wrong type.
            SecurityError: The API key cannot be an HTTP header; or `secure_memory="require"` and memory cannot be
                locked.
        """
        self._open(api_key, base_url, allow_http, secure_memory, security_tier, http_client, default_headers, options)
        self.websocket_base_url = NOWHERE_URL

    @property
    def auth_headers(self) -> dict[str, str]:
        """Refuse: the SDK asks for these where it opens a WebSocket, which would go around the transport.

        Raises:
            openai.OpenAIError: Always.
        """
        words = "only chat completions and responses travel encrypted: WebSockets are not offered; nothing was sent"
        raise openai.OpenAIError(words)


@shows_own_name
class OpenAI(_EncryptedClient, openai.OpenAI):
    """`openai.OpenAI`, whose chat completions and responses travel encrypted; for any number of threads."""

    _transport_class = KeyedTransport
    _http_client_class = _SharedHttpClient


@shows_own_name
class AsyncOpenAI(_EncryptedClient, openai.AsyncOpenAI):
    """`openai.AsyncOpenAI`, whose chat completions and responses travel encrypted."""

    _transport_class = AsyncKeyedTransport
    _http_client_class = _AsyncSharedHttpClient
