"""Which columns the output has, and under which names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nomyo._near_names import suggestion
from nomyo.batch.data.requests import CUSTOM_ID

_OF_ANSWER: Final = "answer."


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the output."""

    name: str
    of: str
    """What it is called in the input, or in the answer."""
    from_answer: bool


def select_columns(
    wanted: Sequence[str] | None, names: Sequence[str], fields: Sequence[str], default: Sequence[str]
) -> list[Column]:
    """Return the columns of an output.

    Args:
        wanted: `DataOptions.columns`: names, or `new=name`; `answer.response` is the answer's in any case.
        names: The columns of the input.
        fields: What an answer has.
        default: What of it is written if `wanted` is None, beside all columns of the input.

    Raises:
        ValueError: A name is neither the input's nor the answer's, or two columns would have the same name.
    """
    if wanted is None:
        # The input's own is the one that the answer has.
        of_answer = [each for each in default if not (each == CUSTOM_ID and CUSTOM_ID in names)]
        columns = [Column(each, each, False) for each in names] + [Column(each, each, True) for each in of_answer]
    else:
        columns = [_column(each, names, fields) for each in wanted]
    _refuse_repeated(columns)
    return columns


def _column(word: str, names: Sequence[str], fields: Sequence[str]) -> Column:
    if word in names:  # a name that has an equals sign
        return Column(word, word, False)
    new, _, of = word.rpartition("=")
    if of in names:
        return Column(new or of, of, False)
    field = of.removeprefix(_OF_ANSWER)
    if field in fields:
        return Column(new or field, field, True)
    known = [*names, *fields]
    raise ValueError(
        f"columns: neither the input nor an answer has {of!r}{suggestion(of, known, 0.6)}; an answer has"
        f" {', '.join(fields)}"
    )


def _refuse_repeated(columns: Sequence[Column]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise ValueError(
                f"columns: the output would have {column.name!r} twice, of the input and of the answer: name what it"
                f" shall have, as in 'question,reply={_OF_ANSWER}{column.of}'"
            )
        seen.add(column.name)
