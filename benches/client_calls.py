"""Single calls of the clients beside the same by hand.

Seal and open as operations of their own, and the way of work from an event loop to a thread and back. Each figure is
the least of many turns that all take in one run, in microseconds; handing over is processor time of all threads.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import by_hand_client as by_hand
from cryptography.hazmat.primitives import serialization
from extent import extent
from test_seal_open import SIZES, payload

import nomyo
from nomyo.exchange.crypto_threads import crypto_threads
from nomyo.exchange.effects import Compute
from nomyo.serve.router import RouterConfig, RunningRouter

OPTIONS: dict[str, Any] = {"key_dir": None, "key_rotation_interval": 0}
TURNS = extent(500, 5)
HOPS = extent(8000, 320)
Figures = dict[str, dict[str, float]]


async def least_us(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the least time of each call; they take turns."""
    least: dict[str, float] = {}
    for _ in range(TURNS):
        for name, call in calls.items():
            began = time.perf_counter()
            outcome = call()
            if inspect.isawaitable(outcome):
                await outcome
            took = (time.perf_counter() - began) * 1e6
            least[name] = min(took, least.get(name, took))
    return least


async def seals(url: str) -> Figures:
    """Return the times of sealing, by size."""
    figures = {}
    with nomyo.SyncSecureCompletionClient(url, True, **OPTIONS) as sync:
        async with nomyo.SecureCompletionClient(url, True, **OPTIONS) as client:
            pem = await client.fetch_server_public_key()
            await client.wait_for_server_key()
            sync.wait_for_server_key()
            key = serialization.load_pem_public_key(pem.encode())
            for size in ("200B", "10KB", "100KB"):
                content = payload(SIZES[size])
                calls: dict[str, Callable[[], Any]] = {
                    "sync": lambda content=content: sync.encrypt_payload(content),
                    "async": lambda content=content: client.encrypt_payload(content),
                    "by hand": lambda content=content: by_hand.seal(content, key),
                }
                figures[size] = await least_us(calls)
    return figures


async def opens(url: str) -> Figures:
    """Return the times of opening, by size."""
    figures = {}
    async with nomyo.SecureCompletionClient(url, True, **OPTIONS) as client:
        await client.generate_keys()
        pair = client._exchange._keys._pair
        assert pair is not None
        with pair.private_key.to_pem() as pem:
            key: Any = serialization.load_pem_private_key(bytes(pem), None)
        for size in ("200B", "10KB"):
            package = by_hand.seal(payload(SIZES[size]), key.public_key())
            wrapped = base64.b64decode(json.loads(package)["encrypted_aes_key"])
            calls: dict[str, Callable[[], Any]] = {
                "async": lambda package=package: client.decrypt_response(package, "id"),
                "bare RSA": lambda wrapped=wrapped: key.decrypt(wrapped, by_hand.OAEP),
            }
            figures[size] = await least_us(calls)
    return figures


async def hops(at_once: int) -> float:
    """Return the processor time of handing work that does nothing to a thread, and its outcome back."""
    work = Compute(lambda: None)

    async def one() -> None:
        for _ in range(HOPS // at_once):
            await crypto_threads().do(work)

    least = float("inf")
    for _ in range(5):
        began = time.process_time()
        await asyncio.gather(*(one() for _ in range(at_once)))
        least = min(least, (time.process_time() - began) / (HOPS // at_once * at_once) * 1e6)
    return least


def measure() -> dict[str, Any]:
    """Return all figures, in microseconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    with RunningRouter(RouterConfig(key_bits=4096)) as router:
        seal, opened = await seals(router.url), await opens(router.url)
    return {"seal": seal, "open": opened, "handing over": {str(at_once): await hops(at_once) for at_once in (1, 32)}}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
