"""A governor is of one event loop, and says so always."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import nomyo
from nomyo.batch.governor import Governor
from nomyo.batch.governor.limits import Limits

USES: dict[str, Callable[[Governor], Coroutine[Any, Any, object]]] = {
    "acquire": lambda governor: governor.acquire(),
    "note": lambda governor: governor.note(nomyo.ServerError("no")),
}


@pytest.mark.parametrize("first", USES)
@pytest.mark.parametrize("then", USES)
def test_second_event_loop_is_refused_though_nobody_waits(first: str, then: str) -> None:
    governor = Governor(Limits(requests_per_s=0))
    asyncio.run(USES[first](governor))
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"one event loop: make one for each by Governor\.shared"):
            asyncio.run(USES[then](governor))


def test_loop_that_was_refused_takes_no_turn() -> None:
    governor = Governor(Limits(requests_per_s=1000))

    async def main() -> None:
        await governor.acquire()
        with pytest.raises(RuntimeError, match="one event loop"):
            await asyncio.to_thread(asyncio.run, governor.acquire())
        await asyncio.gather(*(governor.acquire() for _ in range(3)))

    asyncio.run(main())
