"""Runs a whole job: from an input that all nodes can read, to a folder that all nodes can write.

Only positions in the input, and counts, travel through Ray. Content goes from the file to the actor that sends it, and
from there to the output.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from ray.data import ActorPoolStrategy
from ray.util.annotations import RayDeprecationWarning

from nomyo._checks import check_int, check_number
from nomyo.batch.budget import Budget, checked_budget
from nomyo.batch.client_options import BatchOptions
from nomyo.batch.data.options import DataOptions
from nomyo.batch.governor import Limits
from nomyo.batch.header import Header
from nomyo.batch.progress import Progress, guarded
from nomyo.batch.ray.completions import Options, path_or_none, shows_actor_options
from nomyo.batch.ray.job_counts import JobCounts
from nomyo.batch.ray.job_metrics import kept_current_beside, metrics_of
from nomyo.batch.ray.line_dataset import dataset_of
from nomyo.batch.ray.part_sender import PARTS_AT_ONCE, PartSender
from nomyo.batch.ray.parts import Part
from nomyo.batch.ray.plan import plan_of
from nomyo.batch.ray.spending import ledger_actor, spent_of
from nomyo.batch.runner import PATIENCE_S
from nomyo.batch.seal_key import seal_to
from nomyo.batch.summary import Summary


@shows_actor_options
def run(
    input: Any,  # noqa: A002 - as `nomyo.batch.run` has it
    output_dir: str | os.PathLike[str],
    *,
    data: DataOptions | None = None,
    actors: int = 2,
    concurrency: int = 32,
    rate: float | None = None,
    limits: Limits | None = None,
    token_rate: int | None = None,
    budget: Budget | None = None,
    rows_per_part: int | None = None,
    retry_errors: bool = False,
    max_retries: int = 2,
    patience: float = PATIENCE_S,
    encrypt_to: str | os.PathLike[str] | None = None,
    cpus_per_actor: float = 1.0,
    api_key_file: str | os.PathLike[str] | None = None,
    key_password_file: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    metrics_file: str | os.PathLike[str] | None = None,
    **client_options: Unpack[BatchOptions],
) -> Summary:
    """Send every row of a file in OpenAI's batch format, or of tables, from the nodes of a Ray cluster.

    The rows are in `part-*.jsonl` of the output then, or with their answers in `part-*.parquet`, each once, in the
    order of the input if the files are read in that of their names. Called once more with the same arguments, it goes
    on where it was interrupted.

    Uses the cluster that `ray.init` connected to, or what Ray starts by itself.

    Args:
        input: A file of rows, which each node finds at this path; must not change until the batch is done. With `data`,
            also a folder or a glob of files (Parquet, Arrow IPC, CSV, JSON lines), or a table that speaks the Arrow C
            stream, of which the actors read a copy in the output.
        output_dir: A folder that each node finds at this path; made if it is not there.
        data: How rows of a table become requests, and which columns the output has.
        actors: How many clients there are in the cluster.
        concurrency: Requests under way at once in each.
        rate: Requests a second, 0 for no limit. None takes that of `limits`.
        limits: The service's rules, which the whole cluster keeps for one API key. By default those of the public
            service at its address; elsewhere no rate, and a minute's pause for a 503.
        token_rate: Tokens a minute, which the whole cluster keeps for one API key; None takes those of `limits`.
        budget: What the job may take as a whole, over all its runs, in tokens, money and time. The actors keep it
            together; the deadline is that of their own clocks.
        rows_per_part: Rows of one file of the output, which one actor sends. None takes 128 for requests in OpenAI's
            format, and 1,024 for tables; fewer, if rows are large.
        retry_errors: Do rows once more whose outcome was an error in an earlier run.
        max_retries: Extra attempts after 500, 502, 504 and timeouts.
        patience: Seconds for which the router may be away, or refuse with 429 or 503, before the batch stops.
        encrypt_to: The PEM of an RSA public key, here: rows are sealed for the holder of its private half in the actor
            that sends them, and `nomyo.batch.read` opens them.
        cpus_per_actor: What Ray reserves for each.
        api_key_file: Holds the API key, on each node; `NOMYO_API_KEY` of the node by default.
        key_password_file: Holds the password of the key pair in `key_dir`, on each node.
        progress: An object with the methods of `nomyo.batch.Progress`, which is told how many rows are done, some parts
            at a time. The actors report pauses in the log `nomyo.batch.ray`.
        metrics_file: A file for the figures of the run, here, as `nomyo.batch.run` writes it; rows count when their
            part is done, or the job ends.
        client_options: As `SecureCompletionClient` takes them, with `base_url` for its `router_url`; but `timeout` is
            600 s by default.

    Returns:
        How the batch stands. Rows that failed are in the output, and raise nothing.

    Raises:
        BatchError: It cannot begin (another input, a foreign output, another job), or had to stop; what is done counts,
            and the same call goes on.
        OSError: A file cannot be read or written here.
        TypeError, ValueError: An option is of the wrong type or out of range, or holds a secret.
        ray.exceptions.RayError: What goes wrong in the cluster.
    """
    for name, count in (("actors", actors), ("concurrency", concurrency)):
        check_int(name, count, 1)
    check_number("cpus_per_actor", cpus_per_actor, 0)
    progress, budget = guarded(progress), checked_budget(budget)
    seal = seal_to(encrypt_to, {"key_dir": None, "key_rotation_dir": None, **client_options})
    options = Options(
        requests_at_once=concurrency,
        rate=rate,
        limits=limits,
        token_rate=token_rate,
        budget=budget,
        max_retries=max_retries,
        patience=patience,
        api_key_file=path_or_none(api_key_file),
        key_password_file=path_or_none(key_password_file),
        seal_to_pem=None if seal is None else seal.pem,
        client_options=client_options,
    )
    folder, locked = Path(output_dir).absolute(), client_options.get("secure_memory") == "require"
    plan = plan_of(input, folder, data, rows_per_part, seal, locked=locked)
    sealed_for = None if seal is None else seal.fingerprint
    header = Header(plan.survey, ordered=True, sealed_for=sealed_for, rows_per_part=plan.rows_per_part)
    metrics = metrics_of(metrics_file, input, folder)
    with plan.opened(header):
        counts = JobCounts(plan, budget, retry_errors=retry_errors)
        ledger = ledger_actor(budget, counts.earlier.total) if budget.counts and counts.left else None
        last = len(counts.left) <= actors * PARTS_AT_ONCE  # all of them are begun at once
        options = replace(options, last_parts=last, earlier=counts.earlier, ledger=ledger)
        sender_arguments = plan.source, os.fspath(plan.journals), options, retry_errors
        if counts.left:
            plan.begin()
        progress.begin(plan.survey.rows, counts.rows, counts.failed)
        try:
            with kept_current_beside(metrics, counts.figures, progress.tell):
                for outcome in _outcomes(counts.left, sender_arguments, actors=actors, cpus_per_actor=cpus_per_actor):
                    if ledger is not None:
                        counts.spending.spent = spent_of(ledger)
                    counts.add(outcome, progress)
        finally:
            progress.end()
        summary = counts.summary()
        if not summary.left:
            plan.end(counts.rows, counts.failed)
    return summary


def _outcomes(
    parts: Sequence[Part], sender_arguments: tuple[Any, ...], *, actors: int, cpus_per_actor: float
) -> Iterable[Mapping[str, Any]]:
    """Yield the outcomes of parts as they complete."""
    if not parts:
        return ()
    with warnings.catch_warnings():
        # Ray 2.64 will no longer take max_concurrency, and has no other name for it yet.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        done = dataset_of(parts).map_batches(
            PartSender,
            batch_size=1,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2 * PARTS_AT_ONCE),
            num_cpus=cpus_per_actor,
            max_concurrency=PARTS_AT_ONCE,
            fn_constructor_args=sender_arguments,
        )
    outcomes: Iterable[Mapping[str, Any]] = done.iter_rows()
    return outcomes
