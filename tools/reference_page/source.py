"""Reads the package as griffe does, statically: nothing is imported, so no extra has to be installed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

import griffe

ROOT = Path(__file__).parents[2]
Thing: TypeAlias = griffe.Class | griffe.Function | griffe.Attribute
_OF_INSTANCE = ("self", "cls")
_SINGLE_QUOTED = re.compile(r"'([^'\"\\]*)'")


@cache
def load() -> griffe.Module:
    """Return the package with the docstrings read as Google's style."""
    package = griffe.load(
        "nomyo",
        search_paths=[ROOT / "python"],
        allow_inspection=False,
        docstring_parser="google",
        docstring_options={"returns_named_value": False, "returns_multiple_items": False},
    )
    assert isinstance(package, griffe.Module)
    return package


def thing(module: griffe.Module, name: str) -> griffe.Module | Thing:
    """Return what a module exports under this name, wherever it is defined."""
    found = module[name]
    if isinstance(found, griffe.Alias):
        found = found.final_target
    assert isinstance(found, griffe.Module | griffe.Class | griffe.Function | griffe.Attribute)
    return found


def exports(module: griffe.Module) -> list[str]:
    """Return the names of `__all__`, in its order."""
    return [str(name) for name in module.exports or ()]


def written(value: griffe.Expr | str | None, package: griffe.Module) -> str:
    """Return a type or a default as a reader needs it: constants and aliases of the package by their values."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, griffe.ExprCall) and str(value.function) == "Default":
        return _quoted(str(value.arguments[0]))
    return _quoted("".join(_piece(piece, package) for piece in value.iterate(flat=True)))


def _quoted(text: str) -> str:
    """Return code with the quotes that the sources use; griffe writes texts as `repr` does."""
    return _SINGLE_QUOTED.sub(r'"\1"', text)


def _piece(piece: griffe.Expr | str, package: griffe.Module) -> str:
    if isinstance(piece, griffe.ExprName):
        constant = attribute(piece, package)
        if constant is not None and constant.value is not None:
            return written(_bound(constant.value) or constant.value, package)
    return str(piece)


def _bound(value: griffe.Expr | str) -> griffe.Expr | str | None:
    """Return what a TypeVar stands for at most, if it is one."""
    if not isinstance(value, griffe.ExprCall) or str(value.function) != "TypeVar":
        return None
    named = {each.name: each.value for each in value.arguments if isinstance(each, griffe.ExprKeyword)}
    return named.get("bound")


def attribute(name: griffe.ExprName, package: griffe.Module) -> griffe.Attribute | None:
    """Return the constant or alias of the package that a name stands for; None if it stands for anything else."""
    found = defined(name, package)
    if not isinstance(found, griffe.Attribute) or found.value is None:
        return None
    free = str(found.value).startswith("TypeVar(") and _bound(found.value) is None
    return None if free else found


def defined(name: griffe.ExprName, package: griffe.Module) -> griffe.Object | None:
    """Return what a name of the package stands for; None for a name from elsewhere."""
    path = name.canonical_path
    if not path.startswith(f"{package.name}."):
        return None
    try:
        found = package[path.removeprefix(f"{package.name}.")]
        return found.final_target if isinstance(found, griffe.Alias) else found
    except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None


def parameters(function: griffe.Function | griffe.Class) -> list[griffe.Parameter]:
    """Return the parameters that a caller gives."""
    return [each for each in function.parameters if each.name not in _OF_INSTANCE]


def typed_dict(parameter: griffe.Parameter, package: griffe.Module) -> griffe.Class | None:
    """Return the TypedDict of `**options: Unpack[TypedDict]`."""
    if parameter.kind is not griffe.ParameterKind.var_keyword or not isinstance(parameter.annotation, griffe.Expr):
        return None
    for piece in parameter.annotation.iterate(flat=True):
        if isinstance(piece, griffe.ExprName) and isinstance(found := defined(piece, package), griffe.Class):
            return found
    return None


def keys(typed: griffe.Class) -> Iterator[griffe.Attribute]:
    """Yield the keys of a TypedDict, those of its bases first."""
    for each in (*reversed(typed.mro()), typed):
        yield from (member for member in each.members.values() if isinstance(member, griffe.Attribute))


def shown_options(function: griffe.Function, package: griffe.Module) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what the decorator `shows_options` says: the defaults that differ, and the options that are refused."""
    call = next((found for each in function.decorators if (found := _call(each.value, package))), None)
    if call is None:
        return {}, ()
    given = {each.name: each.value for each in call.arguments if isinstance(each, griffe.ExprKeyword)}
    without = ast.literal_eval(written(given.pop("without", "()"), package))
    return {name: written(value, package) for name, value in given.items()}, without


def _call(decorator: griffe.Expr | str, package: griffe.Module) -> griffe.ExprCall | None:
    if isinstance(decorator, griffe.ExprName):
        constant = attribute(decorator, package)
        decorator = str(decorator) if constant is None or constant.value is None else constant.value
    is_ours = isinstance(decorator, griffe.ExprCall) and str(decorator.function) == "shows_options"
    return decorator if is_ours and isinstance(decorator, griffe.ExprCall) else None
