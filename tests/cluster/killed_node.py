"""`killed_node.py run|tables|pipeline URL INPUT OUTPUT SEEN`: a batch over two nodes, one of which dies midway.

Prints what was killed, as JSON, and the nodes that are left.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray

import nomyo.batch.ray as cluster_batch
from cluster.two_nodes import two_nodes
from nomyo.batch import DataOptions
from nomyo.batch.ray import SecureCompletions

BEFORE_THE_KILL = 80


def run(url: str, source: str, output: str, data: DataOptions | None = None) -> None:
    client: dict[str, Any] = {"base_url": url, "allow_http": True, "key_size": 2048}
    cluster_batch.run(source, output, data=data, actors=2, concurrency=8, rows_per_part=40, **client)


def tables(url: str, source: str, output: str) -> None:
    run(url, source, output, DataOptions(prompt_column="question", model="m"))


def pipeline(url: str, source: str, output: str) -> None:
    requests = ray.data.read_json(source, override_num_blocks=1).repartition(10)
    answers = requests.map_batches(
        SecureCompletions,
        compute=ray.data.ActorPoolStrategy(size=2),
        fn_constructor_kwargs={"base_url": url, "allow_http": True, "key_size": 2048, "requests_at_once": 8},
    )
    answers.write_json(output)


def main(kind: str, url: str, source: str, output: str, seen: str) -> None:
    killed: list[str] = []
    with two_nodes(num_cpus=2) as nodes:  # an actor on each, and room for the tasks that read and write
        killing = nodes.kill_second_when(lambda: Path(seen).stat().st_size >= BEFORE_THE_KILL, killed)
        {"run": run, "tables": tables, "pipeline": pipeline}[kind](url, source, output)
        killing.join(timeout=10)
        alive = sum(node["Alive"] for node in ray.nodes())
        print("report:", json.dumps({"killed": killed, "alive": alive}))


if __name__ == "__main__":
    main(*sys.argv[1:])
