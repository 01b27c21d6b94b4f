"""Many requests at once, with asyncio: one result for each, an answer or an error, in the order of the requests."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Any

from nomyo import SecureChatCompletion

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def requests(count: int) -> Iterator[dict[str, Any]]:
    """Make the requests. They are taken as slots become free, so there may be millions."""
    for number in range(count):
        yield {"model": MODEL, "messages": [{"role": "user", "content": f"What is {number} + {number}?"}]}


async def main() -> int:
    failed = 0
    async with SecureChatCompletion(allow_http=LOCAL) as client:
        async for result in client.create_many(requests(20), concurrency=8, ordered=True):
            if result.response is None:
                failed += 1
                print(f"{result.index}: {result.error}", file=sys.stderr)
            else:
                print(f"{result.index}: {result.response.choices[0].message.content}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
