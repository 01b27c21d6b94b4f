"""A Python that the native core does not serve gets one sentence, which says which Pythons are served."""

from __future__ import annotations

import sys

import pytest

from support.process import run_python

# Hides the core as a build of CPython does that looks for files with other suffixes, and says what else it is.
HIDDEN = """
import importlib.machinery, sys, sysconfig
importlib.machinery.EXTENSION_SUFFIXES.clear()
class Hidden:
    def find_spec(name, path=None, target=None):
        if name == "nomyo._core":
            raise ImportError("cannot import name '_core' from 'nomyo'", name=name)
sys.meta_path.insert(0, Hidden)
"""
FREE_THREADED = 'sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1'
OTHER = "sys.implementation.name = 'pypy'\nimport platform\nplatform.python_implementation = lambda: 'PyPy'"


def last_words(program: str) -> str:
    """Return the last line of the traceback of a program, which must be the only one."""
    finished = run_python(f"{HIDDEN}\n{program}\nimport nomyo")
    assert finished.returncode == 1
    assert "another exception occurred" not in finished.stderr
    assert "direct cause" not in finished.stderr
    return finished.stderr.splitlines()[-1]


@pytest.mark.parametrize(("pretend", "named"), [(FREE_THREADED, "a free-threaded build of"), (OTHER, "this is PyPy")])
def test_interpreter_that_is_not_served_is_refused_by_name(pretend: str, named: str) -> None:
    words = last_words(pretend)

    assert words.startswith(
        "ImportError: nomyo's native core serves ordinary builds of CPython 3.11 and later, and this is"
    )
    assert named in words
    assert "run it with " in words


def test_free_threaded_build_does_not_load_the_core() -> None:
    """3.14 finds the file of the stable ABI, and would run it; a build from source would give it one that fits."""
    pretend = "sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1\nsys.abiflags = 't'"
    finished = run_python(f"import sys, sysconfig\n{pretend}\nimport nomyo")

    assert finished.stderr.splitlines()[-1] == (
        "ImportError: nomyo's native core serves ordinary builds of CPython 3.11 and later, "
        "and this is a free-threaded build of {0}.{1}: run it with python{0}.{1}".format(*sys.version_info)
    )


def test_missing_core_says_how_to_get_it() -> None:
    words = last_words("")

    assert words.startswith("ImportError: nomyo's native core cannot be loaded: ")
    assert words.endswith("install it again (pip install --force-reinstall nomyo)")


def test_refusal_of_the_core_itself_keeps_its_words() -> None:
    """It does so if the system gives it no random bytes, or too little memory: a new installation would not help."""
    program = """
import sys
class Refusing:
    def find_spec(name, path=None, target=None):
        if name == "nomyo._core":
            raise ImportError("the system refuses random numbers")
sys.meta_path.insert(0, Refusing)
import nomyo
"""
    assert run_python(program).stderr.splitlines()[-1] == "ImportError: the system refuses random numbers"
