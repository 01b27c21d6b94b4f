"""A prompt from a template: Jinja2 in its sandbox, in which a missing column is an error.

The columns of a row are the template's variables, and all of them together are `row`: `{{ row["a name"] }}`. A null
is treated as missing, because nobody means a prompt with the word "None" in it: `{{ name | default("-") }}`.

What a template takes is bounded for each row: the steps of all loops, and the characters that it makes. Jinja2 itself
bounds `range` alone. A single expression has no bound but memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from nomyo.batch.data.libraries import library
from nomyo.batch.data.records import NotText

_ROW: Final = "row"
_COUNTED: Final = "counted steps"  # no template can name it
_MOST_STEPS: Final = 1_000_000
_MOST_CHARACTERS: Final = 10 << 20
"""More than a payload can have."""


class TemplateFaultError(Exception):
    """A template failed on a row. The message has no content."""


class _BoundError(Exception):
    """A template goes beyond a bound. The message has no content."""


class Template:
    """A template.

    Args:
        text: The template.
        name: Its file, for errors.

    Raises:
        ValueError: It is no template of Jinja2.
    """

    def __init__(self, text: str, name: str) -> None:
        jinja2 = library("jinja2")
        sandbox = library("jinja2.sandbox").ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
        self._undefined = jinja2.StrictUndefined
        self._steps = 0
        fault = None
        try:
            self._named = _names_in(text)
            self._variables = self._named - set(sandbox.globals)
            self._template = sandbox.from_string(self._bounded(sandbox, text))
        except jinja2.TemplateSyntaxError as error:
            fault = f"line {error.lineno}: {error.message}"
        if fault is not None:
            raise ValueError(f"the template {name} cannot be used: {fault}")

    @property
    def variables(self) -> set[str]:
        """The columns that it needs, without those that it takes from `row`."""
        return self._variables - {_ROW}

    @property
    def columns(self) -> set[str]:
        """The columns that it may read: also those whose names are functions of Jinja2 (`range`, `namespace`)."""
        return self._named - {_ROW}

    @property
    def takes_row(self) -> bool:
        """Whether it uses all columns together."""
        return _ROW in self._variables

    def _bounded(self, sandbox: Any, text: str) -> Any:
        """Return a template whose loops count their steps."""
        nodes = library("jinja2.nodes")
        parsed = sandbox.parse(text)
        for loop in list(parsed.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
        sandbox.filters[_COUNTED] = self._counted
        return parsed

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for each in values:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise _BoundError(f"its loops take more than {_MOST_STEPS:,} steps")
            yield each

    def _rendered(self, variables: Mapping[str, Any]) -> str:
        self._steps = characters = 0
        pieces = []
        for piece in self._template.generate(variables):
            pieces.append(piece)
            characters += len(piece)
            if characters > _MOST_CHARACTERS:
                raise _BoundError(f"it makes more than {_MOST_CHARACTERS:,} characters")
        return "".join(pieces)

    def __call__(self, values: Mapping[str, Any]) -> str:
        """Return the prompt of a row.

        Raises:
            TemplateFaultError: The template fails on this row, or what it reads is not UTF-8.
        """
        if any(isinstance(each, NotText) for name, each in values.items() if self.takes_row or name in self._named):
            raise TemplateFaultError("the template needs a column that is not UTF-8")
        try:
            there = {name: self._undefined(name=name) if each is None else each for name, each in values.items()}
            prompt = self._rendered({_ROW: there, **there})
        except _BoundError as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a template does; its words may show content
            fault = type(error).__name__
        else:
            return prompt
        raise TemplateFaultError(f"the template fails on this row ({fault})")


def _names_in(text: str) -> set[str]:
    """Return the names that a template takes from outside: columns, and functions of Jinja2."""
    bare = library("jinja2").Environment()
    bare.globals.clear()  # else these names are left out, and so are columns that have them
    names: set[str] = library("jinja2.meta").find_undeclared_variables(bare.parse(text))
    return names
