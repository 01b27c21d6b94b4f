"""Imports pyarrow and Jinja2 when they are first needed, or says which extra they come with."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from nomyo._install_command import install_command
from nomyo._late_imports import late_import
from nomyo.errors import ConfigurationError

_EXTRA: Final = "data"
_NAMES: Final = {"pyarrow": "pyarrow", "jinja2": "Jinja2"}


def library(name: str) -> Any:
    """Return a module of pyarrow or Jinja2.

    Args:
        name: Its dotted name: "pyarrow.parquet".

    Raises:
        ConfigurationError: It is not installed, or cannot be imported.
    """
    package = name.partition(".")[0]
    if find_spec(package) is None:
        raise ConfigurationError(f"this needs {_NAMES[package]}, of the extra {_EXTRA!r}: {install_command(_EXTRA)}")
    late_import(_NAMES[package], lambda: import_module(name))
    return import_module(name)
