"""The program that `prove.py` runs and searches: five requests, then it waits with the client still alive.

    python tests/support/proved_child.py WAY JOB

The ways: "objects" makes the messages and answers without any client, "dict" sends them by `create`, "secret" by
`create_secure`. It runs under nomyo 0.2.9 as well, and so uses nothing of `nomyo` that that does not have but for
"secret". Messages come from files and become one object each.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import mmap
import sys
import warnings
from pathlib import Path
from typing import Any


def text_of(path: str) -> str:
    """Read UTF-32 character by character, and leave nothing of it elsewhere."""
    file = Path(path).with_suffix(".utf-32")
    content = bytearray(file.stat().st_size)
    with file.open("rb", buffering=0) as source:
        source.readinto(content)
    with memoryview(content).cast("I") as characters:
        text = "".join(map(chr, characters))
    content[:] = bytes(len(content))
    return text


def locked_control(path: str) -> mmap.mmap:
    """Hold what a file says in a page that the kernel was asked to lock and not to dump, without nomyo's help."""
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CDLL(None).mlock(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE))
    page.madvise(mmap.MADV_DONTDUMP)
    with Path(path).open("rb", buffering=0) as source:
        source.readinto(page)
    return page


async def converse(way: str, job: dict[str, Any], kept: list[Any]) -> None:
    import nomyo

    chat = nomyo.SecureChatCompletion(job["url"], allow_http=True, key_dir=job["keys"])
    kept.append(chat)
    for path in job["messages"]:
        content = nomyo.SecureBuffer.from_file(f"{path}.utf-8") if way == "secret" else text_of(path)
        messages = [{"role": "user", "content": content}]
        ask = chat.create_secure if way == "secret" else chat.create
        kept += [messages, await ask(model="m", messages=messages)]


def said_of_protection() -> dict[str, Any]:
    import nomyo

    info = nomyo.get_memory_protection_info()
    hidden = bool(getattr(info, "hidden", False))
    return {"version": nomyo.__version__, "protection": info["protection_level"], "hidden": hidden}


def main() -> None:
    way, job_file = sys.argv[1:]
    job = json.loads(Path(job_file).read_text())
    warnings.simplefilter("ignore")
    logging.disable()
    kept: list[Any] = [Path(job["control"]).read_bytes(), locked_control(job["locked_control"])]
    said = {}
    with asyncio.Runner() as runner:
        if way == "objects":
            kept += [text_of(path) for path in (*job["messages"], *job["answers"])]
        else:
            runner.run(converse(way, job, kept))
            said = said_of_protection()
        print(json.dumps(said), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
