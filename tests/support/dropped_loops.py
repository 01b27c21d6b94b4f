"""Uses one client in the loops of many threads, each dropped without being closed: `dropped_loops.py URL KEY_DIR`.

Prints as JSON: files that were open before, with all threads at an end, and after the client was disposed of.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import warnings

import nomyo

THREADS = 40
HELLO = [{"role": "user", "content": "Hello"}]


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def ask(chat: nomyo.SecureChatCompletion) -> None:
    async def some() -> None:
        await asyncio.gather(*(chat.create(model="m", messages=HELLO) for _ in range(2)))

    asyncio.new_event_loop().run_until_complete(some())


def main(url: str, key_dir: str) -> list[int]:
    warnings.filterwarnings("ignore", "the router is spoken to over plain HTTP")
    chat = nomyo.SecureChatCompletion(url, True, key_dir=key_dir)
    ask(chat)
    counted = [open_files()]
    for _ in range(THREADS):
        thread = threading.Thread(target=ask, args=(chat,))
        thread.start()
        thread.join()
    counted.append(open_files())
    chat.dispose()
    counted.append(open_files())
    return counted


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
