"""Values of Arrow that Python's types cannot hold: times to the nanosecond or far away, structs with a name twice.

pyarrow refuses to convert these, in words that show the value.
"""

from __future__ import annotations

from typing import Any, Final

from nomyo.batch.data.libraries import library
from nomyo.batch.data.records import NOT_UTF8

UNFIT: Final = (ValueError, OverflowError, KeyError)
"""What pyarrow raises for such values, and for text that is not UTF-8; its `ArrowInvalid` is a `ValueError`.
A time zone that this machine does not know is a `KeyError` for its releases 20 and later (`ZoneInfoNotFoundError`)."""
_SECONDS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_BEYOND: Final = "<"  # how pyarrow begins to write a time that no calendar has


def scalar_value(scalar: Any) -> Any:
    """Return a scalar as a value of Python: text in ISO's form, or parts one by one, if Python has no such type."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return NOT_UTF8
    except UNFIT:
        pass  # its words and its locals have content
    return _parts(scalar)


def _parts(scalar: Any) -> Any:
    types = library("pyarrow").types
    found = scalar.type
    if types.is_dictionary(found):
        return scalar_value(scalar.value)
    if types.is_struct(found):
        return _fields([(name, scalar_value(each)) for name, each in scalar.items()])
    if types.is_map(found):
        keys, values = scalar.values.field(0), scalar.values.field(1)
        return [[scalar_value(key), scalar_value(value)] for key, value in zip(keys, values, strict=True)]
    if types.is_nested(found):
        return [scalar_value(each) for each in scalar.values]
    return scalar.value / _SECONDS[found.unit] if types.is_duration(found) else _time(scalar)


def _fields(fields: list[tuple[str, Any]]) -> Any:
    """Return the fields of a struct, as pairs if two have the same name."""
    named = dict(fields)
    return named if len(named) == len(fields) else [[name, each] for name, each in fields]


def _time(scalar: Any) -> str:
    """Return a time in ISO's form; one that no calendar has as the number of its units."""
    pa = library("pyarrow")
    try:
        text: str = scalar.cast(pa.string()).as_py()
    except pa.ArrowException:  # a time zone that this machine does not know
        text = scalar.cast(pa.timestamp(scalar.type.unit)).cast(pa.string()).as_py() + "Z"
    return str(scalar.value) if text.startswith(_BEYOND) else text.replace(" ", "T", 1)
