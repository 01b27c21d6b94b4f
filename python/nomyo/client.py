"""`SecureCompletionClient`: key management, sealing and opening as operations of their own.

Most programs want `SecureChatCompletion` (`nomyo.chat`), which is built on this.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .exchange.discreet import discreet
from .exchange.driver import run_async, run_sync
from .exchange.effects import Flow
from .exchange.flow import Call, Exchange
from .exchange.http import AsyncHttp, SyncHttp
from .exchange.settings import DEFAULT_BASE_URL, DEFAULT_KEY_DIR, KeyDir, Password, SecureMemory, Settings, check_path
from .exchange.trace import enable_debug_log
from .memory import check_working_memory
from .response import ChatCompletionResponse
from .secure_response import SecureResponse

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class _CompletionClient:
    """What the async and the sync client have in common: their options and their end."""

    _http: AsyncHttp | SyncHttp

    @discreet
    def __init__(
        self,
        router_url: str = DEFAULT_BASE_URL,
        allow_http: bool = False,
        secure_memory: SecureMemory = True,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        debug: bool = False,
        max_retries: int = 2,
        key_size: int = 4096,
        key_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_interval: float = 86_400.0,
        key_rotation_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_password: Password | None = None,
        server_key_ttl: float = 300.0,
        server_key_fingerprint: str | Collection[str] | None = None,
        max_connections: int = 100,
        http_client: httpx.AsyncClient | httpx.Client | None = None,
    ) -> None:
        """Make a client; its key pair is opened or generated in the background.

        Args:
            router_url: The router, with or without a final `/v1`; `https://` unless `allow_http`.
            key_size: Bits of the RSA keys it generates, 2048 or 4096.

        The other options are those of `SecureChatCompletion`, and so are the errors.
        """
        settings = Settings(
            base_url=router_url,
            allow_http=allow_http,
            api_key=api_key,
            secure_memory=secure_memory,
            timeout=timeout,
            debug=debug,
            max_retries=max_retries,
            key_size=key_size,
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
        self.start(settings)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make a client from options that were checked already, and that the caller was warned of."""
        client = cls.__new__(cls)
        client.start(settings)
        return client

    def start(self, settings: Settings) -> None:
        """Open the keys and the connection pool; called once, by the constructors."""
        self._http = self._open_http(settings)
        self._exchange = Exchange(settings)
        weakref.finalize(self, self._http.close)

    @staticmethod
    def _open_http(settings: Settings) -> AsyncHttp | SyncHttp:
        raise NotImplementedError

    @property
    def settings(self) -> Settings:
        """The options that the client was made with."""
        return self._exchange.settings

    def check_usable(self) -> None:
        """Raise DisposedError after `dispose()`, SecurityError in a forked child."""
        self._exchange.check_usable()

    def dispose(self) -> None:
        """Stop key rotation, wipe the private key, close the connections. Idempotent.

        Requests under way end with DisposedError, and so does every later call.
        """
        self._exchange.dispose()
        self._http.close()


class SecureCompletionClient(_CompletionClient):
    """Key management, sealing and opening, for asyncio."""

    _http: AsyncHttp

    @staticmethod
    def _open_http(settings: Settings) -> AsyncHttp:
        return AsyncHttp(settings)

    @discreet
    async def generate_keys(
        self,
        *,
        key_size: int | None = None,
        save_to_file: bool = False,
        key_dir: KeyDir = "client_keys",
        password: Password | None = None,
    ) -> None:
        """Generate a fresh RSA key pair and use it from now on.

        Args:
            key_size: 2048 or 4096 bits; the client's own `key_size` by default.
            save_to_file: Whether to replace the pair in `key_dir`, atomically.
            key_dir: The directory for the files.
            password: Encrypts the private key's file; at least 8 characters.

        Raises:
            ValueError, TypeError: The size is another, the password too short, or `key_dir` no path.
            SecurityError: The directory is a symbolic link or belongs to somebody else.
            OSError: The files cannot be written.
            DisposedError: The client was disposed of.
        """
        await self._run(self._exchange.generate_keys(key_size, saved_to(key_dir, save_to_file), password))

    @discreet
    async def load_keys(
        self, private_key_path: KeyDir, public_key_path: KeyDir | None = None, password: Password | None = None
    ) -> None:
        """Load a key pair from PEM files and use it from now on.

        Args:
            private_key_path: PKCS#8 PEM, with or without a password, or the JavaScript client's form.
            public_key_path: SPKI PEM; derived from the private key by default.
            password: Opens the private key.

        Raises:
            SecurityError: The files cannot be opened, or do not belong together.
            OSError: The files cannot be read.
            DisposedError: The client was disposed of.
        """
        await self._run(self._exchange.load_keys(private_key_path, public_key_path, password))

    @discreet
    async def wait_for_keys(self) -> None:
        """Wait until there is a key pair, as each request does; an error of its files comes before the first then.

        Raises:
            SecurityError: The key directory cannot be used, or a password is wrong.
            OSError: A file cannot be read or written.
            DisposedError: The client was disposed of.
        """
        await self._run(self._exchange.keys_ready())

    @discreet
    async def fetch_server_public_key(self) -> str:
        """Ask the router for its public key.

        Returns:
            The key as SPKI PEM.

        Raises:
            SecurityError: Plain HTTP without `allow_http`, no acceptable key, or a key that matches no pin.
            APIError, APIConnectionError: The router did not give it.
            DisposedError: The client was disposed of.
        """
        return await self._run(self._exchange.fetch_server_key())

    @discreet
    async def encrypt_payload(self, payload: Mapping[str, Any]) -> bytes:
        """Seal a payload for the router.

        Args:
            payload: The chat request; a `SecureBuffer` (UTF-8) may stand for any string in it.

        Returns:
            The package, ready to be sent.

        Raises:
            TypeError, ValueError: The payload is no mapping, empty, not JSON, or larger than 10 MiB;
                the message names the path.
            SecurityError, APIError, APIConnectionError: As in `fetch_server_public_key`.
            DisposedError: The client was disposed of.
        """
        return await self._run(self._exchange.seal(Call(payload)))

    @discreet
    async def decrypt_response(self, encrypted: bytes, payload_id: str) -> ChatCompletionResponse:
        """Open an answer that was sealed for the present key pair.

        Args:
            encrypted: The package as it came.
            payload_id: Is put into the response's `_metadata`.

        Raises:
            TypeError: `encrypted` is not bytes.
            SecurityError: The package cannot be opened, for whatever reason.
            DisposedError: The client was disposed of.
        """
        return await self._run(self._exchange.open(encrypted, payload_id))

    @discreet
    async def send_secure_request(
        self,
        payload: Mapping[str, Any],
        payload_id: str,
        api_key: str | None = None,
        security_tier: str | None = None,
    ) -> ChatCompletionResponse:
        """Seal a payload, send it with retries, and open the answer.

        Args:
            payload: The chat request.
            payload_id: Identifies the request; a UUID4.
            api_key: Takes precedence over the client's own.
            security_tier: "standard", "high" or "maximum".

        Raises:
            TypeError, ValueError: As in `encrypt_payload`; or the tier does not exist.
            APIError: The router refused, by its status; see `nomyo.errors`.
            APIConnectionError: No answer came.
            SecurityError: Plain HTTP, a value that cannot be a header, pins, or an answer that cannot be opened.
            DisposedError: The client was disposed of.
        """
        return await self.send(Call(payload, payload_id, api_key, security_tier))

    async def send(self, call: Call) -> ChatCompletionResponse:
        """Send a prepared call; see `send_secure_request`."""
        return await self._run(self._exchange.send(call))

    async def send_secret(self, call: Call) -> SecureResponse:
        """Send a prepared call, and open the answer into locked memory."""
        return await self._run(self._exchange.send_secret(call))

    async def aclose(self) -> None:
        """Do what `dispose` does, and wait until the connections are closed."""
        self._exchange.dispose()
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client; leaving the block disposes of it."""
        self.check_usable()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Dispose of the client."""
        await self.aclose()

    async def _run(self, flow: Flow[T]) -> T:
        return await run_async(flow, self._http)


class SyncSecureCompletionClient(_CompletionClient):
    """Key management, sealing and opening, without asyncio; for any number of threads."""

    _http: SyncHttp

    @staticmethod
    def _open_http(settings: Settings) -> SyncHttp:
        return SyncHttp(settings)

    @discreet
    def generate_keys(
        self,
        *,
        key_size: int | None = None,
        save_to_file: bool = False,
        key_dir: KeyDir = "client_keys",
        password: Password | None = None,
    ) -> None:
        """Generate a fresh RSA key pair; see `SecureCompletionClient.generate_keys`."""
        self._run(self._exchange.generate_keys(key_size, saved_to(key_dir, save_to_file), password))

    @discreet
    def load_keys(
        self, private_key_path: KeyDir, public_key_path: KeyDir | None = None, password: Password | None = None
    ) -> None:
        """Load a key pair from PEM files; see `SecureCompletionClient.load_keys`."""
        self._run(self._exchange.load_keys(private_key_path, public_key_path, password))

    @discreet
    def wait_for_keys(self) -> None:
        """Wait until there is a key pair; see `SecureCompletionClient.wait_for_keys`."""
        self._run(self._exchange.keys_ready())

    @discreet
    def fetch_server_public_key(self) -> str:
        """Ask the router for its public key; see `SecureCompletionClient.fetch_server_public_key`."""
        return self._run(self._exchange.fetch_server_key())

    @discreet
    def encrypt_payload(self, payload: Mapping[str, Any]) -> bytes:
        """Seal a payload for the router; see `SecureCompletionClient.encrypt_payload`."""
        return self._run(self._exchange.seal(Call(payload)))

    @discreet
    def decrypt_response(self, encrypted: bytes, payload_id: str) -> ChatCompletionResponse:
        """Open an answer; see `SecureCompletionClient.decrypt_response`."""
        return self._run(self._exchange.open(encrypted, payload_id))

    @discreet
    def send_secure_request(
        self,
        payload: Mapping[str, Any],
        payload_id: str,
        api_key: str | None = None,
        security_tier: str | None = None,
    ) -> ChatCompletionResponse:
        """Seal, send and open; see `SecureCompletionClient.send_secure_request`."""
        return self.send(Call(payload, payload_id, api_key, security_tier))

    def send(self, call: Call) -> ChatCompletionResponse:
        """Send a prepared call; see `send_secure_request`."""
        return self._run(self._exchange.send(call))

    def send_secret(self, call: Call) -> SecureResponse:
        """Send a prepared call, and open the answer into locked memory."""
        return self._run(self._exchange.send_secret(call))

    def close(self) -> None:
        """Do what `dispose` does."""
        self.dispose()

    def __enter__(self) -> Self:
        """Return the client; leaving the block disposes of it."""
        self.check_usable()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Dispose of the client."""
        self.dispose()

    def _run(self, flow: Flow[T]) -> T:
        return run_sync(flow, self._http)


def saved_to(key_dir: KeyDir, save_to_file: bool) -> KeyDir | None:
    """Return where a pair is to be saved, or None."""
    if not save_to_file:
        return None
    check_path("key_dir", key_dir)
    return key_dir


def announce(settings: Settings, *, stacklevel: int) -> None:
    """Turn the debug log on where asked, and warn once of what weakens a new client.

    Raises:
        SecurityError: `secure_memory="require"`, and memory cannot be locked.
    """
    if settings.debug:
        enable_debug_log()
    check_working_memory(settings.secure_memory, stacklevel=stacklevel + 1)
    if settings.plain_http and settings.allow_http:
        warn_of_plain_http(stacklevel=stacklevel + 1)


def warn_of_plain_http(*, stacklevel: int) -> None:
    """Warn of a router that is spoken to without TLS."""
    warnings.warn(
        "the router is spoken to over plain HTTP: whoever is on the way can read the API key and"
        " replace the router's key; never do this in production",
        stacklevel=stacklevel,
    )
