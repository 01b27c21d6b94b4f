"""`SecureCompletionClient`: keys, sealing and opening as operations of their own. Most programs want `nomyo.chat`."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from .attestation import Attestation
from .exchange.call import NOT_SENT, SMALL_MODEL, Call, attestation_call
from .exchange.driver import run_async, run_sync
from .exchange.flow import Exchange
from .exchange.http import AsyncHttp, SyncHttp
from .exchange.own_names import shows_own_name
from .exchange.paths import KeyDir
from .exchange.protocol import SecurityTier
from .exchange.settings import (
    DEFAULT_BASE_URL,
    DEFAULT_KEY_DIR,
    ClientOptions,
    Password,
    SecureMemory,
    Settings,
    client_repr,
)
from .exchange.signatures import refuse_unknown, shows_options
from .exchange.startup import check_client
from .exchange.tracebacks import clears_traceback
from .responses import ChatCompletionResponse, SecureResponse
from .trust.of_client import trust_of

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Buffer


class _CompletionClient:
    """What the async and the sync client share: their options, and how they are disposed of."""

    _http: AsyncHttp | SyncHttp

    @clears_traceback
    @shows_options()
    def __init__(
        self,
        router_url: str = DEFAULT_BASE_URL,
        allow_http: bool = False,
        secure_memory: SecureMemory = True,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 2,
        key_size: int = 4096,
        http_client: httpx.AsyncClient | httpx.Client | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """Make a client; its key pair is opened or generated in the background.

        Args:
            router_url: The router, with or without a final `/v1`; `https://` unless `allow_http`.
            key_size: Bits of the RSA keys it generates, 2048, 3072 or 4096.

        The other options are those of `SecureChatCompletion`, and so are the errors.
        """
        refuse_unknown(type(self), options)
        settings = Settings(
            base_url=router_url,
            allow_http=allow_http,
            api_key=api_key,
            secure_memory=secure_memory,
            timeout=timeout,
            max_retries=max_retries,
            key_size=key_size,
            http_client=http_client,
            **options,
        )
        check_client(settings, stacklevel=4)
        self.start(settings)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make a client from options that were checked already, and that the caller was warned of."""
        client = cls.__new__(cls)
        client.start(settings)
        return client

    def with_same_keys(self, settings: Settings) -> Self:
        """Make a client for another router that uses this client's key pair, and does not wipe it when it ends."""
        client = type(self).__new__(type(self))
        exchange = self._exchange.with_same_keys(settings, *trust_of(settings))
        client.start(settings, exchange)
        return client

    def __repr__(self) -> str:
        """Show the router's address, the key directory, and whether the router's key is pinned."""
        return client_repr(self, self.settings if hasattr(self, "_exchange") else None)

    def start(self, settings: Settings, exchange: Exchange | None = None) -> None:
        """Open the keys and the connection pool; called once, by the constructors."""
        self._http = self._open_http(settings)
        if exchange is None:
            judge, recorder = trust_of(settings)
            exchange = Exchange(settings, judge=judge, recorder=recorder)
        self._exchange = exchange
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
        if isinstance(self._http, SyncHttp):
            run_sync(self._exchange.evidence_kept(), self._http)


@shows_own_name
class SecureCompletionClient(_CompletionClient):
    """Key management, sealing and opening, for asyncio."""

    _http: AsyncHttp

    @staticmethod
    def _open_http(settings: Settings) -> AsyncHttp:
        return AsyncHttp(settings)

    @clears_traceback
    async def generate_keys(
        self,
        options: Mapping[str, Any] | None = None,
        /,
        *,
        key_size: int | None = None,
        save_to_file: bool = False,
        key_dir: KeyDir = DEFAULT_KEY_DIR,
        password: Password | None = None,
    ) -> None:
        """Generate a fresh RSA key pair and use it from now on.

        Args:
            options: The options as one mapping, instead of keywords or beside them; `keySize`, `saveToFile` and
                `keyDir` are known in it, too.
            key_size: 2048, 3072 or 4096 bits; the client's own `key_size` by default.
            save_to_file: Whether to replace the pair in `key_dir`, atomically.
            key_dir: The directory for the files.
            password: Encrypts the private key's file; at least 8 characters. The client's own `key_rotation_password`
                by default.

        Raises:
            ValueError, TypeError: The size is not allowed, the password is too short, or `key_dir` is not a path.
            SecurityError: The directory is a symbolic link or belongs to somebody else; or no password is given, and
                the pair in it is encrypted (`nomyo keys password --no-password` removes a password).
            OSError: The files cannot be written.
            DisposedError: The client was disposed of.
        """
        named = {"key_size": key_size, "save_to_file": save_to_file, "key_dir": key_dir, "password": password}
        await run_async(self._exchange.generate_keys(options, named), self._http)

    @clears_traceback
    async def load_keys(
        self, private_key_path: KeyDir, public_key_path: KeyDir | None = None, password: Password | None = None
    ) -> None:
        """Load a key pair from PEM files and use it from now on.

        Args:
            private_key_path: PKCS#8 PEM, with or without a password, or the JavaScript client's form.
            public_key_path: SPKI PEM; derived from the private key by default.
            password: Opens the private key.

        Raises:
            SecurityError, OSError: The files cannot be read or opened, or do not belong together.
            DisposedError: The client was disposed of.
        """
        await run_async(self._exchange.load_keys(private_key_path, public_key_path, password), self._http)

    @clears_traceback
    async def wait_for_keys(self) -> None:
        """Wait until there is a key pair, as each request does. So errors of its files come before the first request.

        Raises:
            SecurityError, OSError: The key directory or a file cannot be used, or a password is wrong.
            DisposedError: The client was disposed of.
        """
        await run_async(self._exchange.keys_ready(), self._http)

    @clears_traceback
    async def wait_for_server_key(self) -> None:
        """Wait until the router's key is known; the requests that follow need not ask for it.

        Raises:
            SecurityError, APIError, APIConnectionError, DisposedError: As in `fetch_server_public_key`.
        """
        await run_async(self._exchange.server_key_ready(), self._http)

    @clears_traceback
    async def fetch_server_public_key(self) -> str:
        """Ask the router for its public key; return it as SPKI PEM.

        Raises:
            SecurityError: Plain HTTP without `allow_http`, no acceptable key, or a key that matches no pin.
            APIError, APIConnectionError: The router did not give it.
            DisposedError: The client was disposed of.
        """
        return await run_async(self._exchange.fetch_server_key(), self._http)

    @clears_traceback
    async def encrypt_payload(self, payload: Mapping[str, Any]) -> bytes:
        """Seal a payload for the router; return the package, ready to be sent.

        Args:
            payload: The chat request; a `SecureBuffer` (UTF-8) may stand for any string in it.

        Raises:
            TypeError, ValueError: The payload is not a mapping, empty, not JSON, or larger than 10 MiB;
                the message names the path.
            SecurityError, APIError, APIConnectionError, DisposedError: As in `fetch_server_public_key`.
        """
        return await run_async(self._exchange.seal(Call(payload, NOT_SENT)), self._http)

    @clears_traceback
    async def decrypt_response(self, encrypted: Buffer, payload_id: str) -> ChatCompletionResponse:
        """Open an answer that was sealed for the present key pair.

        Args:
            encrypted: The package as it came: bytes, or another buffer (bytearray, memoryview, ...).
            payload_id: The ID that the response's `_metadata` gets.

        Raises:
            TypeError: `encrypted` is not a buffer.
            SecurityError: The package cannot be opened, for whatever reason.
            DisposedError: The client was disposed of.
        """
        return await run_async(self._exchange.open(encrypted, payload_id), self._http)

    @clears_traceback
    async def send_secure_request(
        self,
        payload: Mapping[str, Any],
        payload_id: str,
        api_key: str | None = None,
        security_tier: SecurityTier | None = None,
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

    @clears_traceback
    async def attest(self, *, model: str = SMALL_MODEL) -> Attestation:
        """Ask for the attestation of the router's TPM by one small request; see `SecureChatCompletion.attest`."""
        return await run_async(self._exchange.attest(attestation_call(model)), self._http)

    async def send(self, call: Call) -> ChatCompletionResponse:
        """Send a prepared call; see `send_secure_request`."""
        return await run_async(self._exchange.send(call), self._http)

    async def send_secret(self, call: Call) -> SecureResponse:
        """Send a prepared call, and open the answer into locked memory."""
        return await run_async(self._exchange.send_secret(call), self._http)

    async def aclose(self) -> None:
        """Do what `dispose` does, and wait until connections are closed and the audit log is synced."""
        self._exchange.dispose()
        await self._http.aclose()
        await run_async(self._exchange.evidence_kept(), self._http)

    async def __aenter__(self) -> Self:
        """Return the client; leaving the block disposes of it."""
        self.check_usable()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Dispose of the client."""
        await self.aclose()


@shows_own_name
class SyncSecureCompletionClient(_CompletionClient):
    """Key management, sealing and opening, without asyncio; for any number of threads."""

    _http: SyncHttp

    @staticmethod
    def _open_http(settings: Settings) -> SyncHttp:
        return SyncHttp(settings)

    @clears_traceback
    def generate_keys(
        self,
        options: Mapping[str, Any] | None = None,
        /,
        *,
        key_size: int | None = None,
        save_to_file: bool = False,
        key_dir: KeyDir = DEFAULT_KEY_DIR,
        password: Password | None = None,
    ) -> None:
        """Generate a fresh RSA key pair; see `SecureCompletionClient.generate_keys`."""
        named = {"key_size": key_size, "save_to_file": save_to_file, "key_dir": key_dir, "password": password}
        run_sync(self._exchange.generate_keys(options, named), self._http)

    @clears_traceback
    def load_keys(
        self, private_key_path: KeyDir, public_key_path: KeyDir | None = None, password: Password | None = None
    ) -> None:
        """Load a key pair from PEM files; see `SecureCompletionClient.load_keys`."""
        run_sync(self._exchange.load_keys(private_key_path, public_key_path, password), self._http)

    @clears_traceback
    def wait_for_keys(self) -> None:
        """Wait until there is a key pair; see `SecureCompletionClient.wait_for_keys`."""
        run_sync(self._exchange.keys_ready(), self._http)

    @clears_traceback
    def wait_for_server_key(self) -> None:
        """Wait until the router's key is known; see `SecureCompletionClient.wait_for_server_key`."""
        run_sync(self._exchange.server_key_ready(), self._http)

    @clears_traceback
    def fetch_server_public_key(self) -> str:
        """Ask the router for its public key; see `SecureCompletionClient.fetch_server_public_key`."""
        return run_sync(self._exchange.fetch_server_key(), self._http)

    @clears_traceback
    def encrypt_payload(self, payload: Mapping[str, Any]) -> bytes:
        """Seal a payload for the router; see `SecureCompletionClient.encrypt_payload`."""
        return run_sync(self._exchange.seal(Call(payload, NOT_SENT)), self._http)

    @clears_traceback
    def decrypt_response(self, encrypted: Buffer, payload_id: str) -> ChatCompletionResponse:
        """Open an answer; see `SecureCompletionClient.decrypt_response`."""
        return run_sync(self._exchange.open(encrypted, payload_id), self._http)

    @clears_traceback
    def send_secure_request(
        self,
        payload: Mapping[str, Any],
        payload_id: str,
        api_key: str | None = None,
        security_tier: SecurityTier | None = None,
    ) -> ChatCompletionResponse:
        """Seal, send and open; see `SecureCompletionClient.send_secure_request`."""
        return self.send(Call(payload, payload_id, api_key, security_tier))

    @clears_traceback
    def attest(self, *, model: str = SMALL_MODEL) -> Attestation:
        """Ask for the attestation of the router's TPM; see `SecureCompletionClient.attest`."""
        return run_sync(self._exchange.attest(attestation_call(model)), self._http)

    def send(self, call: Call) -> ChatCompletionResponse:
        """Send a prepared call; see `send_secure_request`."""
        return run_sync(self._exchange.send(call), self._http)

    def send_secret(self, call: Call) -> SecureResponse:
        """Send a prepared call, and open the answer into locked memory."""
        return run_sync(self._exchange.send_secret(call), self._http)

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
