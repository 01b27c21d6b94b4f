"""Two nodes of Ray on this machine, the second of which can be killed as a machine dies: all of it, at once."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 100 * 1024 * 1024}


@dataclass
class TwoNodes:
    """The driver is on the first."""

    first: Any
    second: Any
    directory: Path
    """Where Ray keeps sessions, logs and what it spills."""

    def kill_second(self) -> list[str]:
        """Kill its raylet and all that it started; return what that was."""
        raylet = self.second.all_processes["raylet"][0].process.pid
        others = [each[0].process.pid for kind, each in self.second.all_processes.items() if kind != "raylet" and each]
        killed = [raylet, *descendants(raylet), *others]
        names = [name_of_process(pid) for pid in killed]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        return names

    def kill_second_when(self, happened: Callable[[], bool], killed: list[str]) -> threading.Thread:
        """Kill it in the background as soon as something happened; `killed` gets what that was."""

        def watch() -> None:
            while not happened():
                time.sleep(0.02)
            killed.extend(self.kill_second())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread


@contextmanager
def two_nodes(*, checks: int = 4, **node: Any) -> Iterator[TwoNodes]:
    """Run them; a node that does not answer so many checks, each half a second after the other, is dead."""
    health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    config = {**health, "health_check_failure_threshold": checks}
    # The paths of Ray's sockets have room for 107 characters: not below pytest's own folders.
    with tempfile.TemporaryDirectory(prefix="ray") as directory:
        first = {**NODE, **node, "include_dashboard": False, "temp_dir": directory}
        cluster = Cluster(initialize_head=True, head_node_args={**first, "_system_config": config})
        second = cluster.add_node(**{**NODE, **node})
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        try:
            yield TwoNodes(cluster.head_node, second, Path(directory))
        finally:
            ray.shutdown()
            cluster.shutdown()


def descendants(pid: int) -> list[int]:
    children = [each for each, parent in _parents() if parent == pid]
    return children + [each for child in children for each in descendants(child)]


def _parents() -> Iterator[tuple[int, int]]:
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended
            yield int(status.parent.name), int(status.read_text().partition("PPid:")[2].split()[0])


def name_of_process(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
