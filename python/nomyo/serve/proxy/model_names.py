"""The names of models: those that the proxy lists, and aliases for programs that insist on names of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Self

_ANY_END: Final = "*"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name under which callers ask for another model.

    Args:
        name: The name; with a `*` at its end, every name that begins as it does.
        model: The model that the router is asked for.
    """

    name: str
    model: str

    def __post_init__(self) -> None:
        if not self.name or not self.model:
            raise ValueError(f"an alias is NAME=MODEL, neither of them empty; not {str(self)!r}")
        if _ANY_END in self.name[:-1]:
            raise ValueError(f"an alias may have a * at the end of its name only; not {str(self)!r}")

    def __str__(self) -> str:
        return f"{self.name}={self.model}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the alias that `NAME=MODEL` means. Raises ValueError if it is none."""
        name, _, model = text.partition("=")
        return cls(name, model)

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for many names."""
        return self.name.endswith(_ANY_END)

    def matches(self, name: str) -> bool:
        """Return whether a caller who says `name` means this alias."""
        return name.startswith(self.name[:-1]) if self.is_pattern else name == self.name


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The models that the proxy lists, and the model that it asks the router for.

    Args:
        models: The models on offer.
        aliases: Further names. An exact one counts before a pattern, and a longer pattern before a shorter one. No
            alias replaces a model on offer.
    """

    models: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()
    _in_order: tuple[Alias, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not all(self.models):
            raise ValueError("a model's name must not be empty")
        names = [alias.name for alias in self.aliases]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"the alias {repeated[0]!r} is given twice")
        in_order = sorted(self.aliases, key=lambda alias: (alias.is_pattern, -len(alias.name)))
        object.__setattr__(self, "_in_order", tuple(in_order))

    @property
    def listed(self) -> tuple[str, ...]:
        """The models on offer, those that aliases mean, and aliases without a `*`; each once."""
        meant = (alias.model for alias in self.aliases)
        exact = (alias.name for alias in self.aliases if not alias.is_pattern)
        return tuple(dict.fromkeys([*self.models, *meant, *exact]))

    def model_for(self, name: str) -> str:
        """Return the model to ask the router for if a caller asks for `name`; names that mean no alias stay."""
        if name in self.models:
            return name
        return next((alias.model for alias in self._in_order if alias.matches(name)), name)

    def knows(self, name: str) -> bool:
        """Return whether a name is listed, or means an alias."""
        return name in self.listed or any(alias.matches(name) for alias in self.aliases)


def model_objects(names: Iterable[str], created: int) -> list[dict[str, Any]]:
    """Return models as `/v1/models` shows them.

    Args:
        names: The names of the models.
        created: Seconds since 1970, which the form wants; nobody knows when a model was made.
    """
    return [{"id": name, "object": "model", "created": created, "owned_by": "nomyo"} for name in names]
