"""Send a file of requests, sealed, from all nodes of a Ray cluster: `python ray_batch.py IN.jsonl OUT_DIR`.

Needs the extra: `pip install 'nomyo[ray]'`. In a checkout, after `make setup ray`:
`PYTHONPATH=python .venv-ray/bin/python examples/ray_batch.py IN.jsonl OUT_DIR`.

The file and the folder must be at the same paths on every node. The API key is each node's own: NOMYO_API_KEY where
Ray is started, or a file. Started once more after an interruption, it goes on.

With `--prompt-column`, the input is a table: Parquet, Arrow, CSV or JSON lines, or a folder or glob of such files.
"""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before ray is imported: nothing is reported to anyone

import ray

import nomyo
import nomyo.batch.ray


def main() -> int:
    options = _options()
    ray.init(address=options.address, include_dashboard=False if options.address is None else None)
    try:
        summary = nomyo.batch.ray.run(
            options.input,
            options.output_dir,
            data=_data(options),
            actors=options.actors,
            concurrency=options.concurrency,
            rate=options.rate,
            retry_errors=options.retry_errors,
            encrypt_to=options.encrypt_to,
            api_key_file=options.api_key_file,
            progress=nomyo.batch.PlainProgress(sys.stderr, "ray_batch"),
            allow_http=options.allow_http,
            **({"base_url": options.base_url} if options.base_url else {}),
        )
    except (nomyo.NomyoError, OSError, ValueError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    print(f"{summary.rows} rows: {summary.succeeded} answered, {summary.failed} failed")
    return 3 if summary.failed else 0


def _data(options: argparse.Namespace) -> nomyo.batch.DataOptions | None:
    """Return what the rows of a table ask; None for requests in OpenAI's batch format."""
    if options.prompt_column is None:
        return None
    return nomyo.batch.DataOptions(prompt_column=options.prompt_column, model=options.model)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="requests in OpenAI's batch format, or a table")
    parser.add_argument("output_dir", help="gets part-*.jsonl, or part-*.parquet for a table")
    parser.add_argument("--prompt-column", help="the column of a table with the prompts")
    parser.add_argument("--model", help="the model that the rows of a table ask")
    parser.add_argument("--address", help="of the cluster; without, Ray starts one on this machine")
    parser.add_argument("--actors", type=int, default=2, help="clients in the cluster")
    parser.add_argument("--concurrency", type=int, default=32, help="requests under way in each")
    parser.add_argument("--rate", type=float, help="requests a second of the whole cluster; 0: no limit")
    parser.add_argument("--retry-errors", action="store_true", help="do rows once more that failed in an earlier run")
    parser.add_argument("--encrypt-to", help="seal rows for this RSA public key (PEM); `nomyo batch open` reads them")
    parser.add_argument("--base-url", help="the router")
    parser.add_argument("--allow-http", action="store_true", help="allow plain HTTP: for local work only")
    parser.add_argument("--api-key-file", help="holds the API key, on each node; NOMYO_API_KEY by default")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
