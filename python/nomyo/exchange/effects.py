"""What a flow may ask of its driver.

A flow is a generator: it yields an effect, the driver performs the effect and sends the outcome back. So a flow knows
neither threads nor event loops, and one flow serves the sync and the async client (the pattern of httpx's
`Auth.auth_flow`). The type of a generator cannot say which outcome belongs to which effect: a flow writes the type
beside each `yield`.

The repr of an effect shows nothing of what it carries: drivers hold effects in local variables, and tracebacks show
those. Effects, requests and responses are plain classes: to make a dataclass takes half a millisecond of every start,
and a tool that reports errors with their local variables shows what is in a named tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from .. import _core

T = TypeVar("T")
Phase: TypeAlias = Literal["pool", "upload", "answer"]


class Timeouts(NamedTuple):
    """How many seconds each phase of an exchange may take; None for no bound."""

    connect_s: float | None
    read_s: float | None
    """For the answer's head, interim answers included, as a whole; then as much again for its body as a whole."""
    write_s: float | None
    """For each 64 KiB of a request's body."""

    @property
    def pool_s(self) -> float | None:
        """For the wait until the caller's own pool has a free connection: as long as another request may use it."""
        return None if self.connect_s is None or self.read_s is None else self.connect_s + self.read_s

    def at_most(self, seconds: float) -> Timeouts:
        """Return these timeouts, each capped at `seconds`."""
        return Timeouts(*(seconds if one is None else min(one, seconds) for one in self))


class Request:
    """An HTTP request as the flow describes it; if it has no `timeouts`, the client's apply."""

    __slots__ = ("body", "headers", "method", "response_limit_bytes", "timeouts", "url")

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        response_limit_bytes: int,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.response_limit_bytes = response_limit_bytes
        self.timeouts = timeouts


class Response:
    """An HTTP response within its bounds.

    Args:
        status: The HTTP status.
        body: The body; empty if there is a `fault`.
        retry_after: The seconds that the header Retry-After asks for, in decimal figures.
        fault: Why there is no body although one came: it was compressed, or larger than its bound.
        credentials: Those of a proxy or of the caller's client that the request carried; errors must not quote them.
        rate_headers: What the answer says of the service's limits (`x-ratelimit-...`), by names in lower case.
    """

    __slots__ = ("body", "credentials", "fault", "rate_headers", "retry_after", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        retry_after: str | None = None,
        fault: str | None = None,
        credentials: tuple[str, ...] = (),
        rate_headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.status = status
        self.body = body
        self.retry_after = retry_after
        self.fault = fault
        self.credentials = credentials
        self.rate_headers = rate_headers

    def with_credentials(self, credentials: tuple[str, ...]) -> Response:
        """Return the same response to a request that carried credentials."""
        return Response(self.status, self.body, self.retry_after, self.fault, credentials, self.rate_headers)


class NetworkFailure(NamedTuple):
    """No response came; `reason` says why in words that may be shown."""

    reason: str
    timed_out: bool = False
    connected: bool = True
    """Whether there was a connection; if not, nothing was sent."""
    phase: Phase | None = None
    """What we waited for when a timeout of ours ended the exchange; None if something else ended it."""
    lasting: bool = False
    """Whether the cause is a setting of this machine, which no further attempt would change."""
    untrusted: bool = False
    """Whether the router could not prove who it is: its certificate was refused, or it speaks no TLS."""
    in_clear: bool = False
    """Whether an answer without TLS came where TLS was begun."""


class Send:
    """Exchange one request for a `Response` or a `NetworkFailure`."""

    __match_args__ = __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request


class TakeSlot:
    """Wait until a concurrency slot is free; the outcome is a `Slot`, a context manager for the work in it."""

    __slots__ = ()


class Sleep:
    """Wait for so many seconds."""

    __match_args__ = __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Together:
    """A small package of an answer, which `_core.open_together` may open with others.

    Args:
        package: The package.
        key: Our key.
        read: Makes of the text what `Compute.call` would return.
    """

    __slots__ = ("key", "package", "read")

    def __init__(self, package: bytes, key: _core.PrivateKey, read: Callable[[_core.OpenedText], Any]) -> None:
        self.package = package
        self.key = key
        self.read = read


class Compute:
    """Call a function that uses the CPU for long and releases the GIL.

    The outcome is what it returns; or what `finish` makes of that; or what `keep` does.

    Args:
        call: The function.
        together: What else leads to the outcome of `call`, together with other work that waits.
        finish: Called in the same thread.
        keep: Called after it, once for all that was done together; returns as many outcomes.
        is_brief: Whether it takes less time than handing it to a thread; only event loops ask.
    """

    __slots__ = ("call", "finish", "is_brief", "keep", "together")
    __match_args__ = ("call",)

    def __init__(
        self,
        call: Callable[[], Any],
        together: Together | None = None,
        finish: Callable[[Any], Any] | None = None,
        keep: Callable[[list[Any]], list[Any]] | None = None,
        *,
        is_brief: Callable[[], bool] | None = None,
    ) -> None:
        self.call = call
        self.together = together
        self.finish = finish
        self.keep = keep
        self.is_brief = is_brief

    def done(self) -> Any:
        """Do all of it in the calling thread."""
        value = self.finished(self.call())
        return value if self.keep is None else self.keep([value])[0]

    def finished(self, value: Any) -> Any:
        """Return what `finish` makes of the outcome of `call`."""
        return value if self.finish is None else self.finish(value)


class UseFiles:
    """Call a function that reads or writes files, and may wait for them; the outcome is what it returns."""

    __match_args__ = __slots__ = ("call",)

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call


class Wait:
    """Wait until a future is done, or for so many seconds. The future goes on, and keeps its outcome."""

    __match_args__ = __slots__ = ("future", "timeout_s")

    def __init__(self, future: Future[Any], timeout_s: float | None = None) -> None:
        self.future = future
        self.timeout_s = timeout_s


Effect: TypeAlias = TakeSlot | Send | Sleep | Compute | UseFiles | Wait
Flow: TypeAlias = Generator[Effect, Any, T]
