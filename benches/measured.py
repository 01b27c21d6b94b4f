"""Runs `nomyo WORD...` in this process, and writes what the process took as JSON: `measured.py FILE WORD...`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from load import memory_kib

from nomyo.cli.entry import main

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[2:]))
    finally:
        taken = {"cpu_s": time.process_time(), "peak_kib": memory_kib("VmHWM")}
        Path(sys.argv[1]).write_text(json.dumps(taken))
