"""Rows of Ray Data: reads requests from a block, and writes answers into blocks that always have the same schema.

`ray.data.read_json` changes rows: Arrow gives all rows of a block the same fields, and those that a row lacks are null.
So nulls in objects are left out, also a null that the file had; nulls in lists stay. Two changes cannot be undone, and
fail the row: Arrow turned a string into a time, or a number beyond 2**53 into a float. Nulls within lists can make
Arrow write a block that points beyond its own memory (pyarrow 26), so blocks are validated before they are read.
`read_lines` changes nothing.

An answer's `response.body` is JSON text, because the fields of answers differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from nomyo._finite_json import ascii_json
from nomyo.batch.records import BadRow, Row, read_row

TEXT: Final = "text"
LINE: Final = "line"
ANSWERS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("custom_id", pa.string()),
        (
            "response",
            pa.struct([("status_code", pa.int64()), ("request_id", pa.string()), ("body", pa.string())]),
        ),
        ("error", pa.struct([("code", pa.string()), ("message", pa.string()), ("line", pa.int64())])),
    ]
)
_NO_LINE: Final = 0
_EXACT: Final = 2**53
_CHANGED: Final = (
    "read_json changed this row: it made a time of a string, or a float of a large number; read the file with"
    " nomyo.batch.ray.read_lines"
)


class _Changed(ValueError):  # noqa: N818 - a row, which becomes an outcome
    """A value is not the one in the file."""


def rows_of(block: Any) -> list[Row | BadRow]:
    """Return the rows of a block: from its column `text`, or from the columns that `read_json` makes.

    Args:
        block: An Arrow table, or a dict of NumPy arrays, which is Ray's own default.

    Raises:
        TypeError: The block is neither of these.
        ValueError: The block is invalid.
    """
    columns = _columns_of(block)
    count = max(map(len, columns.values()), default=0)
    if TEXT not in columns:
        return [
            _row_of(_NO_LINE, dict(zip(columns, fields, strict=True))) for fields in zip(*columns.values(), strict=True)
        ]
    lines = columns.get(LINE, [_NO_LINE] * count)
    return [
        read_row(int(line), text.encode() if isinstance(text, str) else text)
        for line, text in zip(lines, columns[TEXT], strict=True)
    ]


def _columns_of(block: Any) -> dict[str, list[Any]]:
    if isinstance(block, pa.Table):
        _check_block(block)
        return {name: block[name].to_pylist() for name in block.column_names}
    if isinstance(block, Mapping):
        return {name: list(values) for name, values in block.items()}
    raise TypeError(
        'SecureCompletions needs the default batch_format of map_batches, or "pyarrow": pandas makes floats of whole'
        " numbers"
    )


def _check_block(block: pa.Table) -> None:
    try:
        block.validate(full=True)
    except pa.ArrowInvalid:  # its words may show content
        valid = False
    else:
        valid = True
    if not valid:
        raise ValueError("read_json made a block that cannot be read: read the file with nomyo.batch.ray.read_lines")


def _row_of(line: int, fields: Mapping[str, Any]) -> Row | BadRow:
    try:
        # Read at once, and sealed later: what refuses NaN then names its place.
        return read_row(line, json.dumps(_without_nulls(fields)).encode())
    except _Changed:
        custom_id = fields.get("custom_id")
        return BadRow(line, "invalid_row", _CHANGED, custom_id if isinstance(custom_id, str) else None)


def _without_surrogates(text: str) -> str:
    """Return a text as Arrow can hold it, in UTF-8: with U+FFFD for halves of surrogate pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, np.ndarray):
        value = list(value)
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    if isinstance(value, (np.datetime64, np.timedelta64)):
        raise _Changed
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (date, time, timedelta)) or (isinstance(value, float) and abs(value) >= _EXACT):
        raise _Changed
    return value


def answers_of(rows: Iterable[bytes]) -> pa.Table:
    """Return rows of the output's format as a block."""
    return pa.Table.from_pylist([_answer_of(json.loads(row)) for row in rows], schema=ANSWERS)


def _answer_of(row: dict[str, Any]) -> dict[str, Any]:
    """Fit a row into the schema. A request without a line has no `id`; its `custom_id` tells it from others."""
    if row["custom_id"] is not None:
        row["custom_id"] = _without_surrogates(row["custom_id"])
    if row["error"] is not None:
        row["error"]["message"] = _without_surrogates(row["error"]["message"])
    if row["id"] == f"batch_req_{_NO_LINE}":
        row["id"] = None
    if row["error"] is not None and row["error"]["line"] == _NO_LINE:
        row["error"]["line"] = None
    if row["response"] is not None:
        row["response"]["body"] = ascii_json(row["response"]["body"])
    return row
