"""Does the work of a job's actors in this process, where starting a cluster for each test would take minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
from ray import cloudpickle

from nomyo.batch.ray.line_dataset import dataset_rows
from nomyo.batch.ray.part_sender import PartSender


class NoRate:
    """An admission that always admits, where there is no cluster that keeps a rate."""

    counts_tokens = False

    def __init__(self, *_: object) -> None:
        pass

    async def acquire(self) -> None:
        pass

    async def note(self, error: Exception) -> float:
        return 0.0


def outcomes_here(parts: Any, arguments: Any, **_: Any) -> list[Mapping[str, Any]]:
    """Do what an actor does with all parts, after its arguments travelled."""

    async def do() -> Any:
        sender = PartSender(*cloudpickle.loads(cloudpickle.dumps(arguments)))
        try:
            return (await sender(pa.Table.from_pylist(dataset_rows(parts)))).to_pylist()
        finally:
            await sender.aclose()

    done: list[Mapping[str, Any]] = asyncio.run(do()) if parts else []
    return done


WITHOUT_CLUSTER: Final[dict[str, Any]] = {
    "nomyo.batch.ray.job._outcomes": outcomes_here,
    "nomyo.batch.ray.completions.ClusterRate": NoRate,
}
"""What to set in place of Ray, by the names of what it replaces."""
