"""Seals the columns of the input beside the answers, and opens rows that are sealed.

A sealed row of an output has its row of the journal, unchanged, in `sealed`, and in `failed` whether it failed.
With `seal_input_columns`, the input's columns of a row are in `sealed_input`: a package as on the wire, bound to a
context of its own, whose plaintext is the row's number and an Arrow stream with one row. So their names and types are
sealed, too, and `open` refuses columns that were put beside another row's answer.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from nomyo import _core
from nomyo.batch.data.libraries import library
from nomyo.batch.sealed import Seal
from nomyo.errors import SecurityError

SEALED_INPUT: Final = "sealed_input"
_CONTEXT: Final = b"nomyo batch columns 1"
_NUMBER: Final = struct.Struct(">Q")


def seal_columns(batch: Any, first: int, seal: Seal) -> list[str]:
    """Return the sealed columns of each row of a batch.

    Args:
        batch: Columns of the input.
        first: The number of the batch's first row in the whole input.
        seal: The key to seal for.

    Raises:
        SecurityError: Locked memory is required, and there is not enough.
    """
    return [
        seal.package(_NUMBER.pack(first + place) + _stream(batch.slice(place, 1)), _CONTEXT).decode("ascii")
        for place in range(batch.num_rows)
    ]


def open_columns(package: str, number: int, key: _core.PrivateKey) -> Any:
    """Open the columns of a row, as a batch with one row.

    Raises:
        SecurityError: They were altered, are of another row, or are sealed for another key.
    """
    with _core.open_bytes(package.encode(), key, _CONTEXT) as opened, opened.data as view:
        content = bytes(view)
    if len(content) < _NUMBER.size or _NUMBER.unpack_from(content)[0] != number:
        raise SecurityError("its columns are those of another row")
    pa = library("pyarrow")
    try:
        [batch] = library("pyarrow.ipc").open_stream(content[_NUMBER.size :])
        batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError):
        batch = None
    if batch is None or batch.num_rows != 1:
        raise SecurityError("its columns are none")
    return batch


def _stream(row: Any) -> bytes:
    pa = library("pyarrow")
    sink = pa.BufferOutputStream()
    with library("pyarrow.ipc").new_stream(sink, row.schema) as writer:
        writer.write_batch(row)
    return bytes(sink.getvalue().to_pybytes())
