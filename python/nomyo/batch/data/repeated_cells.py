"""The size of the largest text that a file stores once for many rows: so a few hundred kilobytes may hold terabytes.

Arrow's dictionaries hold each text once, and so do the dictionary pages of Parquet. In a column of Parquet with the
encoding DELTA_BYTE_ARRAY, a text is what it does not share with the one before it (Apache Parquet, Encodings.md).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, BinaryIO, Final

from nomyo.batch.data.libraries import library

_MAX_HEADER_BYTES: Final = 32
_I32: Final = 0x15
"""In Thrift's compact protocol: the next field, and it is an i32 (thrift-compact-protocol.md, "Struct encoding")."""
_DICTIONARY_PAGE: Final = 2  # parquet.thrift, PageType


def largest_in(batch: Any) -> int:
    """Return the size in bytes of the largest text in the dictionaries of a batch; 0 if it has none."""
    pa = library("pyarrow")
    return max(
        (_largest_text(each.dictionary) for each in batch.columns if pa.types.is_dictionary(each.type)), default=0
    )


def _largest_text(values: Any) -> int:
    pa = library("pyarrow")
    types = pa.types
    if types.is_dictionary(values.type) or types.is_nested(values.type) or not len(values):
        return int(values.nbytes)
    if not (types.is_string(values.type) or types.is_large_string(values.type) or types.is_binary(values.type)):
        return 0
    return library("pyarrow.compute").max(library("pyarrow.compute").binary_length(values)).as_py() or 0


def largest_stored(group: Any, file: BinaryIO, columns: Collection[str] | None) -> int:
    """Return a bound, in bytes, on each text that a row group stores once for many rows; 0 if it stores none so.

    Args:
        group: What Parquet's metadata has of the row group.
        file: The file.
        columns: The columns that are read; None for all.
    """
    chunks = map(group.column, range(group.num_columns))
    wanted = (each for each in chunks if columns is None or _is_in(each.path_in_schema, columns))
    return max((_largest_of_chunk(each, file) for each in wanted if each.physical_type == "BYTE_ARRAY"), default=0)


def _is_in(path: str, columns: Collection[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in columns)


def _largest_of_chunk(chunk: Any, file: BinaryIO) -> int:
    whole_bytes = int(chunk.total_uncompressed_size)
    if "DELTA_BYTE_ARRAY" in chunk.encodings:
        return whole_bytes
    if not any("DICTIONARY" in each for each in chunk.encodings):
        return 0
    file.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
    size_bytes = _dictionary_bytes(file.read(_MAX_HEADER_BYTES))
    return whole_bytes if size_bytes is None else min(size_bytes, whole_bytes)


def _dictionary_bytes(header: bytes) -> int | None:
    """Return the size of a dictionary page by its header, whose first two fields are its type and this size."""
    kind, rest = _i32(header)
    size_bytes, _ = _i32(rest)
    return size_bytes if kind == _DICTIONARY_PAGE else None


def _i32(content: bytes) -> tuple[int | None, bytes]:
    """Return the number that a field begins with, and what follows; None if there is none."""
    number = 0
    if content[:1] != bytes([_I32]):
        return None, b""
    for place, byte in enumerate(content[1:]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), content[place + 2 :]  # "zigzag"
    return None, b""
