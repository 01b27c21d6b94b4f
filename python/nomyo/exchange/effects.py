"""What a flow may ask of its driver.

A flow is a generator: it yields an effect, the driver performs it and sends the outcome back.
So the flow itself knows neither threads nor event loops, and one flow serves the sync and the
async client alike (the pattern of httpx's `Auth.auth_flow`).

No effect shows what it carries in its repr: drivers hold effects in local variables, and those
end up in tracebacks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from .turns import Turn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the parts of one exchange may take, in seconds; None: without end.

    Waiting for a free connection is the caller's own back-pressure, and never fails.
    """

    connect_s: float | None
    read_s: float | None
    """For each wait for data, and for the body as a whole."""
    write_s: float | None


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """An HTTP request as the flow describes it; without `timeouts` of its own, the client's hold."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    response_limit_bytes: int
    timeouts: Timeouts | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """An HTTP response within its bounds.

    `fault` says why there is no body to use: it was compressed, or larger than its bound.
    """

    status: int
    body: bytes
    retry_after: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class NetworkFailure:
    """No response came; `reason` is fit to be shown."""

    reason: str
    timed_out: bool = False
    connected: bool = True
    """Whether there was a connection: without one, nothing was sent."""


@dataclass(frozen=True, slots=True, repr=False)
class Send:
    """Exchange one request for a `Response` or a `NetworkFailure`."""

    request: Request


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """Wait until fewer requests than may be are under way; the outcome is a `Turn`."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for a time."""

    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class Compute:
    """Call a function that is heavy on the CPU and releases the GIL."""

    call: Callable[[], Any]


@dataclass(frozen=True, slots=True, repr=False)
class Wait:
    """Wait until a future is done or a time is over, without cancelling it; the outcome is left in the future."""

    future: Future[Any]
    timeout_s: float | None = None


Effect: TypeAlias = TakeTurn | Send | Sleep | Compute | Wait
Flow: TypeAlias = Generator[Effect, Any, T]


def take_turn() -> Flow[Turn]:
    """Wait for a turn; what follows belongs into a `with` block of it."""
    turn: Turn = yield TakeTurn()
    return turn


def send(request: Request) -> Flow[Response | NetworkFailure]:
    """Send a request."""
    outcome: Response | NetworkFailure = yield Send(request)
    return outcome


def sleep(seconds: float) -> Flow[None]:
    """Wait for a time."""
    yield Sleep(seconds)


def compute(call: Callable[[], T]) -> Flow[T]:
    """Have a heavy function called."""
    result: T = yield Compute(call)
    return result


def here(call: Callable[[], T]) -> Flow[T]:
    """Call a function where the flow runs: for what takes less time than a thread would take to wake."""
    yield from ()
    return call()


def wait(future: Future[Any], timeout_s: float | None = None) -> Flow[None]:
    """Wait until a future is done, or a time is over."""
    yield Wait(future, timeout_s)
