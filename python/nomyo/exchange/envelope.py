"""Seals requests and opens answers: in which thread, and in what memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .. import _core
from ..attestation import Attestation
from ..attestation.judge import Judge
from ..memory import warn_of_unlocked
from ..responses import ChatCompletionResponse, SecureResponse
from .call import Call
from .effects import Compute, Flow, Together
from .protocol import PAYLOAD_LIMIT_BYTES, add_metadata
from .settings import Settings
from .trace import timed

if TYPE_CHECKING:
    from typing_extensions import Buffer

P = ParamSpec("P")
T = TypeVar("T")

SMALL_BYTES = 16 * 1024
"""JSON of this size is written and encrypted in some 20 us, and the RSA operation takes 60: less than it takes to wake
a thread. So an event loop seals it itself."""


class Envelopes:
    """Seals and opens for one client, in locked memory alone if its `secure_memory` is "require"."""

    def __init__(self, settings: Settings) -> None:
        self._log = settings.log
        self._secure_memory = settings.secure_memory
        self._pads = settings.pad_requests
        self._judge = Judge(settings.attestation, settings.policy)

    def check(self, call: Call) -> Flow[None]:
        """Raise what `seal` would raise for this payload, without sealing it.

        Raises:
            TypeError, ValueError: The payload is not JSON, or too large; the message names the path.
            SecurityError: Locked memory is required, and there is none.
        """
        if not self._is_small(call):  # what is small was found to be JSON
            yield from self._in_thread(call.dry_run)

    def seal(self, call: Call, server_key: _core.PublicKey) -> Flow[bytes]:
        """Return a payload as a package for the router.

        Raises:
            TypeError, ValueError, SecurityError: As in `check`.
        """
        with timed(self._log, "sealed"):
            sealing = self._in_memory(
                _core.seal, call.payload, server_key, limit_bytes=PAYLOAD_LIMIT_BYTES, padded=self._pads
            )
            package: bytes = sealing() if self._is_small(call) else (yield Compute(sealing))
        warn_of_unlocked(self._secure_memory, stacklevel=2)
        self._log.debug("package: %d bytes", len(package))
        return package

    def open(self, package: Buffer, key: _core.PrivateKey, payload_id: str) -> Flow[ChatCompletionResponse]:
        """Open an answer.

        Raises:
            SecurityError: It cannot be opened; or locked memory is required, and there is none.
            AttestationError: Attestation is required, and that of the answer is worse. No content became an object.
            DisposedError: The key was wiped.
        """
        required = self._judge.required(payload_id)
        with timed(self._log, "opened"):
            response, algorithm, processed_at = yield Compute(
                self._in_memory(_core.open_package, package, key, ChatCompletionResponse, required),
                self._together(package, key, methodcaller("read", ChatCompletionResponse, required)),
            )
        warn_of_unlocked(self._secure_memory, stacklevel=2)
        add_metadata(response, payload_id, algorithm, processed_at)
        assert isinstance(response, ChatCompletionResponse)
        self._judge.note(response["_metadata"], payload_id, required)
        return response

    def open_secret(self, package: Buffer, key: _core.PrivateKey, payload_id: str) -> Flow[SecureResponse]:
        """Do what `open` does, with the answer in locked memory."""
        with timed(self._log, "opened"):
            json, content, rest, algorithm, processed_at = yield Compute(
                self._in_memory(_core.open_secret, package, key, ChatCompletionResponse)
            )
        warn_of_unlocked(self._secure_memory, stacklevel=2)
        add_metadata(rest, payload_id, algorithm, processed_at)
        response = SecureResponse(json, content, rest)
        try:
            warn_of_unlocked(self._secure_memory, json, content, stacklevel=2)
            required = self._judge.required(payload_id)
            if required is not None:
                required(rest["_metadata"])
            self._judge.note(rest["_metadata"], payload_id, required)
        except BaseException:
            response.close()
            raise
        return response

    def attestation_of(self, response: ChatCompletionResponse) -> Attestation:
        """Return the attestation of an answer, whatever the client does with those of others."""
        return self._judge.of(response["_metadata"])

    def _is_small(self, call: Call) -> bool:
        """Return whether sealing takes less time than waking a thread; measured once for each call."""
        if call.is_small is None:
            call.is_small = self._in_memory(_core.fits, call.payload, SMALL_BYTES)()
        return call.is_small

    def _together(
        self, package: Buffer, key: _core.PrivateKey, read: Callable[[_core.OpenedText], Any]
    ) -> Together | None:
        """Return how a small package is opened with others; not if `_core.in_locked_memory` watches it alone."""
        if not isinstance(package, bytes) or len(package) > SMALL_BYTES or self._secure_memory == "require":
            return None
        return Together(package, key, read)

    def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        """Call a function of the core without holding an event loop up."""
        result: T = yield Compute(self._in_memory(function, *args, **kwargs))
        warn_of_unlocked(self._secure_memory, stacklevel=2)
        return result

    def _in_memory(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        """Return a call of a function, in locked memory alone if that is required."""
        call = partial(function, *args, **kwargs)
        return partial(_core.in_locked_memory, call) if self._secure_memory == "require" else call
