"""Requests at once in a process with a limit of open files: how many of them fail, and of what.

Reads a job as JSON from standard input, as `connections.py` writes it, and prints counts as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import warnings
from collections import Counter
from typing import Any

from nomyo import NomyoError, SecureChatCompletion


async def main(job: dict[str, Any]) -> dict[str, Any]:
    """Send all of them; return what came."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (job["limit"], hard))
    messages = [{"role": "user", "content": job["text"]}]
    async with SecureChatCompletion(**job["options"]) as chat:
        sent = (chat.create(model="m", messages=messages) for _ in range(job["at_once"]))
        came = await asyncio.gather(*sent, return_exceptions=True)
    errors = [error for error in came if isinstance(error, BaseException)]
    assert all(isinstance(error, NomyoError) for error in errors), errors
    router = job["options"]["base_url"]
    said = Counter(f"{type(error).__name__}: {error}".replace(router, "ROUTER") for error in errors)
    return {"failed": len(errors), "errors": said.most_common(3)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
