"""`rate_over_cluster.py URL INPUT OUTPUT LIMITS MOMENTS`: two nodes keep one rate, while that of its governor dies.

Moments of the governor's clock at which turns began go to a file. Prints what was killed, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import nomyo.batch.ray as cluster_batch
from cluster.two_nodes import two_nodes
from nomyo.batch.governor import Limits
from nomyo.batch.governor.clock import SystemClock
from nomyo.batch.governor.governor import name_of
from nomyo.batch.ray import rate

TURNS_BEFORE_THE_KILL = 40


class NotingClock(SystemClock):
    """Keeps the last moment that it told."""

    told = 0

    def now_ns(self) -> int:
        self.told = super().now_ns()
        return self.told


class NotingGovernor(rate.ClusterGovernor):
    def __init__(self, moments: str) -> None:
        super().__init__(NotingClock())
        self._moments = Path(moments)

    async def acquire(self, limits: Limits) -> bool:
        settled = await super().acquire(limits)
        with self._moments.open("a") as file:
            file.write(f"{self._clock.told}\n")  # type: ignore[union-attr]
        return settled

    def node_id(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def put_governor_on(node_id: str, name: str, moments: str) -> None:
    """Make the actor that the first asker would make, there; after that node's death it may be anywhere."""
    softly = NodeAffinitySchedulingStrategy(node_id, soft=True)
    options = {**rate.options_of(name), "scheduling_strategy": softly}
    for _ in range(20):
        governor = ray.remote(NotingGovernor).options(**options).remote(moments)
        if ray.get(governor.node_id.remote()) == node_id:
            return
        ray.kill(governor)
        time.sleep(0.2)
    raise AssertionError("Ray does not put it there")


def main(url: str, source: str, output: str, limits: str, moments: str) -> None:
    killed: list[str] = []
    file = Path(moments)
    file.touch()
    with two_nodes() as nodes:
        put_governor_on(nodes.second.node_id, name_of(url, ""), moments)
        nodes.kill_second_when(lambda: file.read_bytes().count(b"\n") >= TURNS_BEFORE_THE_KILL, killed)
        cluster_batch.run(
            source,
            output,
            base_url=url,
            allow_http=True,
            key_size=2048,
            rows_per_part=10,
            concurrency=8,
            limits=Limits(**json.loads(limits)),
        )
        print("report:", json.dumps(killed))


if __name__ == "__main__":
    main(*sys.argv[1:])
