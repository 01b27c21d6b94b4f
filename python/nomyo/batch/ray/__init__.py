"""A batch over the machines of a Ray cluster, as a Ray Data pipeline; needs the extra `ray`.

    summary = nomyo.batch.ray.run("/shared/requests.jsonl", "/shared/answers", actors=8, rate=50)

or, with Ray's own readers and writers:

    lines = nomyo.batch.ray.read_lines("/shared/requests.jsonl")
    answers = lines.map_batches(SecureCompletions, compute=ActorPoolStrategy(size=8))

Rules and promises:

- Each actor has one client. API keys and passwords are never arguments, because Ray would store and show them: each
  actor takes them from its own node, from `NOMYO_API_KEY` or from files there (`node_secrets`).
- All actors that use one API key keep one rate, and its pauses, together (`rate`).
- `run` passes no content through Ray: neither prompts nor answers lie in its object store. In a pipeline, they do, in
  clear.
- In the output of `run` each row appears once, whichever nodes died, and whenever (`part_file`).

Modules, from the ground up; each imports only from those above it:

    node_secrets  reads the API key and the password on each node, and refuses them as arguments
    rate          the governor in an actor of its own, and the admission that asks it
    spending      the budget of a job in an actor of its own, and the spending that asks it
    rows          reads requests from Arrow blocks, and writes answers into blocks of one schema
    completions   a client and its sender in an actor; `SecureCompletions` for `map_batches`
    parts         cuts the input into parts of whole lines
    line_dataset  the lines of the input as a dataset
    part_file     the output file of a part, which exists only when it is complete
    output        the output folder, its header and lock
    part_source   the rows of a part, as an actor sees them
    table_folder  the output folder of tables, with its files of Parquet
    table_source  the rows of tables, as an actor sees them
    plan          the input and the output, as the driver sees them
    part_sender   what each actor of a run does with the parts that it gets
    job_counts    how far a job is
    job_metrics   its metrics file
    job           `run`: only positions in the input go through Ray, content does not

See docs/ray.md.
"""

from nomyo._install_command import install_command

try:
    import pyarrow  # noqa: F401 - Ray Data is of no use without
    import ray.data  # noqa: F401
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"ray", "pyarrow", "pandas", "numpy"}:
        raise
    raise ModuleNotFoundError(
        f"nomyo.batch.ray needs the extra 'ray': {install_command('ray')}", name=error.name
    ) from None

from nomyo.batch.ray.completions import SecureCompletions
from nomyo.batch.ray.job import run
from nomyo.batch.ray.line_dataset import read_lines

__all__ = ["SecureCompletions", "read_lines", "run"]
