"""The metadata of files and tables of Arrow that an output keeps: as far as it is true of the output, too.

Kept are what pandas notes of its index and columns, the features of Hugging Face's `datasets`, and whatever its writer
wrote under other keys; except for keys with which other programs describe all columns: Spark and Avro would not see
those of the answers. If no column of the input is written, nothing is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from nomyo._finite_json import ascii_json
from nomyo.batch.data.answers import types_of
from nomyo.batch.data.libraries import library
from nomyo.batch.data.selection import Column

Metadata = Mapping[bytes, bytes]
_PANDAS: Final = b"pandas"
_HUGGING_FACE: Final = b"huggingface"
_GEO: Final = b"geo"
_OF_ALL_COLUMNS: Final = (b"schema", b"org.apache.spark")
_TEXT: Final = ("unicode", "string", "empty")


def shared_metadata(schemas: Sequence[Any]) -> Metadata:
    """Return the metadata that all files of an input share, but no index that pandas counts: that is one file's."""
    first, *others = [_without_counted_index(schema.metadata or {}) for schema in schemas]
    return {key: value for key, value in first.items() if all(each.get(key) == value for each in others)}


def kept_metadata(metadata: Metadata | None, columns: Sequence[Column]) -> Metadata | None:
    """Return the metadata that an output keeps; None if it keeps none.

    Args:
        metadata: That of the input.
        columns: The columns of the output.
    """
    if not metadata or all(column.from_answer for column in columns):
        return None
    kept: dict[bytes, bytes] = {}
    for key, value in metadata.items():
        if any(word in key.lower() for word in _OF_ALL_COLUMNS):
            continue
        changed = _changed(value, partial(_CHANGES[key], columns)) if key in _CHANGES else value
        if changed is not None:
            kept[key] = changed
    return kept or None


def _changed(value: bytes, change: Callable[[Any], Any]) -> bytes | None:
    """Return JSON with a change; None if it has another form than expected, or nothing is left of it."""
    try:
        told = change(json.loads(value))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return None if told is None else ascii_json(told).encode()


def _without_counted_index(metadata: Metadata) -> Metadata:
    pandas = metadata.get(_PANDAS)
    if pandas is None:
        return metadata
    named = _changed(pandas, lambda told: {**told, "index_columns": _named(told["index_columns"])})
    rest = {key: value for key, value in metadata.items() if key != _PANDAS}
    return rest if named is None else {**rest, _PANDAS: named}


def _named(index_columns: Sequence[Any]) -> list[str]:
    """Return the columns of an index. One that is counted has none, but an object with its first and last number."""
    return [each for each in index_columns if isinstance(each, str)]


def _of_pandas(columns: Sequence[Column], told: Any) -> Any:
    same = {each.of for each in columns if not each.from_answer and each.name == each.of}
    of_names = told.get("column_indexes") or []
    # Names that are numbers or tuples would have to be so in the answer's columns as well.
    is_text = len(of_names) == 1 and of_names[0].get("pandas_type") in _TEXT
    return {
        **told,
        "columns": [each for each in told["columns"] if each["field_name"] in same],
        "index_columns": [each for each in _named(told["index_columns"]) if each in same],
        "column_indexes": of_names if is_text else [],
    }


def _of_hugging_face(columns: Sequence[Column], told: Any) -> Any:
    """Return the features of all columns. Sizes, splits and fingerprints are those of the input, and are left out."""
    features = told["info"]["features"]
    of_answer = [each.of for each in columns if each.from_answer]
    types = dict(zip(of_answer, types_of(of_answer), strict=True))
    return {
        "info": {
            "features": {
                each.name: _feature(types[each.of]) if each.from_answer else features[each.of] for each in columns
            }
        }
    }


def _feature(found: Any) -> Any:
    if library("pyarrow").types.is_struct(found):
        return {found.field(place).name: _feature(found.field(place).type) for place in range(found.num_fields)}
    return {"dtype": str(found), "_type": "Value"}


def _of_geo(columns: Sequence[Column], told: Any) -> Any:
    """Return what GeoParquet says of its columns, if all of them are there."""
    same = {each.of for each in columns if not each.from_answer and each.name == each.of}
    return told if set(told["columns"]) <= same else None


_CHANGES: Final[Mapping[bytes, Callable[[Sequence[Column], Any], Any]]] = {
    _PANDAS: _of_pandas,
    _HUGGING_FACE: _of_hugging_face,
    _GEO: _of_geo,
}
