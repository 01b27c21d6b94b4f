"""`SecureChatCompletion`: chat completions as with the OpenAI SDK, encrypted end to end."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ._create_many import Result, run_many, run_many_async
from ._create_request import prepare, settings_for
from .attestation import Attestation, AttestationMode, PolicySource
from .client import SecureCompletionClient, SyncSecureCompletionClient
from .exchange.call import SMALL_MODEL, Call
from .exchange.own_names import shows_own_name
from .exchange.paths import KeyDir
from .exchange.settings import DEFAULT_BASE_URL, DEFAULT_KEY_DIR, Password, SecureMemory, Settings, client_repr
from .exchange.startup import check_client
from .exchange.tracebacks import clears_traceback
from .parameters import Messages, typed_parameters
from .responses import ChatCompletionResponse, SecureResponse

if TYPE_CHECKING:
    import httpx

ClientT = TypeVar("ClientT", SecureCompletionClient, SyncSecureCompletionClient)


class _ChatCompletion(Generic[ClientT]):
    """What the async and the sync client share: their options, and how they are disposed of."""

    _client: ClientT

    @clears_traceback
    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        allow_http: bool = False,
        api_key: str | None = None,
        secure_memory: SecureMemory = True,
        *,
        timeout: float = 60.0,
        debug: bool = False,
        max_retries: int = 2,
        key_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_interval: float = 86_400.0,
        key_rotation_dir: KeyDir | None = DEFAULT_KEY_DIR,
        key_rotation_password: Password | None = None,
        server_key_ttl: float = 300.0,
        server_key_fingerprint: str | Collection[str] | None = None,
        known_routers: KeyDir | None = None,
        attestation: AttestationMode = "check",
        attestation_policy: PolicySource | None = None,
        max_connections: int = 100,
        pad_requests: bool = False,
        audit_log: KeyDir | None = None,
        audit_model: bool = False,
        http_client: httpx.AsyncClient | httpx.Client | None = None,
    ) -> None:
        """Make a client; its key pair is opened or generated in the background.

        Args:
            base_url: The router, with or without a final `/v1`; `https://` unless `allow_http`. If it is not given,
                the environment variable `NOMYO_BASE_URL` takes precedence over the default.
            allow_http: Allow plain HTTP, with a warning: for local work only. No variable of the environment allows it.
            api_key: Sent as a bearer token; None reads `NOMYO_API_KEY`, and `""` sends none.
            secure_memory: True locks as much working memory as it can, and warns once if it could not lock all;
                "require" raises instead; False does not warn.
            timeout: Seconds that each step of an attempt may take; more than 0. The steps are: connecting (including
                lookup, proxy and TLS; 60 at most), each 64 KiB of the request, the answer up to the end of its headers,
                and its body. Bytes that come one by one do not prolong a step. If your model is slow, raise `timeout`,
                because a request that timed out may be paid for.
            debug: Log each step of this client to stderr, through `logging`: sizes, times, statuses; no content.
            max_retries: Extra attempts after 429, 500, 502, 503, 504 and network failures, after
                1 s, 2 s, 4 s, ...; a POST that timed out may have been served, and billed.
            key_dir: Where the key pair is loaded from, or generated into; None keeps it in memory only.
            key_rotation_interval: Seconds between rotations of the key pair; 0 for never.
            key_rotation_dir: Where a rotated pair is written, unless another program's pair is there; with
                `key_dir=None`, nowhere by default.
            key_rotation_password: Opens and encrypts the private key files; at least 8 characters.
            server_key_ttl: Seconds for which the router's key is kept; 0 asks before every request.
            server_key_fingerprint: Pins the router's key, or several: "SHA256:" and the unpadded
                base64 of SHA-256 over its SPKI DER.
            known_routers: A file in which the first key of each router is remembered; another key later is a
                `SecurityError`, unless it is accepted (`nomyo trust accept`). Pins take precedence over it. Processes
                may share the file. Its directory must exist.
            attestation: What to do with the attestation of a router's TPM. "check" notes it in `response.attestation`,
                "require" refuses answers whose verdict is worse than the policy's `least`, "ignore" does not look. No
                verdict proves whose machine it is.
            attestation_policy: What to compare it with: a mapping, or a TOML file's path (docs/attestation.md).
            max_connections: How many connections are open at once, and how many requests are sealed, sent and opened
                at once. The rest wait, with nothing sealed yet.
            pad_requests: Seal spaces behind each request, up to the next size of the Padmé scheme (at most 12 % more),
                so that its length says less; and ask the router to do the same with its answer.
            audit_log: A file that gets a line of evidence for each request, hash-chained and without content, before
                the answer is handed out.
            audit_model: Name the model in the lines of `audit_log`.
            http_client: Your own `httpx.AsyncClient` (`httpx.Client` for the sync client), for proxies,
                certificates and the like. It stays yours to close. Redirects are not followed in any case. If its
                transport is not httpx's own, that transport decides how `timeout` bounds the headers.

        Raises:
            ValueError, TypeError: An option is out of range or of the wrong type.
            SecurityError: The API key cannot be an HTTP header; or `secure_memory="require"` and
                memory cannot be locked.
        """
        settings = Settings(
            base_url=base_url,
            allow_http=allow_http,
            api_key=api_key,
            secure_memory=secure_memory,
            timeout=timeout,
            debug=debug,
            max_retries=max_retries,
            key_dir=key_dir,
            key_rotation_interval=key_rotation_interval,
            key_rotation_dir=key_rotation_dir,
            key_rotation_password=key_rotation_password,
            server_key_ttl=server_key_ttl,
            server_key_fingerprint=server_key_fingerprint,
            known_routers=known_routers,
            attestation=attestation,
            attestation_policy=attestation_policy,
            max_connections=max_connections,
            pad_requests=pad_requests,
            audit_log=audit_log,
            audit_model=audit_model,
            http_client=http_client,
        )
        check_client(settings, stacklevel=4)
        self._client = self._open_client(settings)
        self._temporary: set[ClientT] = set()

    @staticmethod
    def _open_client(settings: Settings) -> ClientT:
        raise NotImplementedError

    def __repr__(self) -> str:
        """Show the router's address, the key directory, and whether the router's key is pinned."""
        return client_repr(self, self._client.settings if hasattr(self, "_client") else None)

    def dispose(self) -> None:
        """Stop key rotation, wipe the private key, close the connections. Idempotent.

        Requests under way end with DisposedError, and so does every later call.
        """
        self._client.dispose()
        self._dispose_temporary()

    def _prepare(
        self, request: Mapping[str, Any] | None, model: str | None, messages: Messages | None, params: dict[str, Any]
    ) -> tuple[Call, str | None]:
        """Do what `prepare` does; a client that was disposed of says that first."""
        self._client.check_usable()
        return prepare(request, model, messages, params)

    @contextmanager
    def _temporary_client(self, base_url: str) -> Iterator[ClientT]:
        """Lend a client for another router, which uses this one's key pair and ends with it."""
        client = self._client.with_same_keys(settings_for(self._client.settings, base_url))
        self._temporary.add(client)
        try:
            self._client.check_usable()  # a `dispose` before the line above has not seen the temporary client
            yield client
        finally:
            self._temporary.discard(client)

    def _dispose_temporary(self) -> None:
        for client in tuple(self._temporary):
            client.dispose()


@shows_own_name
class SecureChatCompletion(_ChatCompletion[SecureCompletionClient]):
    """Chat completions for asyncio, encrypted end to end.

    One client serves any number of requests at once, from several event loops too; make one and
    keep it. `async with`, `aclose()` or `dispose()` ends it.
    """

    @staticmethod
    def _open_client(settings: Settings) -> SecureCompletionClient:
        return SecureCompletionClient.from_settings(settings)

    @typed_parameters
    @clears_traceback
    async def create(
        self,
        request: Mapping[str, Any] | None = None,
        /,
        *,
        model: str | None = None,
        messages: Messages | None = None,
        **params: Any,
    ) -> ChatCompletionResponse:
        """Send an encrypted chat completion request; return the decrypted response.

        Args:
            request: The request as one mapping, instead of keywords or beside them.
            model: The model's ID; required.
            messages: The conversation; required.
            params: All other parameters of a chat completion (`temperature`, `tools`, ...), passed
                on as they are; `stream` is not sealed, since a response always comes back whole.
                Three never enter the payload: `api_key` takes precedence over the client's own,
                `base_url` sends this one request elsewhere, through a temporary client with the same key pair,
                and `security_tier` is "standard", "high" or "maximum".

        Raises:
            TypeError, ValueError: The request is incomplete, not JSON, or larger than 10 MiB (the
                message names the path); or the tier does not exist.
            APIError: The router refused, by its status; see `nomyo.errors`.
            APIConnectionError: No answer came.
            SecurityError: Plain HTTP, a value that cannot be a header, pins, key files, an answer that cannot be
                opened, or an attestation that is worse than required (AttestationError).
            OSError: The key directory cannot be made, read or written to.
            DisposedError: The client was disposed of.
        """
        call, base_url = self._prepare(request, model, messages, params)
        if base_url is None:
            return await self._client.send(call)
        with self._temporary_client(base_url) as temporary:
            async with temporary as client:
                return await client.send(call)

    acreate = create  # for code that follows the naming of OpenAI's first SDKs

    @typed_parameters
    @clears_traceback
    async def create_secure(
        self,
        request: Mapping[str, Any] | None = None,
        /,
        *,
        model: str | None = None,
        messages: Messages | None = None,
        **params: Any,
    ) -> SecureResponse:
        """Send an encrypted request whose answer never becomes a Python string: it is in locked memory until closed.

        With `SecureBuffer`s for the strings of the request, no secret of the conversation is ever outside of
        locked memory:

            with SecureBuffer.from_file("record.txt") as record:
                messages = [{"role": "user", "content": record}]
                async with await client.create_secure(model="Qwen/Qwen3-0.6B", messages=messages) as reply:
                    os.write(1, reply.content)

        Args:
            request: As in `create`, and so are `model`, `messages` and `params`.

        Raises:
            MemoryError: There is no memory for the answer.
            NomyoError, TypeError, ValueError, OSError: As in `create`.
        """
        call, base_url = self._prepare(request, model, messages, params)
        if base_url is None:
            return await self._client.send_secret(call)
        with self._temporary_client(base_url) as temporary:
            async with temporary as client:
                return await client.send_secret(call)

    def create_many(
        self,
        requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        concurrency: int = 32,
        ordered: bool = False,
    ) -> AsyncIterator[Result]:
        """Send any number of requests, at most `concurrency` at once.

        Args:
            requests: Requests as `create` takes them. The next one is taken when there is room for its outcome, so the
                input may be endless. An iterable is read in the event loop, and should not block.
            concurrency: How many requests are under way at once. At most `max_connections` of them are sent at once.
            ordered: Yield the results in the order of the requests, instead of as they complete. Then at most
                `concurrency` completed results wait for an earlier one.

        Returns:
            An asynchronous iterator of `Result(index, response, error)`: one for every request that was taken from the
            input, with its response or the error that `create` would have raised. Closing it (`aclose`, or leaving a
            task that is cancelled) cancels the requests under way.

        Raises:
            TypeError, ValueError: `requests` is not iterable, or `concurrency` is not a whole number of 1 or more.
            DisposedError: The client was disposed of. If that happens during iteration, the iterator raises it after
                all results. It raises an error of the input itself in the same way.
        """
        self._client.check_usable()
        return run_many_async(self.create, requests, concurrency, ordered)

    @clears_traceback
    async def attest(self, *, model: str = SMALL_MODEL) -> Attestation:
        """Ask for the attestation of the router's TPM before the first prompt leaves, by a request for one token.

        Raises:
            NomyoError, OSError: As in `create`.
        """
        return await self._client.attest(model=model)

    async def aclose(self) -> None:
        """Do what `dispose` does, and wait until connections are closed and the audit log is synced."""
        self._dispose_temporary()
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        """Return the client; leaving the block disposes of it."""
        self._client.check_usable()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Dispose of the client."""
        await self.aclose()


@shows_own_name
class SyncSecureChatCompletion(_ChatCompletion[SyncSecureCompletionClient]):
    """Chat completions without asyncio, encrypted end to end; for any number of threads."""

    @staticmethod
    def _open_client(settings: Settings) -> SyncSecureCompletionClient:
        return SyncSecureCompletionClient.from_settings(settings)

    @typed_parameters
    @clears_traceback
    def create(
        self,
        request: Mapping[str, Any] | None = None,
        /,
        *,
        model: str | None = None,
        messages: Messages | None = None,
        **params: Any,
    ) -> ChatCompletionResponse:
        """Send an encrypted chat completion request; see `SecureChatCompletion.create`."""
        call, base_url = self._prepare(request, model, messages, params)
        if base_url is None:
            return self._client.send(call)
        with self._temporary_client(base_url) as temporary, temporary as client:
            return client.send(call)

    # It awaits nothing: a program that calls it changes from one client to the other by `await` alone.
    acreate = create

    @typed_parameters
    @clears_traceback
    def create_secure(
        self,
        request: Mapping[str, Any] | None = None,
        /,
        *,
        model: str | None = None,
        messages: Messages | None = None,
        **params: Any,
    ) -> SecureResponse:
        """Send a request whose answer never becomes a Python string; see `SecureChatCompletion.create_secure`."""
        call, base_url = self._prepare(request, model, messages, params)
        if base_url is None:
            return self._client.send_secret(call)
        with self._temporary_client(base_url) as temporary, temporary as client:
            return client.send_secret(call)

    def create_many(
        self, requests: Iterable[Mapping[str, Any]], *, concurrency: int = 32, ordered: bool = False
    ) -> Iterator[Result]:
        """Send any number of requests, in threads; see `SecureChatCompletion.create_many`.

        The input is read in the calling thread. Closing the iterator waits for the requests under way.
        """
        self._client.check_usable()
        return run_many(self.create, requests, concurrency, ordered)

    @clears_traceback
    def attest(self, *, model: str = SMALL_MODEL) -> Attestation:
        """Ask for the attestation of the router's TPM; see `SecureChatCompletion.attest`."""
        return self._client.attest(model=model)

    def close(self) -> None:
        """Do what `dispose` does."""
        self.dispose()

    def __enter__(self) -> Self:
        """Return the client; leaving the block disposes of it."""
        self._client.check_usable()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Dispose of the client."""
        self.dispose()
