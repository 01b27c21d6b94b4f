"""A file of requests as a dataset. Its rows are the lines of the file, unchanged, with their numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import ray.data

from nomyo.batch.input_lines import open_input
from nomyo.batch.ray.parts import Part, cut, rows_in
from nomyo.batch.ray.rows import LINE, TEXT

ROWS_PER_BLOCK: Final = 128
MAX_BLOCKS: Final = 2000
_LINES: Final = pa.schema([(LINE, pa.int64()), (TEXT, pa.large_binary())])


def read_lines(input: str | os.PathLike[str], *, rows_per_block: int = ROWS_PER_BLOCK) -> Any:  # noqa: A002 - as `run`
    """Return a `ray.data.Dataset` with the columns `line` (from 1) and `text` (bytes) of the lines that are not blank.

    The file is read here once, for the positions of its lines, and then by the nodes for its content.

    Args:
        input: A file that each node finds at this path.
        rows_per_block: How many rows a block has. If a node dies with a block, all its rows are sent, and billed,
            again.

    Raises:
        ValueError: `input` is not a regular file.
        OSError: The file cannot be read.
    """
    source = Path(input).absolute()
    with open_input(source) as file:
        _, parts = cut(file, rows_per_block)
    return dataset_of(parts).map_batches(
        _lines_of, batch_size=1, batch_format="pyarrow", fn_kwargs={"source": os.fspath(source)}
    )


def dataset_of(parts: Iterable[Part]) -> Any:
    """Return a dataset of parts, in at most `MAX_BLOCKS` blocks, so that Ray has few to keep track of."""
    rows = dataset_rows(parts)
    return ray.data.from_items(rows, override_num_blocks=max(1, min(len(rows), MAX_BLOCKS)))


def dataset_rows(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Return parts as rows of a dataset."""
    return [asdict(part) for part in parts]


def parts_of(block: pa.Table) -> list[Part]:
    """Return the parts of a block."""
    return [Part(**fields) for fields in block.to_pylist()]


def _lines_of(block: pa.Table, source: str) -> pa.Table:
    rows = [row for part in parts_of(block) for row in rows_in(Path(source), part)]
    return pa.Table.from_pylist([{LINE: line, TEXT: text} for line, text in rows], schema=_LINES)
