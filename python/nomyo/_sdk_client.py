"""What `nomyo.openai` and `nomyo.anthropic` have in common: a client of an SDK, with a transport of ours inside.

- The key is ours (`NOMYO_API_KEY`): keys that the environment holds for another service never reach the router, nor do
  its addresses and headers.
- Options that lead to other services are refused.
- Copies (`with_options`) share keys and connections. Only the SDK retries, and only its timeouts hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import httpx

from .exchange.settings import DEFAULT_BASE_URL, ClientOptions, SecureMemory, Settings
from .exchange.startup import check_client
from .transports import AsyncSecureTransport, SecureTransport
from .transports.request import NOWHERE_URL, bearer_token

_NO_KEY: Final = "none"


@dataclass(frozen=True, slots=True)
class Sdk:
    """What differs between SDKs.

    Args:
        name: Whose it is.
        error: The root of its errors.
        key_variable: The variable in which it looks for a key.
        not_offered: Its options that lead to other services, each with an authentication of its own.
    """

    name: str
    error: type[Exception]
    key_variable: str
    not_offered: tuple[str, ...]


class _KeyFromHeader:
    """For transports: the API key of a request is the one in its header, because the SDK can change keys."""

    def _api_key_for(self, request: httpx.Request) -> str:
        return bearer_token(request.headers)


class KeyedTransport(_KeyFromHeader, SecureTransport):
    """The transport of a sync client."""


class AsyncKeyedTransport(_KeyFromHeader, AsyncSecureTransport):
    """The transport of an async client."""


class SharedHttpClient:
    """Marks the HTTP client that a client of ours shares with its copies (`with_options`)."""


class EncryptedClient:
    """What async and sync clients add to an SDK's classes."""

    _sdk: ClassVar[Sdk]
    _transport_class: ClassVar[type[KeyedTransport] | type[AsyncKeyedTransport]]
    _http_client_class: ClassVar[type[SharedHttpClient]]
    api_key: Any
    _custom_headers: Mapping[str, str]

    def _open(
        self,
        api_key: str | Callable[[], Any] | None,
        base_url: object,
        allow_http: bool,
        secure_memory: SecureMemory,
        security_tier: str | None,
        http_client: Any,
        default_headers: Mapping[str, str] | None,
        options: Mapping[str, Any],
    ) -> None:
        """Do what the constructors promise; they call it directly, so that warnings point at their caller."""
        ours, of_sdk = _sorted(options)
        self._refuse_other_services(of_sdk)
        key = self._key(api_key)
        url = base_url
        if not isinstance(http_client, SharedHttpClient):
            settings = Settings(
                base_url=DEFAULT_BASE_URL if base_url is None else str(base_url),
                allow_http=allow_http,
                api_key="" if callable(key) else key,  # checked here; each request brings its own
                secure_memory=secure_memory,
                http_client=http_client,
                **ours,
            )
            check_client(settings, stacklevel=5)
            url = settings.base_url
            transport = self._transport_class.from_settings(settings, security_tier)
            # The transport is of httpx in name, and used by httpx2 too.
            http_client = cast(Any, self._http_client_class)(transport=transport)
        # The SDK reads the environment if it is given no key.
        cast(Any, super()).__init__(
            api_key=key or _NO_KEY,
            base_url=url,
            http_client=http_client,
            default_headers=default_headers,
            **of_sdk,
        )
        self._custom_headers = dict(default_headers or {})
        if not key:
            self.api_key = ""

    if not TYPE_CHECKING:  # checkers know the SDK's own signature

        def copy(self, *, http_client: Any = None, **options: Any) -> Any:
            """Return a client with some options of the SDK's changed, which shares keys and connections with this one.

            Raises:
                openai.OpenAIError, anthropic.AnthropicError: An HTTP client is given: pins and all else of ours would
                    not hold for it.
            """
            if http_client is not None:
                raise self._sdk.error("a copy shares the connections: for another http_client, make another client")
            return super().copy(**options)

        with_options = copy

    def _validate_headers(self, *_: object) -> None:
        """Let requests go without a key, to a router that wants none; the SDK would not."""

    def _key(self, given: str | Callable[[], Any] | None) -> str | Callable[[], Any]:
        if given is not None:
            return given
        key = os.environ.get("NOMYO_API_KEY")
        if not key:
            raise self._sdk.error(
                f"the router's API key is missing: pass api_key, or set NOMYO_API_KEY. {self._sdk.key_variable} is not"
                f" read: a key of {self._sdk.name}'s has no business at another service. For a router that wants none,"
                " pass api_key=''"
            )
        return key

    def _refuse_other_services(self, options: Mapping[str, Any]) -> None:
        for name in self._sdk.not_offered:
            if options.get(name) not in (None, NOWHERE_URL):  # `copy` passes the client's own value, NOWHERE_URL
                raise self._sdk.error(f"{name} leads around the router, in clear text: it cannot be used here")


def _sorted(options: Mapping[str, Any]) -> tuple[ClientOptions, dict[str, Any]]:
    """Return our options, and all others for the SDK, whose constructor refuses unknown ones."""
    ours = {name: value for name, value in options.items() if name in ClientOptions.__annotations__}
    return cast(ClientOptions, ours), {name: value for name, value in options.items() if name not in ours}
