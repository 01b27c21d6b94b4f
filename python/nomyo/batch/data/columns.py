"""Checks that columns are there, and hold what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nomyo._near_names import suggestion
from nomyo.batch.data.libraries import library
from nomyo.batch.data.records import Reader, cut_name
from nomyo.batch.data.text_files import SeparatedValues

_SHOWN: Final = 10


def check_there(option: str, name: str, names: Sequence[str], where: str) -> None:
    """Refuse a column that is not there.

    Args:
        option: The option that names the column.
        name: The column.
        names: The columns that are there.
        where: What has them, for the error.

    Raises:
        ValueError: It is not there; the message has near names, or all of them.
    """
    if name in names:
        return
    near = suggestion(name, names, 0.6)
    more = ", ..." if len(names) > _SHOWN else ""
    there = near or (f"; it has {', '.join(map(cut_name, names[:_SHOWN]))}{more}" if names else "; it has no column")
    raise ValueError(f"{option}: {where} has no column {name!r}{there}")


def check_type(option: str, name: str, reader: Reader, *, nested: bool = False) -> None:
    """Refuse a column of a table whose type is no text, or with `nested` no list either.

    Raises:
        ValueError: It has another type.
    """
    found = _plain_type(reader.schema().field(name).type)
    pa = library("pyarrow")
    is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
    if _is_text(found) or pa.types.is_null(found) or (nested and is_list):
        return
    wanted = "text or a list of messages" if nested else "text"
    raise ValueError(f"{option}: the column {name!r} of {reader.name} must be {wanted}, and it is {found}")


def _plain_type(found: Any) -> Any:
    pa = library("pyarrow")
    return found.value_type if pa.types.is_dictionary(found) else found


def _is_text(found: Any) -> bool:
    pa = library("pyarrow")
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def check_alike(readers: Sequence[Reader]) -> None:
    """Refuse tables that have not the same columns of the same types, in whatever order.

    Raises:
        ValueError: They have not; the message names both files and the column.
    """
    first, *others = readers
    wanted = _types(first)
    for other in others:
        found = _types(other)
        for name in [*wanted, *found]:
            if wanted.get(name) != found.get(name):
                raise ValueError(
                    f"the files of an input must be alike: column {name!r} is {_words(wanted, name)} in"
                    f" {first.name}, and {_words(found, name)} in {other.name}"
                )


def _types(reader: Reader) -> dict[str, Any]:
    names = reader.names()  # refuses the same name twice
    if isinstance(reader, SeparatedValues):
        return dict.fromkeys(names, "text")
    schema = reader.schema()
    return {name: schema.field(name).type for name in names}


def _words(types: dict[str, Any], name: str) -> str:
    return str(types[name]) if name in types else "missing"
