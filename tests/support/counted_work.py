"""Sends so many requests, one after the other, and says what they took: `counted_work.py URL KEY_DIR COUNT`.

Prints as JSON, for each request: calls of Python and C functions in the event loop's thread and in others, and the
blocks of Python's allocator that stayed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import warnings
from collections import Counter
from types import FrameType
from typing import Any

import nomyo

HELLO = [{"role": "user", "content": "Hello " * 40}]
CALLS = {"call", "c_call"}


async def main(url: str, key_dir: str, count: int) -> dict[str, float]:
    calls: Counter[str] = Counter()
    loop_thread = threading.get_ident()

    def note(_: FrameType, event: str, __: Any) -> None:
        if event in CALLS:
            calls["in the loop" if threading.get_ident() == loop_thread else "elsewhere"] += 1

    threading.setprofile(note)  # for the threads to come, which open answers
    async with nomyo.SecureChatCompletion(url, True, key_dir=key_dir) as chat:
        for _ in range(20):
            await chat.create(model="m", messages=HELLO)
        calls.clear()
        blocks = sys.getallocatedblocks()
        sys.setprofile(note)
        for _ in range(count):
            await chat.create(model="m", messages=HELLO)
        sys.setprofile(None)
        blocks = sys.getallocatedblocks() - blocks
    threading.setprofile(None)
    return {name: total / count for name, total in calls.items()} | {"blocks left": blocks / count}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
