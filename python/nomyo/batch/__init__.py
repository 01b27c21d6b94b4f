"""Sends a file of requests and writes a file of answers, in OpenAI's batch format; sends no finished row again.

>>> import nomyo.batch
>>> nomyo.batch.run("requests.jsonl", "answers.jsonl")  # doctest: +SKIP

With answers that only the holder of a private key can read:

>>> nomyo.batch.run("requests.jsonl", "answers.jsonl", encrypt_to="archive/public_key.pem")  # doctest: +SKIP
>>> for row in nomyo.batch.read("answers.jsonl", key_dir="archive"):  # doctest: +SKIP
...     print(row["custom_id"])

Modules, from the ground up; each imports only from those above it:

    records         rows of the input and of the output in OpenAI's format; recognises torn rows
    input_lines     the input: its lines, their number and digest
    budget          what a batch may take as a whole, and what it has taken
    error_codes     rows that failed, by the codes of their errors
    row_tokens      the tokens that rows of an output took
    done_lines      one bit for each row
    order           merges the rows of an output into the order of the input
    sealed          seals a row for a public key, and opens it
    seal_key        the keys to seal for and to open with, as a user names them
    header          `OUT.batch`: the input that an output belongs to, and whose key its rows are sealed for
    append_log      appends rows, and syncs them in groups
    journal         the output: what was done already, and the lock
    source          where rows come from, as a run sees it: a file in OpenAI's format, for example
    output_reader   the rows of an output, sealed or not
    data            the rows of other files and of tables as requests, and their answers beside them
    report          what became of a batch, from its output alone
    internal_errors tells a fault inside the package from a mistake in the call
    verdict         what a failure means for its row and for all rows
    governor        when a request may go, for all processes that use one API key
    token_estimate  what a request is expected to take in tokens, learned from answers
    admission       when a request may leave: asks the governor, and waits while the router is away
    token_meter     the tokens of a batch: estimates them, asks the admission for them, corrects them
    sender          one row to one answer
    stop            stops a run from outside
    router_check    checks whether there is a router at an address
    client_options  the options that a run passes to its client
    progress        the figures on stderr
    run_figures     the figures of a run, as JSON and for Prometheus
    metrics_file    a file with these figures, replaced every few seconds
    estimate        the dry run
    summary         the state of a batch after a run
    opened          the files of a batch, opened and finished in threads
    one_run         the engine of `create_many` between input and journal
    runner          a batch from its first row to its last
    ray             the same over a Ray cluster; imported by name alone
"""

from nomyo.batch.budget import Budget
from nomyo.batch.data.options import DataOptions
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.output_reader import Damaged, read
from nomyo.batch.progress import PlainProgress, Progress
from nomyo.batch.runner import run, run_async
from nomyo.batch.stop import Stop
from nomyo.batch.summary import Summary

__all__ = [
    "Budget",
    "Damaged",
    "DataOptions",
    "Governor",
    "Limits",
    "PlainProgress",
    "Progress",
    "Stop",
    "Summary",
    "read",
    "run",
    "run_async",
]
