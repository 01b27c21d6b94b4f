"""`canary.py run|tables|pipeline URL INPUT OUTPUT KEY_FILE PROMPT_FILE SEEN`: where key and prompts lie meanwhile.

Prints, as JSON, in how many places of what: the memory of Ray's own processes, its object stores, its files on the
disk, and the actors that send, which are the control.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

import nomyo.batch.ray as cluster_batch
from cluster.two_nodes import TwoNodes, descendants, name_of_process, two_nodes
from nomyo.batch import DataOptions
from support.memory_scan import Find, Needle, Scanner

ROWS_BEFORE_THE_SEARCH = 60


def search(nodes: TwoNodes, scanner: Scanner) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in (nodes.first, nodes.second):
        for kind in ("raylet", "gcs_server"):
            for each in node.all_processes.get(kind, []):
                found.update(f"{find.secret} in {kind}" for find in memory_of(each.process.pid, scanner))
        for content in object_stores(node.all_processes["raylet"][0].process.pid):
            found.update(f"{needle.secret} in object store" for needle, _ in scanner.content(content))
        for pid in descendants(node.all_processes["raylet"][0].process.pid):
            if "MapWorker" in name_of_process(pid):
                found.update(f"{find.secret} in actors" for find in memory_of(pid, scanner))
    for file in nodes.directory.rglob("*"):
        if file.is_file():
            found.update(f"{needle.secret} in files" for needle, _ in scanner.content(file.read_bytes()))
    return found


def memory_of(pid: int, scanner: Scanner) -> list[Find]:
    """Search a process, which stands still meanwhile: one that goes on gives pages back under the search."""
    os.kill(pid, signal.SIGSTOP)
    try:
        return scanner.process(pid)
    finally:
        os.kill(pid, signal.SIGCONT)


def object_stores(raylet: int) -> Iterator[bytes]:
    """Yield what lies in a node's object store: shared memory whose pages need not be in the raylet's own tables."""
    for descriptor in Path(f"/proc/{raylet}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            if os.readlink(descriptor).startswith("/dev/shm/plasma"):
                yield descriptor.read_bytes()


def do(kind: str, url: str, source: str, output: str, key_file: str, prompt_file: str) -> Any:
    """Do the job; return what is to be kept until the last search."""
    client: dict[str, Any] = {"base_url": url, "allow_http": True, "key_size": 2048, "api_key_file": key_file}
    if kind != "pipeline":
        # A system message is content as well; it is read here, and so is not among the words of this program.
        asked = DataOptions(prompt_column="question", model="m", system=Path(prompt_file).read_text())
        data = asked if kind == "tables" else None
        return cluster_batch.run(source, output, data=data, concurrency=4, rows_per_part=20, **client)
    return (
        cluster_batch.read_lines(source, rows_per_block=20)
        .map_batches(
            cluster_batch.SecureCompletions,
            compute=ray.data.ActorPoolStrategy(size=2),
            fn_constructor_kwargs={"requests_at_once": 4, **client},
        )
        .materialize()
    )


def main(kind: str, url: str, source: str, output: str, key_file: str, prompt_file: str, seen: str) -> None:
    found: Counter[str] = Counter()
    with two_nodes(num_cpus=2, checks=120) as nodes:

        def scanner() -> Scanner:
            # Not before: the job must not have them from here. Ray keeps the arguments of a program, too.
            secrets = {"key": key_file, "prompt": prompt_file}
            return Scanner(Needle(name, "ASCII", Path(file).read_bytes()) for name, file in secrets.items())

        def search_midway() -> None:
            while Path(seen).stat().st_size < ROWS_BEFORE_THE_SEARCH:
                time.sleep(0.02)
            found.update(search(nodes, scanner()))

        midway = threading.Thread(target=search_midway)
        midway.start()
        kept = do(kind, url, source, output, key_file, prompt_file)
        midway.join()
        found.update(search(nodes, scanner()))
        del kept
    print("report:", json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
