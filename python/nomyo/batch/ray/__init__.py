"""A batch over the machines of a Ray cluster, as a Ray Data pipeline; needs the extra `ray`.

    summary = nomyo.batch.ray.run("/shared/requests.jsonl", "/shared/answers", actors=8, rate=50)

or, with Ray's own readers and writers:

    lines = nomyo.batch.ray.read_lines("/shared/requests.jsonl")
    answers = lines.map_batches(SecureCompletions, compute=ActorPoolStrategy(size=8))

Rules and promises:

- One client an actor. API keys and passwords are never arguments, which Ray would store and show: each actor takes
  them from its own node, by `NOMYO_API_KEY` or from files there (`node_secrets`).
- All actors that use one API key keep one rate, and its pauses, together (`rate`).
- `run` passes no content through Ray: neither prompts nor answers lie in its object store. A pipeline does, in clear.
- In the output of `run` each row stands once, whichever nodes died when (`part_file`).

See docs/ray.md.
"""

try:
    import pyarrow  # noqa: F401 - Ray Data is of no use without
    import ray.data  # noqa: F401
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"ray", "pyarrow", "pandas", "numpy"}:
        raise
    raise ModuleNotFoundError(
        "nomyo.batch.ray needs the extra 'ray': pip install 'nomyo[ray]'", name=error.name
    ) from None

from nomyo.batch.ray.completions import SecureCompletions
from nomyo.batch.ray.job import run
from nomyo.batch.ray.lines import read_lines

__all__ = ["SecureCompletions", "read_lines", "run"]
