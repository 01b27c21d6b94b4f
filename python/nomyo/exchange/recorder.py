"""The interface of what keeps evidence of calls; `nomyo.trust` implements it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from .call import Call
from .effects import Flow

T = TypeVar("T")


class Recorder(Protocol):
    """Keeps evidence of the calls of one client."""

    def recorded(self, call: Call, flow: Flow[T]) -> Flow[T]:
        """Run the flow of a call, and keep evidence of it if `opened` has not.

        Args:
            call: The call, which gathers in `evidence` what it exchanges.
            flow: Its flow, which has not begun.

        Raises:
            ConfigurationError: The evidence cannot be kept.
        """

    def opened(self, call: Call, opening: Flow[T]) -> Flow[T]:
        """Open an answer, and keep evidence of it in the same thread before it is handed out.

        Args:
            call: The call.
            opening: Opens the answer by one `Compute`, and asks for nothing else.

        Raises:
            ConfigurationError: The evidence cannot be kept.
        """

    def ended(self) -> Flow[None]:
        """Put all evidence of the client on the disk, at its end."""

    def hurry(self) -> None:
        """Do what `ended` does as soon as possible, without waiting for it."""
