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

SEALED_IN_PLACE_BYTES = 128 * 1024
"""JSON of this size is sealed in some 0.2 ms. All but 60 us of that needs the GIL, which a thread would take from the
event loop anyway, and to hand 100 KB to a thread and back was measured to take longer: 263 us instead of 235."""
_OPENED_TOGETHER_BYTES = 16 * 1024


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
            package: bytes = yield Compute(sealing, is_brief=partial(self._is_small, call))
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
        """Return whether an event loop seals it itself; measured once for each call."""
        if call.is_small is None:
            fits = self._in_memory(_core.fits, call.payload, SEALED_IN_PLACE_BYTES)
            call.is_small = not _has_long_message(call.payload) and fits()
        return call.is_small

    def _together(
        self, package: Buffer, key: _core.PrivateKey, read: Callable[[_core.OpenedText], Any]
    ) -> Together | None:
        """Return how a small package is opened with others; not if `_core.in_locked_memory` watches it alone."""
        if not isinstance(package, bytes) or len(package) > _OPENED_TOGETHER_BYTES or self._secure_memory == "require":
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


def _has_long_message(payload: dict[str, Any]) -> bool:
    """Return whether a payload need not be measured, because one of its texts alone is too long."""
    messages = payload.get("messages")
    return isinstance(messages, list) and any(
        isinstance(message, dict)
        and isinstance(content := message.get("content"), str)
        and len(content) > SEALED_IN_PLACE_BYTES
        for message in messages
    )
