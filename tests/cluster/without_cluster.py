"""Does the work of a job's actors in this process, where starting a cluster for each test would take minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Final

import pyarrow as pa
from ray import cloudpickle

from nomyo.batch.ray.line_dataset import dataset_rows
from nomyo.batch.ray.part_sender import PartSender
from nomyo.batch.ray.spending import ClusterLedger


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


class LocalHandle:
    """The handle of an object in this process, as Ray has handles of actors; a copy of it leads to the same object."""

    _objects: ClassVar[list[Any]] = []

    def __init__(self, actor: Any) -> None:
        self._number = len(self._objects)
        self._objects.append(actor)

    def __getattr__(self, name: str) -> Any:
        method = getattr(LocalHandle._objects[self.__dict__["_number"]], name)
        return SimpleNamespace(remote=lambda *arguments: asyncio.ensure_future(method(*arguments)))

    @property
    def actor(self) -> Any:
        return self._objects[self._number]

    def __reduce__(self) -> Any:
        return _handle, (self._number,)


def _handle(number: int) -> LocalHandle:
    handle = LocalHandle.__new__(LocalHandle)
    handle.__dict__["_number"] = number
    return handle


WITHOUT_CLUSTER: Final[dict[str, Any]] = {
    "nomyo.batch.ray.job._outcomes": outcomes_here,
    "nomyo.batch.ray.completions.ClusterRate": NoRate,
    "nomyo.batch.ray.job.ledger_actor": lambda *arguments: LocalHandle(ClusterLedger(*arguments)),
    "nomyo.batch.ray.job.spent_of": lambda ledger: asyncio.run(ledger.actor.total()),
}
"""What to set in place of Ray, by the names of what it replaces."""
