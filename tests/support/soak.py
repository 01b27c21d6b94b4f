"""Does the same work over and over, and holds what the process takes against a flat line.

`python tests/support/soak.py [TENTHS]`: ten tenths are 200,000 packages sealed and opened, and 10,000 clients on one
key directory made and dropped, half of them by `dispose`, half by garbage collection. Exits with 1 where a figure
grows. With NOMYO_HIDE_MEMORY=1 all of it happens in hidden memory.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nomyo
from nomyo import _core
from nomyo.exchange.crypto_threads import crypto_threads
from nomyo.exchange.workers import key_pool

PACKAGES_A_TENTH = 20_000
CLIENTS_A_TENTH = 1_000
SAMPLES = 25
WARM_UP = 5
"""Samples that do not count: caches fill, pools start their threads, the arena grows to what it needs."""

# The most that a figure may grow from the first sample that counts to the last, by the slope of all of them.
TOLERANCE = {"RSS KiB": 768.0, "VmLck KiB": 64.0, "arena in use KiB": 16.0, "open files": 0.5, "threads": 0.5}


@dataclass(frozen=True)
class Growth:
    """A figure over the samples of one kind of work."""

    name: str
    first: float
    last: float
    grown: float
    """By the least-squares line through all samples that count."""

    @property
    def flat(self) -> bool:
        return self.grown <= TOLERANCE[self.name]


def sample() -> dict[str, float]:
    """What the kernel and the arena say of this process now."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "RSS KiB": float(status["VmRSS"].split()[0]),
        "VmLck KiB": float(status["VmLck"].split()[0]),
        "arena in use KiB": _core.memory_status()["in_use_bytes"] / 1024,
        "open files": float(len(os.listdir("/proc/self/fd"))),
        "threads": float(status["Threads"]),
    }


def growth(name: str, values: list[float]) -> Growth:
    """Fit a line through the samples."""
    values = values[WARM_UP:]
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((place - middle) ** 2 for place in range(len(values)))
    slope = sum((place - middle) * (value - mean) for place, value in enumerate(values)) / spread
    return Growth(name, values[0], values[-1], slope * (len(values) - 1))


def observe(work: Callable[[int], None], times: int) -> list[Growth]:
    """Do work that many times, with samples in between; once more where a figure grew.

    What leaks goes on to leak. What grew once, in a step (a heap of the C library that took one more piece from the
    system), does not.
    """
    grown = _observe(work, times)
    return grown if all(figure.flat for figure in grown) else _observe(work, times)


def _observe(work: Callable[[int], None], times: int) -> list[Growth]:
    samples = []
    for _ in range(SAMPLES):
        work(max(1, times // SAMPLES))
        settle()
        samples.append(sample())
    return [growth(name, [taken[name] for taken in samples]) for name in samples[0]]


def settle() -> None:
    """Wait for threads that are about to end: each client has one that waits for its rotation."""
    deadline = time.monotonic() + 10
    gc.collect()
    while any(thread.name == "nomyo-rotation" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.005)


def start_all_threads() -> None:
    """Start all threads that work on keys and packages: those that come when they are first needed look like a leak."""
    crypto_threads().start_all()
    pool = key_pool()
    together = threading.Barrier(pool._max_workers)
    for waiting in [pool.submit(together.wait) for _ in range(pool._max_workers)]:
        waiting.result()


class SealsAndOpens:
    """Packages of changing size, sealed and opened with one key of each size."""

    def __init__(self) -> None:
        self._keys = [_core.PrivateKey.generate(bits) for bits in (2048, 4096)]
        self._round = 0

    def __call__(self, times: int) -> None:
        for _ in range(times):
            self._round += 1
            # One in ten at 4096 bits, whose private operation takes three times as long.
            key = self._keys[self._round % 10 == 0]
            payload = {"messages": [{"role": "user", "content": "é" * (self._round % 7 * 300)}]}
            assert _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload


class Clients:
    """Clients of all four classes on one key directory, made, used for a package, and dropped."""

    def __init__(self, key_dir: Path) -> None:
        self._key_dir = key_dir
        self._public = _core.PublicKey.from_pem((key_dir / "public_key.pem").read_text())
        self._round = 0
        start_all_threads()

    def __call__(self, times: int) -> None:
        for _ in range(times):
            self._round += 1
            self._one(self._round % 8)

    def _one(self, kind: int) -> None:
        package = _core.seal({"a": kind}, self._public)
        options: dict[str, Any] = {"key_dir": self._key_dir, "key_rotation_dir": self._key_dir, "secure_memory": False}
        client: nomyo.SyncSecureCompletionClient | nomyo.SecureCompletionClient | nomyo.SyncSecureChatCompletion
        if kind in (0, 1, 2, 3):
            client = nomyo.SyncSecureCompletionClient("https://127.0.0.1:1", **options)
            assert client.decrypt_response(package, "id")["a"] == kind
        elif kind in (4, 5):
            client = nomyo.SecureCompletionClient("https://127.0.0.1:1", **options)
            asyncio.run(client.decrypt_response(package, "id"))
        else:
            # Dropped while its keys may still be opened.
            client = nomyo.SyncSecureChatCompletion("https://127.0.0.1:1", **options)
        if kind % 2:
            client.dispose()


def soak(tenths: float) -> bool:
    """Do both kinds of work and print the figures; whether all are flat."""
    warnings.simplefilter("error")
    flat = True
    with tempfile.TemporaryDirectory() as directory:
        key_dir = Path(directory) / "client_keys"
        _core.write_key_directory(key_dir, _core.PrivateKey.generate(2048))
        works: list[tuple[str, Callable[[int], None], float]] = [
            ("seals and opens", SealsAndOpens(), PACKAGES_A_TENTH * tenths),
            ("clients", Clients(key_dir), CLIENTS_A_TENTH * tenths),
        ]
        for name, work, times in works:
            begun = time.monotonic()
            figures = observe(work, int(times))
            print(f"{int(times)} {name} in {time.monotonic() - begun:.1f} s")
            for figure in figures:
                verdict = "flat" if figure.flat else f"GROWS by more than {TOLERANCE[figure.name]}"
                print(
                    f"  {figure.name:17} {figure.first:10.1f} -> {figure.last:10.1f}"
                    f"  slope over all {figure.grown:+9.2f}  {verdict}",
                    flush=True,
                )
                flat &= figure.flat
    return flat


if __name__ == "__main__":
    sys.exit(0 if soak(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0) else 1)
