"""The OpenAI SDK's own clients, whose chat completions travel encrypted.

    from nomyo.openai import OpenAI

    client = OpenAI(api_key="...")

`OpenAI` and `AsyncOpenAI` are subclasses of the SDK's, of major 2 and of major 3 alike, with a transport of ours
(`nomyo.transports`) inside. See docs/openai.md.

Rules:

- What the SDK takes from the environment for OpenAI's service never reaches the router: not `OPENAI_API_KEY`, not
  `OPENAI_BASE_URL`, not `OPENAI_CUSTOM_HEADERS`. Ours are `NOMYO_API_KEY` and `NOMYO_BASE_URL`.
- Whatever the router does not offer is refused before anything leaves: by the transport, and where the SDK would go
  around it (WebSockets), here. Should it find another way, that leads nowhere.
- Retries and timeouts are the SDK's alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

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

from .client import announce
from .exchange.discreet import discreet
from .exchange.settings import DEFAULT_BASE_URL, DEFAULT_KEY_DIR, KeyDir, Password, SecureMemory, Settings
from .transports import AsyncSecureTransport, SecureTransport
from .transports.asked import NOWHERE_URL, bearer_token

__all__ = ["AsyncOpenAI", "OpenAI"]

# Ways of the SDK to other services, each with an authentication of its own.
_NOT_OFFERED: Final = ("provider", "workload_identity", "data_residency", "websocket_base_url")
_NO_KEY: Final = "none"


class _HeaderKey:
    """For transports: the API key of each request is what the SDK put into its header, for keys can change there."""

    def _api_key_for(self, request: httpx.Request) -> str:
        return bearer_token(request.headers)


class _Transport(_HeaderKey, SecureTransport):
    pass


class _AsyncTransport(_HeaderKey, AsyncSecureTransport):
    pass


class _Carrier(openai.DefaultHttpxClient):
    """The HTTP client that a client of ours shares with its copies (`with_options`)."""


class _AsyncCarrier(openai.DefaultAsyncHttpxClient):
    """The same with asyncio."""


class _Private:
    """What makes a client of the SDK private, for both of its kinds."""

    api_key: str
    websocket_base_url: Any
    _custom_headers: Mapping[str, str]

    @discreet
    def __init__(
        self,
        *,
        api_key: str | Callable[[], Any] | None = None,
        base_url: object = None,
        allow_http: bool = False,
        secure_memory: SecureMemory = True,
        security_tier: str | None = None,
        debug: bool = False,
        key_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_interval: float = 86_400.0,
        key_rotation_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_password: Password | None = None,
        server_key_ttl: float = 300.0,
        server_key_fingerprint: str | Collection[str] | None = None,
        max_connections: int = 100,
        http_client: Any = None,
        default_headers: Mapping[str, str] | None = None,
        **sdk_options: Any,
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
            sdk_options: `timeout`, `max_retries` and all else that the SDK takes.

        The other options are those of `nomyo.SecureChatCompletion`.

        Raises:
            openai.OpenAIError: There is no API key, or an option of the SDK's leads to another service.
            ValueError, TypeError: An option is out of range or of the wrong type.
            SecurityError: The API key cannot be an HTTP header; or `secure_memory="require"` and memory cannot be
                locked.
        """
        _refuse_other_services(sdk_options)
        key = _api_key(api_key)
        url = base_url
        if not isinstance(http_client, (_Carrier, _AsyncCarrier)):
            settings = Settings(
                base_url=DEFAULT_BASE_URL if base_url is None else str(base_url),
                allow_http=allow_http,
                api_key="" if callable(key) else key,  # checked here; each request brings its own
                secure_memory=secure_memory,
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
            url = settings.base_url
            http_client = self._carrier(settings, security_tier)
        # The SDK reads the environment where it is given no key.
        cast(Any, super()).__init__(
            api_key=key or _NO_KEY,
            base_url=url,
            http_client=http_client,
            default_headers=default_headers,
            **sdk_options,
        )
        self._custom_headers = dict(default_headers or {})
        self.websocket_base_url = NOWHERE_URL
        if not key:
            self.api_key = ""

    @staticmethod
    def _carrier(settings: Settings, security_tier: str | None) -> Any:
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
        raise openai.OpenAIError("only chat completions travel encrypted: WebSockets are not offered; nothing was sent")

    def _validate_headers(self, *_: object) -> None:
        """Let requests go without a key, to a router that wants none; the SDK would not."""


class OpenAI(_Private, openai.OpenAI):
    """`openai.OpenAI`, whose chat completions travel encrypted; for any number of threads."""

    @staticmethod
    def _carrier(settings: Settings, security_tier: str | None) -> _Carrier:
        transport: Any = _Transport.from_settings(settings, security_tier)  # of httpx in name, and used by httpx2 too
        return _Carrier(transport=transport)


class AsyncOpenAI(_Private, openai.AsyncOpenAI):
    """`openai.AsyncOpenAI`, whose chat completions travel encrypted."""

    @staticmethod
    def _carrier(settings: Settings, security_tier: str | None) -> _AsyncCarrier:
        transport: Any = _AsyncTransport.from_settings(settings, security_tier)
        return _AsyncCarrier(transport=transport)


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
        if options.get(name) not in (None, NOWHERE_URL):  # a copy is given what the client has
            raise openai.OpenAIError(f"{name} leads around the router, in clear text: it cannot be used here")
