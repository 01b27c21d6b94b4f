"""Says in one sentence why the native core cannot be imported, and what to do about it."""

from __future__ import annotations

import platform
import sys

from ._late_imports import MORE_MEMORY

_SERVED = "nomyo's native core serves ordinary builds of CPython 3.11 and later"


def why_missing(error: ImportError) -> str:
    """Return the words for an import of `nomyo._core` that failed, or was not tried.

    Args:
        error: What the import raised.
    """
    if error.name is None:  # raised by the core itself, whose words say what to do
        return str(error)
    if "failed to map segment" in str(error):  # dl_open(3) without memory
        return f"there is not enough memory to load nomyo: {MORE_MEMORY} ({error})"
    if sys.implementation.name != "cpython":
        return f"{_SERVED}, and this is {platform.python_implementation()}: run it with CPython"
    version = "{}.{}".format(*sys.version_info)
    if _is_free_threaded():
        return f"{_SERVED}, and this is a free-threaded build of {version}: run it with python{version}"
    # Otherwise no file fits this system, or none is there. The loader's own words name what is wrong with a file.
    return f"nomyo's native core cannot be loaded: {error}; install it again (pip install --force-reinstall nomyo)"


def _is_free_threaded() -> bool:
    """Tell by the build: PYTHON_GIL=1 brings the lock back, but not the stable ABI that the core is built for."""
    import sysconfig

    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
