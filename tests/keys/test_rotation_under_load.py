"""Both sides rotate their keys as fast as they can be made, while requests go through: 2,000 in `make soak`."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import nomyo
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter

REQUESTS = int(os.environ.get("NOMYO_SOAK_REQUESTS", "500"))
AT_ONCE = 16
# One is enough, unless a busy machine makes few keys meanwhile.
MOST_ROUNDS = 10


@contextmanager
def rotating_all_the_time(router: RunningRouter) -> Iterator[list[int]]:
    """Rotate the router's key in a thread of its own; yields the number of rotations so far."""
    rotations, stopped = [0], threading.Event()

    def rotate() -> None:
        while not stopped.is_set():
            router.rotate()
            rotations[0] += 1

    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        yield rotations
    finally:
        stopped.set()
        thread.join()


async def ask_many(client: nomyo.SecureCompletionClient) -> list[str]:
    """Send the requests, some at once; each must be answered with its own text."""
    places = asyncio.Semaphore(AT_ONCE)
    keys: set[str] = set()

    async def ask(number: int) -> None:
        text = f"message {number}"
        payload = {"model": "m", "messages": [{"role": "user", "content": text}]}
        async with places:
            response = await client.send_secure_request(payload, f"00000000-0000-4000-8000-{number:012d}")
        assert response.choices[0].message.content == text
        pair = client._exchange._keys._pair
        assert pair is not None
        keys.add(pair.public_key_header)

    await asyncio.gather(*(ask(number) for number in range(REQUESTS)))
    return list(keys)


def test_no_request_fails_while_both_sides_rotate() -> None:
    keys: set[str] = set()

    async def main(url: str, rotations: list[int]) -> None:
        async with nomyo.SecureCompletionClient(
            url, True, key_size=2048, key_dir=None, key_rotation_interval=0.001, max_retries=0
        ) as client:
            for _ in range(MOST_ROUNDS):
                keys.update(await ask_many(client))
                if min(rotations[0], len(keys)) > 10:
                    return

    config = RouterConfig(key_bits=2048, key_rotation_grace_s=60)
    with RunningRouter(config) as router, rotating_all_the_time(router) as rotations:
        asyncio.run(main(router.url, rotations))

    assert rotations[0] > 10
    assert len(keys) > 10


def test_without_grace_a_request_is_sealed_again_once_and_then_fails_honestly() -> None:
    async def main(url: str) -> tuple[int, int]:
        answered = refused = 0
        async with nomyo.SecureCompletionClient(
            url, True, key_size=2048, key_dir=None, key_rotation_interval=0, max_retries=0
        ) as client:

            async def ask(number: int) -> None:
                nonlocal answered, refused
                text = f"message {number}"
                payload = {"model": "m", "messages": [{"role": "user", "content": text}]}
                try:
                    response = await client.send_secure_request(payload, f"00000000-0000-4000-8000-{number:012d}")
                except nomyo.InvalidRequestError:
                    refused += 1
                else:
                    assert response.choices[0].message.content == text
                    answered += 1

            for start in range(0, 200, 8):
                await asyncio.gather(*(ask(number) for number in range(start, start + 8)))
        return answered, refused

    config = RouterConfig(key_bits=2048, key_rotation_grace_s=0)
    with RunningRouter(config) as router, rotating_all_the_time(router):
        answered, refused = asyncio.run(main(router.url))
        posts = sum(count for (path, _), count in router.router.answers.items() if path.endswith("secure_completion"))

    assert answered + refused == 200
    assert answered > 0
    assert posts <= 2 * 200
