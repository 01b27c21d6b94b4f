"""A process that sends under a governor: `python governed_process.py DIRECTORY LIMITS REQUESTS [URL KEY_DIRECTORY]`.

Without a URL it prints the moment of each turn, by the very reading of the clock that went into the books. With one it
sends to the router there, and prints what came of each request. It begins when its stdin says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import warnings
from typing import Any

import nomyo
from nomyo.batch.governor import Governor
from nomyo.batch.governor.clock import SystemClock
from nomyo.batch.governor.limits import Limits

API_KEY = "governed"


class NotingClock(SystemClock):
    """Keeps the last moment that it told."""

    told = 0

    def now_ns(self) -> int:
        self.told = super().now_ns()
        return self.told


async def take_turns(governor: Governor, clock: NotingClock, requests: int) -> None:
    for _ in range(requests):
        await governor.acquire()
        print(clock.told, flush=True)


async def send(governor: Governor | None, url: str, key_directory: str, requests: int) -> None:
    chat = nomyo.SecureChatCompletion(url, True, API_KEY, key_dir=key_directory, max_retries=0)
    async with chat:
        await chat._client.fetch_server_public_key()
        for _ in range(requests):
            print(await _outcome(chat, governor), flush=True)


async def _outcome(chat: nomyo.SecureChatCompletion, governor: Governor | None) -> str:
    turn: Any = contextlib.nullcontext() if governor is None else governor.turn()
    try:
        async with turn:
            await chat.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    except nomyo.NomyoError as error:
        return type(error).__name__
    return "sent"


def main(directory: str, limits: str, requests: str, url: str = "", key_directory: str = "") -> None:
    clock = NotingClock()
    governor = None
    if limits != "none":
        governor = Governor.shared(Limits(**json.loads(limits)), api_key=API_KEY, directory=directory, clock=clock)
    print("ready", flush=True)
    sys.stdin.readline()
    if url:
        warnings.simplefilter("ignore")
        asyncio.run(send(governor, url, key_directory, int(requests)))
    else:
        assert governor is not None
        asyncio.run(take_turns(governor, clock, int(requests)))


if __name__ == "__main__":
    main(*sys.argv[1:])
