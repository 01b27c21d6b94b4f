"""A hostile crowd around `nomyo router` and `nomyo proxy`: work of our own beside it succeeds, and nothing grows.

`NOMYO_SOAK_S=600 python tests/support/hostile_crowd.py` runs both servers as processes with 1,024 descriptors, sends
`hostile_clients` to both, more than they have descriptors for, and meanwhile runs batches through the router and
requests through the proxy. Exits with 1 where one of these fails, a server's memory, files, threads or log grow, or
a server keeps anything of the crowd when that is gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from nomyo import _core
from support import hostile_clients
from support.batch_scene import command as batch_command
from support.batch_scene import outcomes, request, write_input
from support.process import LIMITED, unmeasured
from support.proxied import TOKEN, chat
from support.proxied import command as proxy_command
from support.soak import SAMPLES, growth

DEFAULT_S: Final = 600.0
DESCRIPTORS: Final = 1024
MEMBERS: Final = 1200
"""At each server: more than it has descriptors for."""
ROWS: Final = 100
WORKERS: Final = 4
PAUSE_S: Final = 0.1
"""Between two requests of a worker."""
REQUEST_TIMEOUT_S: Final = 60.0
API_KEY: Final = "canary-key-of-the-crowds-router-5d20"
GATHER_S: Final = 15.0
"""For which the crowd is waited for at most, after it should have come: a machine under load is slow to let it in."""
SETTLE_S: Final = 90.0

# The most that a figure may grow from the first sample that counts to the last, by the slope of all of them. Files go
# up and down with the crowd, within their bound; what is kept of it shows when the crowd is gone.
TOLERANCE: Final = {"RSS KiB": 8192.0, "open files": 64.0, "threads": 2.0, "log bytes": 4096.0}
MOST: Final = {"RSS KiB": 400 * 1024, "open files": DESCRIPTORS - 32}
GROWS: Final = "grows by more than"
LEFT: Final = 8
"""Files more than before the crowd came, when it is gone: connections that are kept for our own work."""


@dataclass
class Server:
    """A server's process, and the file that its stderr goes to."""

    name: str
    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def sample(self) -> dict[str, float]:
        """Return what the kernel says of it now."""
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return {
            "RSS KiB": float(status["VmRSS"].split()[0]),
            "open files": float(len(os.listdir(proc / "fd"))),
            "threads": float(status["Threads"]),
            "log bytes": float(self.log.stat().st_size),
        }


@contextmanager
def server(name: str, words: list[str], directory: Path, **environment: str) -> Iterator[Server]:
    """Run a server with an ordinary limit of descriptors while the block lasts."""
    log = directory / f"{name}.log"
    limited = [*LIMITED, f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *words]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            limited, stdout=subprocess.PIPE, stderr=stderr, text=True, env=unmeasured() | environment
        ) as process,
    ):
        try:
            assert process.stdout
            yield Server(name, process, json.loads(process.stdout.readline())["url"], log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            finally:
                process.kill()


@dataclass
class Work:
    """Our own requests beside the crowd: each must succeed."""

    router: Server
    proxy: Server
    directory: Path
    faults: list[str] = field(default_factory=list)
    batches: int = 0
    answers: int = 0
    slowest_s: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Do it in threads while the block lasts."""
        self._over.clear()
        threads = [threading.Thread(target=self._batches)]
        threads += [threading.Thread(target=self._requests, args=(number,)) for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _batches(self) -> None:
        source = write_input(self.directory / "in.jsonl", map(request, range(ROWS)))
        expected = [(f"row-{number}", f"prompt {number} é", None) for number in range(ROWS)]
        while not self._over.is_set():
            output = self.directory / f"out-{self.batches}.jsonl"
            words = batch_command(source, output, self.router.url, "--concurrency", "4", "--key-dir", "client_keys")
            done = subprocess.run(
                words, capture_output=True, text=True, check=False, cwd=self.directory, env=self._environment()
            )
            if done.returncode or outcomes(output) != expected:
                self.faults.append(f"batch {self.batches}: exit code {done.returncode}: {done.stderr[-500:]}")
            self.batches += 1

    def _environment(self) -> dict[str, str]:
        return unmeasured() | {"NOMYO_API_KEY": API_KEY, "NOMYO_RATE_DIR": str(self.directory / "rates")}

    def _requests(self, worker: int) -> None:
        """Ask the proxy, half of the workers on a kept connection and half on a new one each time."""
        with ExitStack() as kept:
            client = kept.enter_context(self._client())
            while not self._over.wait(PAUSE_S):
                if worker % 2:
                    self._ask(client)
                else:
                    with self._client() as fresh:
                        self._ask(fresh)

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=self.proxy.url, headers=headers, timeout=REQUEST_TIMEOUT_S, trust_env=False)

    def _ask(self, client: httpx.Client) -> None:
        words = f"prompt {self.answers}"
        began_s = time.monotonic()
        try:
            answer = client.post("/v1/chat/completions", json=chat(words))
            said = answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else answer.text
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}: {error}"
        if said != words:
            self.faults.append(f"request {self.answers}: {said[:200]}")
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        self.answers += 1


@contextmanager
def crowd(seconds: float, members: int, servers: list[Server]) -> Iterator[subprocess.Popen[str]]:
    """Send the crowd, from a process of its own."""
    words = [
        sys.executable,
        hostile_clients.__file__,
        str(seconds),
        str(members),
        *(str(each.port) for each in servers),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=unmeasured()) as process:
        try:
            yield process
        finally:
            process.kill()


def verdicts(server_name: str, samples: list[dict[str, float]]) -> list[str]:
    """Print a server's figures; return what is wrong with them."""
    wrong = []
    for name, most_grown in TOLERANCE.items():
        figure = growth(name, [taken[name] for taken in samples])
        most = max(taken[name] for taken in samples)
        faults = [f"{GROWS} {most_grown:g}"] if figure.grown > most_grown else []
        faults += [f"is more than {MOST[name]:g}"] if most > MOST.get(name, most) else []
        wrong += [f"{server_name}: {name} {fault}" for fault in faults]
        print(
            f"  {server_name:6} {name:10} {figure.first:10.0f} -> {figure.last:10.0f}  most {most:10.0f}"
            f"  slope over all {figure.grown:+10.1f}  {'; '.join(faults) or 'flat'}",
            flush=True,
        )
    return wrong


def kept(each: Server, before: dict[str, float]) -> list[str]:
    """Return what a server keeps of a crowd that is gone."""
    deadline = time.monotonic() + SETTLE_S
    most = before["open files"] + LEFT
    while (files := each.sample()["open files"]) > most and time.monotonic() < deadline:
        time.sleep(0.2)
    return (
        [f"{each.name}: {files - before['open files']:g} files are kept of a crowd that is gone"]
        if files > most
        else []
    )


def await_all(servers: list[Server]) -> None:
    """Wait until the servers have as many connections as they take: their files grow no more."""
    deadline, before = time.monotonic() + GATHER_S, 0.0
    while time.monotonic() < deadline:
        files = sum(each.sample()["open files"] for each in servers)
        if files <= before:
            return
        before = files
        time.sleep(2)


def sampled(servers: list[Server], seconds: float) -> list[list[dict[str, float]]]:
    """Return samples of each server over so long; those of one that ended are missing."""
    samples: list[list[dict[str, float]]] = [[] for _ in servers]
    for _ in range(SAMPLES):
        time.sleep(seconds / SAMPLES)
        for each, taken in zip(servers, samples, strict=True):
            taken.append(each.sample())
    return samples


def besieged(work: Work, seconds: float, members: int) -> tuple[list[str], list[str]]:
    """Send the crowd once, with our own work beside it; return what went wrong, and which figures grew."""
    servers = [work.router, work.proxy]
    before = [each.sample() for each in servers]
    coming_s = members / hostile_clients.OPENED_PER_S
    whole_s = coming_s + GATHER_S + seconds
    with work.going_on(), crowd(whole_s, members, servers) as hostile:
        time.sleep(coming_s)
        await_all(servers)
        samples = sampled(servers, seconds)
        counted = json.loads(hostile.communicate(timeout=120)[0])
    print(f"{sum(counted['came'].values())} hostile connections in {whole_s:.0f} s: {counted}")
    print(f"{work.batches} batches of {ROWS} rows, {work.answers} requests, the slowest {work.slowest_s:.1f} s")
    faults = work.faults + [f"{kind}: did not come" for kind in hostile_clients.KINDS if not counted["came"].get(kind)]
    grown = []
    for each, taken, at_first in zip(servers, samples, before, strict=True):
        found = verdicts(each.name, taken)
        grown += [fault for fault in found if GROWS in fault]
        faults += [fault for fault in found if GROWS not in fault] + kept(each, at_first)
    return faults, grown


def main(seconds: float, members: int = MEMBERS) -> int:
    """Run it all; return the exit code."""
    with ExitStack() as held:
        directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
        _core.write_key_directory(directory / "client_keys", _core.PrivateKey.generate(2048))
        own = [sys.executable, "-m", "nomyo", "router", "--port", "0", "--key-bits", "2048"]
        words = [*own, "--log-level", "warning", "--json"]
        router = held.enter_context(server("router", words, directory, NOMYO_ROUTER_API_KEYS=API_KEY))
        words = [*proxy_command(router.url, directory / "client_keys"), "--log-level", "warning", "--json"]
        secrets = {"NOMYO_API_KEY": API_KEY, "NOMYO_PROXY_TOKEN": TOKEN}
        proxy = held.enter_context(server("proxy", words, directory, **secrets))
        work = Work(router, proxy, directory)
        faults, grown = besieged(work, seconds, members)
        if grown and not faults:  # what leaks goes on to leak; what grew once, in a step, does not
            print("once more, since that grew:")
            faults, grown = besieged(work, seconds, members)
        faults += grown
        for each in (router, proxy) if faults else ():
            print(f"{each.name} logged: {each.log.read_text(errors='replace')[-2000:]}")
        for fault in faults[:20]:
            print(fault)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(float(os.environ.get("NOMYO_SOAK_S", DEFAULT_S)), *map(int, sys.argv[1:2])))
