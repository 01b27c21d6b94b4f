"""Single calls of the clients beside the same by hand: `python benches/client_calls.py`.

Seal and open as operations of their own, and the way of work from an event loop to a thread and back. Each figure is
the least of many turns that all take in one run, in microseconds; the last two are processor time of all threads.
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
from test_seal_open import SIZES, payload

import nomyo
from nomyo.exchange.crypto_threads import crypto_threads
from nomyo.exchange.effects import Compute
from nomyo.serve.router import RouterConfig, RunningRouter

OPTIONS: dict[str, Any] = {"key_dir": None, "key_rotation_interval": 0}
TURNS = 500
HOPS = 8000


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


def told(what: str, figures: dict[str, float]) -> None:
    """Print figures, and each but the last by the last."""
    *_, last = figures.values()
    print(f"{what:12}", *(f"{name} {figure:7.1f} ({figure / last:.3f})" for name, figure in figures.items()), sep="  ")


async def seals(url: str) -> None:
    """Print the time of sealing."""
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
                told(f"seal {size}", await least_us(calls))


async def opens(url: str) -> None:
    """Print the time of opening."""
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
            told(f"open {size}", await least_us(calls))


async def hops(at_once: int) -> None:
    """Print the processor time of handing work that does nothing to a thread, and its outcome back."""
    work = Compute(lambda: None)

    async def one() -> None:
        for _ in range(HOPS // at_once):
            await crypto_threads().do(work)

    least = float("inf")
    for _ in range(5):
        began = time.process_time()
        await asyncio.gather(*(one() for _ in range(at_once)))
        least = min(least, (time.process_time() - began) / (HOPS // at_once * at_once) * 1e6)
    print(f"handing over, {at_once} at once: {least:.1f}")


async def main() -> None:
    """Print all figures."""
    with RunningRouter(RouterConfig(key_bits=4096)) as router:
        await seals(router.url)
        await opens(router.url)
    for at_once in (1, 32):
        await hops(at_once)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main())
