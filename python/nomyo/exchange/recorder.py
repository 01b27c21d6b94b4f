"""The interface of what keeps evidence of calls; `nomyo.trust` implements it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from .call import Call
from .effects import Flow

T = TypeVar("T")


class Recorder(Protocol):
    """Keeps evidence of the calls of one client."""

    def recorded(self, call: Call, flow: Flow[T]) -> Flow[T]:
        """Run the flow of a call, and keep evidence of it before its answer is handed out.

        Args:
            call: The call, which gathers in `evidence` what it exchanges.
            flow: Its flow, which has not begun.

        Raises:
            ConfigurationError: The evidence cannot be kept.
        """
