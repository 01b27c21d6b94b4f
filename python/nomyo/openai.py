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

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Unpack, cast

import httpx

try:
    import openai
except ModuleNotFoundError as error:
    if error.name != "openai":
        raise
    raise ModuleNotFoundError(
        "nomyo.openai needs the extra 'openai': pip install 'nomyo[openai]'", name="openai"
    ) from None
if not hasattr(openai.OpenAI, "_auth_headers"):  # before 2.34 its requests and its WebSockets cannot be told apart
    raise ImportError("nomyo.openai needs version 2.34 or later of the OpenAI SDK: pip install 'nomyo[openai]'")

from .exchange.own_names import shows_own_name
from .exchange.protocol import SecurityTier
from .exchange.settings import DEFAULT_BASE_URL, ClientOptions, SecureMemory, Settings
from .exchange.signatures import shows_options
from .exchange.startup import check_client
from .exchange.tracebacks import clears_traceback
from .transports import AsyncSecureTransport, SecureTransport
from .transports.request import NOWHERE_URL, bearer_token

__all__ = ["AsyncOpenAI", "OpenAI"]

# Options of the SDK that lead to other services, each with an authentication of its own.
_NOT_OFFERED: Final = ("provider", "workload_identity", "data_residency", "websocket_base_url")
_NO_KEY: Final = "none"


class _KeyFromHeader:
    """For transports: the API key of a request is the one in its header, because the SDK can change keys."""

    def _api_key_for(self, request: httpx.Request) -> str:
        return bearer_token(request.headers)


class _Transport(_KeyFromHeader, SecureTransport):
    pass


class _AsyncTransport(_KeyFromHeader, AsyncSecureTransport):
    pass


class _SharedHttpClient(openai.DefaultHttpxClient):
    """The HTTP client that a client of ours shares with its copies (`with_options`)."""


class _AsyncSharedHttpClient(openai.DefaultAsyncHttpxClient):
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


class _EncryptedClient:
    """What the async and the sync client add to the SDK's classes."""

    api_key: str
    websocket_base_url: Any
    _custom_headers: Mapping[str, str]

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
        ours, of_sdk = _sorted(options)
        _refuse_other_services(of_sdk)
        key = _api_key(api_key)
        url = base_url
        if not isinstance(http_client, (_SharedHttpClient, _AsyncSharedHttpClient)):
            settings = Settings(
                base_url=DEFAULT_BASE_URL if base_url is None else str(base_url),
                allow_http=allow_http,
                api_key="" if callable(key) else key,  # checked here; each request brings its own
                secure_memory=secure_memory,
                http_client=http_client,
                **ours,
            )
            check_client(settings, stacklevel=4)
            url = settings.base_url
            http_client = self._make_http_client(settings, security_tier)
        # The SDK reads the environment if it is given no key.
        cast(Any, super()).__init__(
            api_key=key or _NO_KEY,
            base_url=url,
            http_client=http_client,
            default_headers=default_headers,
            **of_sdk,
        )
        self._custom_headers = dict(default_headers or {})
        self.websocket_base_url = NOWHERE_URL
        if not key:
            self.api_key = ""

    @staticmethod
    def _make_http_client(settings: Settings, security_tier: str | None) -> Any:
        raise NotImplementedError

    if not TYPE_CHECKING:  # checkers know the SDK's own signature

        def copy(self, *, http_client: Any = None, **options: Any) -> Any:
            """Return a client with some options of the SDK's changed, which shares keys and connections with this one.

            Raises:
                openai.OpenAIError: An HTTP client is given: pins and all else of ours would not hold for it.
            """
            if http_client is not None:
                raise openai.OpenAIError("a copy shares the connections: for another http_client, make another client")
            return super().copy(**options)

        with_options = copy

    @property
    def auth_headers(self) -> dict[str, str]:
        """Refuse: the SDK asks for these where it opens a WebSocket, which would go around the transport.

        Raises:
            openai.OpenAIError: Always.
        """
        words = "only chat completions and responses travel encrypted: WebSockets are not offered; nothing was sent"
        raise openai.OpenAIError(words)

    def _validate_headers(self, *_: object) -> None:
        """Let requests go without a key, to a router that wants none; the SDK would not."""


@shows_own_name
class OpenAI(_EncryptedClient, openai.OpenAI):
    """`openai.OpenAI`, whose chat completions and responses travel encrypted; for any number of threads."""

    @staticmethod
    def _make_http_client(settings: Settings, security_tier: str | None) -> _SharedHttpClient:
        transport: Any = _Transport.from_settings(settings, security_tier)  # of httpx in name, and used by httpx2 too
        return _SharedHttpClient(transport=transport)


@shows_own_name
class AsyncOpenAI(_EncryptedClient, openai.AsyncOpenAI):
    """`openai.AsyncOpenAI`, whose chat completions and responses travel encrypted."""

    @staticmethod
    def _make_http_client(settings: Settings, security_tier: str | None) -> _AsyncSharedHttpClient:
        transport: Any = _AsyncTransport.from_settings(settings, security_tier)
        return _AsyncSharedHttpClient(transport=transport)


def _sorted(options: _Options) -> tuple[ClientOptions, dict[str, Any]]:
    """Return our options, and all others for the SDK, whose constructor refuses unknown ones."""
    ours = {name: value for name, value in options.items() if name in ClientOptions.__annotations__}
    return cast(ClientOptions, ours), {name: value for name, value in options.items() if name not in ours}


def _api_key(given: str | Callable[[], Any] | None) -> str | Callable[[], Any]:
    if given is not None:
        return given
    key = os.environ.get("NOMYO_API_KEY")
    if not key:
        raise openai.OpenAIError(
            "the router's API key is missing: pass api_key, or set NOMYO_API_KEY. OPENAI_API_KEY is not read:"
            " a key of OpenAI's has no business at another service. For a router that wants none, pass api_key=''"
        )
    return key


def _refuse_other_services(options: Mapping[str, Any]) -> None:
    for name in _NOT_OFFERED:
        if options.get(name) not in (None, NOWHERE_URL):  # `copy` passes the client's own value, NOWHERE_URL
            raise openai.OpenAIError(f"{name} leads around the router, in clear text: it cannot be used here")
