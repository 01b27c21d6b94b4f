"""Says in one sentence why the native core cannot be imported, and what to do about it."""

from __future__ import annotations

import platform
import sys

from ._late_imports import MORE_MEMORY

_SERVED = "nomyo's native core serves ordinary builds of CPython 3.11 and later"


def why_missing(error: ImportError) -> str:
    """Return the words for an import of `nomyo._core` that failed.

    Args:
        error: What the import raised.
    """
    if "failed to map segment" in str(error):  # dl_open(3) without memory
        return f"there is not enough memory to load nomyo: {MORE_MEMORY} ({error})"
    if sys.implementation.name != "cpython":
        return f"{_SERVED}, and this is {platform.python_implementation()}: run it with CPython"
    version = "{}.{}".format(*sys.version_info)
    if _is_free_threaded():
        return f"{_SERVED}, and this is a free-threaded build of {version}: run it with python{version}"
    # Otherwise no file fits this system, or none is there. The loader's own words name what is wrong with a file.
    return f"nomyo's native core cannot be loaded: {error}; install it again (pip install --force-reinstall nomyo)"


def refuse_stable_abi() -> None:
    """Keep a free-threaded build from loading a core for the stable ABI.

    CPython 3.14 looks for such files in a free-threaded build too, although objects have another layout there: the
    module would run, and break, before it could say so.

    Raises:
        ImportError: The core that would be imported is one for the stable ABI.
    """
    from importlib.util import find_spec

    core = find_spec("nomyo._core")
    if core is not None and str(core.origin).endswith((".abi3.so", "_core.pyd")):
        raise ImportError("it is built for the stable ABI", name=core.name, path=core.origin)


def _is_free_threaded() -> bool:
    """Tell by the build: PYTHON_GIL=1 brings the lock back, but not the stable ABI that the core is built for."""
    import sysconfig

    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
