"""A row of an input, with what is wrong with it; and what each format's reader gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from nomyo.batch.data.compressed import DamagedFileError

TARGET_BYTES: Final = 4 << 20
"""About how much of an input is in memory at once, if its cells are small."""
MOST_ROWS: Final = 1024
NAME_NOT_UTF8: Final = "{} has a column whose name, or a name within it, is not UTF-8: rename it"
SAME_NAME: Final = "{} has the same name for two columns: {}"
_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Record:
    """A row of an input."""

    values: Mapping[str, Any] = field(repr=False)
    """Its columns; a row that cannot be read may lack some or all."""
    fault: str | None = None
    """Why it cannot be sent, without content."""


class NotText:
    """Stands for a text that is not UTF-8."""


NOT_UTF8: Final = NotText()


class Reader(Protocol):
    """Reads one file or table."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def names(self) -> list[str]:
        """Return the names of the columns; for JSON lines, those of the first rows."""

    def schema(self) -> Any:
        """Return the schema of all rows, as pyarrow has it."""

    def count(self) -> int:
        """Return the number of rows."""

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record]:
        """Yield all rows, with these columns or with all."""

    def batches(self, schema: Any) -> Iterator[Any]:
        """Yield all rows as record batches of a schema, which is this reader's or one that is like it."""


def rows_at_once(size_bytes: int, rows: int) -> int:
    """Return how many rows to hold at once, if so many rows have so many bytes."""
    return max(1, min(MOST_ROWS, TARGET_BYTES * rows // max(size_bytes, 1)))


def names_of(schema: Any, where: str) -> list[str]:
    """Return the names of a schema's columns.

    Args:
        schema: The schema, as pyarrow has it.
        where: What has it, for the error.

    Raises:
        DamagedFileError: Two columns have the same name, or a name, also of a part of a column, is not UTF-8.
    """
    names: list[str] = []
    for place in range(len(schema.types)):
        if not _is_named_in_utf8(schema.field(place)):
            raise DamagedFileError(NAME_NOT_UTF8.format(where))
        names.append(schema.field(place).name)
    if (repeated := repeated_name(names)) is not None:
        raise DamagedFileError(SAME_NAME.format(where, cut_name(repeated)))
    return names


def _is_named_in_utf8(field: Any) -> bool:
    try:
        field.name  # noqa: B018 - pyarrow decodes it here
    except UnicodeDecodeError:
        return False
    return all(_is_named_in_utf8(field.type.field(place)) for place in range(field.type.num_fields))


def cut_name(name: str) -> str:
    """Return a name between quotation marks, cut: in a file of CSV without a header, names are the cells of a row."""
    return repr(name) if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]!r}..."


def repeated_name(names: Sequence[str]) -> str | None:
    """Return a name that occurs twice; None if there is none."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
