"""Runs `python -m nomyo` without hardening: of a hardened process, /proc tells only root how much it wrote and opened.

Usage: unhardened.py PYTHON -m nomyo WORDS..., as `UNHARDENED` stands in front of a command.
"""

from __future__ import annotations

import runpy
import sys
from typing import Final

from nomyo import _core

UNHARDENED: Final = (sys.executable, __file__)

if __name__ == "__main__":
    assert sys.argv[2:4] == ["-m", "nomyo"], sys.argv
    _core.harden_process = lambda: None
    sys.argv[:] = sys.argv[3:]
    runpy.run_module("nomyo", run_name="__main__", alter_sys=True)
