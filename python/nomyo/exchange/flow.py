"""One encrypted request, from payload to response, as a flow without I/O."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from .. import _core
from ..errors import APIConnectionError, APIError, DisposedError, SecurityError
from ..memory import check_nothing_unlocked, warn_of_unlocked
from ..response import ChatCompletionResponse
from ..secure_response import SecureResponse
from .client_keys import ClientKeys, KeyPair
from .effects import Flow, NetworkFailure, Request, Response, Timeouts, compute, here, send, sleep, take_turn
from .protocol import (
    NOT_SEALED,
    PAYLOAD_LIMIT_BYTES,
    add_metadata,
    check_header_value,
    check_security_tier,
    completion_headers,
    completion_request,
    error_for,
    server_key_request,
    usable_body,
)
from .retries import RETRIED_STATUSES, delay_before
from .server_key import ServerKey
from .settings import KeyDir, Password, Settings
from .trace import logger, timed

T = TypeVar("T")
Opener: TypeAlias = Callable[[bytes, KeyPair, str], Flow[T]]
"""Opens a package with a key pair, for a payload ID."""

SMALL_BYTES = 16 * 1024
"""JSON of this size is written and encrypted in some 20 us, the RSA operation takes 60."""


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One chat request; it does not show itself, because tracebacks print local variables."""

    payload: Mapping[str, Any]
    payload_id: str = field(default_factory=_core.new_payload_id)
    api_key: str | None = None
    security_tier: str | None = None
    timeouts: Timeouts | None = None
    """Instead of the client's own."""

    def check(self) -> None:
        """Refuse what cannot be sent, before anything is.

        Raises:
            TypeError: The payload is no mapping, or a header value no str.
            ValueError: The payload is empty, or the tier does not exist.
            SecurityError: A value cannot stand in an HTTP header.
        """
        check_header_value("payload_id", self.payload_id)
        if not self.payload_id:
            raise ValueError("payload_id must not be empty")
        if self.api_key is not None:
            check_header_value("api_key", self.api_key)
        check_security_tier(self.security_tier)
        if not isinstance(self.payload, Mapping):
            raise TypeError(f"the payload must be a mapping, not {type(self.payload).__name__}")
        if not self.payload:
            raise ValueError("the payload must not be empty")

    def dry_run(self) -> None:
        """Raise what `sealed_for` would raise for this payload."""
        _core.check_payload(self._sealed_part(), limit_bytes=PAYLOAD_LIMIT_BYTES)

    def sealed_for(self, server_key: _core.PublicKey) -> bytes:
        """Return the payload as a package for the router.

        Raises:
            TypeError, ValueError: The payload is not JSON, or too large; the message names the path.
        """
        return _core.seal(self._sealed_part(), server_key, limit_bytes=PAYLOAD_LIMIT_BYTES)

    def is_small(self) -> bool:
        """Return whether sealing the payload takes no longer than the RSA operation that is part of it."""
        return _core.fits(self._sealed_part(), SMALL_BYTES)

    def _sealed_part(self) -> dict[str, Any]:
        """Return the payload without what concerns the way it travels."""
        return {name: value for name, value in self.payload.items() if name not in NOT_SEALED}


class Exchange:
    """What one client says to one router: its keys, the router's key, and the flows that use them."""

    def __init__(self, settings: Settings) -> None:
        """Start opening our keys in the background; see `ClientKeys`."""
        self.settings = settings
        self._process = os.getpid()
        self._disposed = False
        self._keys = ClientKeys(settings)
        self._server_key = ServerKey(settings)

    def check_usable(self) -> None:
        """Refuse to go on after `dispose` or in a forked child.

        Raises:
            DisposedError: The client was disposed of.
            SecurityError: The client was made before a fork, by the parent process.
        """
        if self._disposed:
            raise DisposedError("the client was disposed of")
        if self._process != os.getpid():
            raise SecurityError("this client was made by the parent process before fork(); make a new one here")

    def dispose(self) -> None:
        """Wipe our keys; flows under way end with DisposedError. Idempotent."""
        self._disposed = True
        if self._process == os.getpid():
            self._keys.dispose()

    def send(self, call: Call) -> Flow[ChatCompletionResponse]:
        """Seal a request, send it, and open the answer."""
        return (yield from self._send(call, self._open))

    def send_secret(self, call: Call) -> Flow[SecureResponse]:
        """Do what `send` does, with the answer opened into locked memory."""
        return (yield from self._send(call, self._open_secret))

    def _send(self, call: Call, open_with: Opener[T]) -> Flow[T]:
        self._check_reachable()
        call.check()
        return (yield from self._in_turn(self._exchanged(call, open_with)))

    def _exchanged(self, call: Call, open_with: Opener[T]) -> Flow[T]:
        server_key = yield from self._server_key_for(call)
        yield from self.keys_ready()
        with self._keys.lease() as pair:
            package = yield from self._answer_to(call, pair, server_key)
            return (yield from open_with(package, pair, call.payload_id))

    def seal(self, call: Call) -> Flow[bytes]:
        """Seal a call's payload for the router."""
        self._check_reachable()
        call.check()
        return (yield from self._in_turn(self._sealed(call)))

    def _sealed(self, call: Call) -> Flow[bytes]:
        server_key = yield from self._server_key_for(call)
        return (yield from self._seal(call, server_key))

    def open(self, package: bytes, payload_id: str) -> Flow[ChatCompletionResponse]:
        """Open an answer that was sealed for us."""
        self.check_usable()
        return (yield from self._in_turn(self._opened(package, payload_id)))

    def _opened(self, package: bytes, payload_id: str) -> Flow[ChatCompletionResponse]:
        yield from self.keys_ready()
        with self._keys.lease() as pair:
            return (yield from self._open(package, pair, payload_id))

    def fetch_server_key(self) -> Flow[str]:
        """Ask the router for its public key, as PEM."""
        self._check_reachable()
        key = yield from self._server_key.fetch(partial(self._request_server_key, None))
        return key.pem

    def generate_keys(self, bits: int | None, key_dir: KeyDir | None, password: Password | None) -> Flow[None]:
        """Generate a pair of our own, and use it from now on."""
        self.check_usable()
        yield from self._keys.generate(self.settings.key_size if bits is None else bits, key_dir, password)

    def load_keys(self, private_path: KeyDir, public_path: KeyDir | None, password: Password | None) -> Flow[None]:
        """Load a pair of our own, and use it from now on."""
        self.check_usable()
        yield from self._keys.load(private_path, public_path, password)
        self._warn_of_open_files()

    def _in_turn(self, flow: Flow[T]) -> Flow[T]:
        with (yield from take_turn()):
            self.check_usable()  # the wait may have been long
            return (yield from flow)

    def _check_reachable(self) -> None:
        self.check_usable()
        if self.settings.plain_http and not self.settings.allow_http:
            raise SecurityError(
                "the router's URL is plain HTTP; use https://, or for local work allow_http=True (--allow-http)"
            )

    def _server_key_for(self, call: Call) -> Flow[_core.PublicKey]:
        """Return the router's key; a payload that cannot be sealed is refused before asking for it."""
        if self._server_key.cached() is None:
            yield from self._compute(call.dry_run)
        return (yield from self._server_key.get(*self._server_key_fetch(call)))

    def keys_ready(self) -> Flow[None]:
        """Wait until there is a key pair of ours; warn of its files' modes, and of memory that is not locked."""
        self.check_usable()
        yield from self._keys.ready()
        self._warn_of_open_files()
        check_nothing_unlocked(self.settings.secure_memory, stacklevel=2)

    def _warn_of_open_files(self) -> None:
        for path in self._keys.take_too_open():
            warnings.warn(
                f"{path} can be read or changed by others: set its mode to 0600 (a directory's to 0700)", stacklevel=2
            )

    def _server_key_fetch(self, call: Call) -> tuple[Callable[[], Flow[Response]], Timeouts]:
        """Return how a call asks for the router's key, and the time that this may take."""
        return partial(self._request_server_key, call.timeouts), call.timeouts or self.settings.timeouts

    def _request_server_key(self, timeouts: Timeouts | None) -> Flow[Response]:
        response = yield from self._attempts(server_key_request(self.settings.base_url, timeouts))
        if response.status != 200:
            raise error_for(response)
        return response

    def _answer_to(self, call: Call, pair: KeyPair, server_key: _core.PublicKey) -> Flow[bytes]:
        """Send a request under one key pair of ours; under two keys of the router's, if it changed its own."""
        response = yield from self._post(call, pair, server_key)
        if response.status == 400:
            newer = yield from self._newer_server_key(call, server_key)
            if newer is not None:
                logger.debug("the router changed its key: sealing again")
                response = yield from self._post(call, pair, newer)
        if response.status != 200:
            raise error_for(response, self._api_key_of(call))
        return usable_body(response)

    def _post(self, call: Call, pair: KeyPair, server_key: _core.PublicKey) -> Flow[Response]:
        package = yield from self._seal(call, server_key)
        return (yield from self._attempts(self._request(call, pair, package)))

    def _request(self, call: Call, pair: KeyPair, package: bytes) -> Request:
        headers = completion_headers(
            call.payload_id, pair.public_key_header, self._api_key_of(call), call.security_tier
        )
        return completion_request(self.settings.base_url, headers, package, call.timeouts)

    def _api_key_of(self, call: Call) -> str | None:
        return call.api_key if call.api_key is not None else self.settings.api_key

    def _newer_server_key(self, call: Call, refused: _core.PublicKey) -> Flow[_core.PublicKey | None]:
        """Return the router's present key if it is another than the one it refused."""
        try:
            key = yield from self._server_key.get_other_than(refused, *self._server_key_fetch(call))
        except (APIError, APIConnectionError):
            return None  # the refusal itself says more to the caller than this
        return key if key != refused else None

    def _attempts(self, request: Request) -> Flow[Response]:
        """Send one request, again where that may help; the same bytes each time.

        Raises:
            APIConnectionError: No attempt brought an answer.
        """
        attempt = 0
        sent = False
        while True:
            attempt += 1
            with timed(f"{request.method} attempt {attempt}, {len(request.body)} bytes"):
                outcome = yield from send(request)
            self.check_usable()
            _log_outcome(outcome)
            sent |= isinstance(outcome, Response) or outcome.connected
            if isinstance(outcome, Response) and outcome.status not in RETRIED_STATUSES:
                return outcome
            delay_s = self._delay_after(attempt, outcome)
            if delay_s is None:
                break
            logger.debug("next attempt in %.1f s", delay_s)
            yield from sleep(delay_s)
            self.check_usable()
        if isinstance(outcome, Response):
            return outcome
        attempts = "1 attempt" if attempt == 1 else f"{attempt} attempts"
        words = f"no answer from {self.settings.base_url} ({attempts}): {outcome.reason}"
        raise APIConnectionError(words, timed_out=outcome.timed_out, sent=sent and bool(request.body))

    def _delay_after(self, attempt: int, outcome: Response | NetworkFailure) -> float | None:
        if attempt > self.settings.max_retries:
            return None
        return delay_before(attempt, outcome.retry_after if isinstance(outcome, Response) else None)

    def _seal(self, call: Call, server_key: _core.PublicKey) -> Flow[bytes]:
        with timed("sealed"):
            is_small = yield from self._compute(call.is_small, here)
            package = yield from self._compute(partial(call.sealed_for, server_key), here if is_small else compute)
        logger.debug("package: %d bytes", len(package))
        return package

    def _open(self, package: bytes, pair: KeyPair, payload_id: str) -> Flow[ChatCompletionResponse]:
        with timed("opened"):
            response, algorithm, processed_at = yield from self._compute(
                partial(_core.open_package, package, pair.private_key, ChatCompletionResponse)
            )
        add_metadata(response, payload_id, algorithm, processed_at)
        assert isinstance(response, ChatCompletionResponse)
        return response

    def _open_secret(self, package: bytes, pair: KeyPair, payload_id: str) -> Flow[SecureResponse]:
        with timed("opened"):
            json, content, plain, algorithm, processed_at = yield from self._compute(
                partial(_core.open_secret, package, pair.private_key, ChatCompletionResponse)
            )
        warn_of_unlocked(self.settings.secure_memory, json, content, stacklevel=2)
        add_metadata(plain, payload_id, algorithm, processed_at)
        return SecureResponse(json, content, plain)

    def _compute(self, call: Callable[[], T], place: Callable[[Callable[[], T]], Flow[T]] = compute) -> Flow[T]:
        """Have sealing or opening done, in locked memory alone where that is required; in a thread unless told so."""
        required = self.settings.secure_memory == "require"
        result = yield from place(partial(_core.in_locked_memory, call) if required else call)
        warn_of_unlocked(self.settings.secure_memory, stacklevel=2)
        return result


def _log_outcome(outcome: Response | NetworkFailure) -> None:
    if isinstance(outcome, Response):
        logger.debug("answer: HTTP %d, %d bytes", outcome.status, len(outcome.body))
    else:
        logger.debug("no answer: %s", outcome.reason)
