"""What each row of a table asks, and which columns the output has."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nomyo.exchange.protocol import OF_THE_CLIENT

_OF_A_ROW: Final = frozenset({"model", "messages", "stream"})
_MAX_TEMPLATE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """How the rows of a table become requests, and what is written beside them.

    Exactly one of `prompt_column`, `messages_column` and `template` says what a row asks. Without any of them, the rows
    are JSON lines in OpenAI's batch format.

    Raises:
        ValueError, TypeError: Options contradict each other, or one has the wrong type.
    """

    prompt_column: str | None = None
    """The column with the prompt: the request has one message, of the user."""
    messages_column: str | None = None
    """The column with all messages: a list of structs with `role` and `content`, or the same as JSON text."""
    template: str | os.PathLike[str] | None = None
    """A file with a Jinja2 template, which makes the prompt of a row from its columns. A missing column is an error."""
    system: str | None = field(default=None, repr=False)
    """The system message, in front of the messages of each row."""
    model: str | None = None
    """The model of all rows."""
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further parameters of all requests, such as `temperature`."""
    columns: Sequence[str] | None = None
    """The columns of the output, in order: names of the input's columns and of the answer's, or `new_name=name`. None
    writes all of the input, and `response`, `finish_reason`, `usage`, `error` and `custom_id`."""
    journal: str | os.PathLike[str] | None = None
    """The file that keeps the answers until the output is written. By default `OUTPUT.journal`."""
    seal_input_columns: bool = False
    """If rows are sealed, whether the input's columns are sealed in the output, too."""

    def __post_init__(self) -> None:
        """Check what can be checked without an input."""
        asks = [self.prompt_column, self.messages_column, self.template]
        if sum(each is not None for each in asks) > 1:
            raise ValueError("give one of prompt_column, messages_column and template, because one alone makes a row")
        if self.asks and not self.model:
            raise ValueError("model is needed: the rows of a table name none")
        if not self.asks and (self.model or self.system is not None or self.parameters):
            raise ValueError(
                "model, system and parameters need prompt_column, messages_column or template; rows in OpenAI's batch"
                " format have their own"
            )
        if isinstance(self.columns, str):
            raise TypeError("columns must be a sequence of names, and it is one str")
        _check_parameters(self.parameters)

    @property
    def asks(self) -> bool:
        """Whether columns make the requests. Otherwise rows are requests in OpenAI's batch format."""
        return not (self.prompt_column is None and self.messages_column is None and self.template is None)

    def template_text(self) -> str | None:
        """Read the template's file; None if there is none.

        Raises:
            ValueError: It is no UTF-8, or longer than 1 MiB.
            OSError: It cannot be read.
        """
        if self.template is None:
            return None
        with Path(self.template).open("rb") as file:
            content = file.read(_MAX_TEMPLATE_BYTES + 1)
        if len(content) > _MAX_TEMPLATE_BYTES:
            raise ValueError(f"the template {self.template} is longer than {_MAX_TEMPLATE_BYTES:,} bytes")
        try:
            return content.decode()
        except UnicodeDecodeError:
            pass
        raise ValueError(f"the template {self.template} is not UTF-8")

    def digest(self) -> str:
        """Return a digest of all that decides what a row asks."""
        asked = [self.prompt_column, self.messages_column, self.template_text(), self.system, self.model]
        text = json.dumps([*asked, self.parameters], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name in parameters:
        if name in OF_THE_CLIENT:
            raise ValueError(f"parameters must not have {name!r}: it belongs to the whole batch")
        if name in _OF_A_ROW:
            raise ValueError(f"parameters must not have {name!r}: the rows and the other options make it")
    try:
        json.dumps(parameters, allow_nan=False)
        return
    except (TypeError, ValueError, RecursionError):  # its words may show content
        pass
    raise ValueError("parameters must be values that JSON has")
