"""Writes the page to the file that is named."""

from __future__ import annotations

import sys
from pathlib import Path

from reference_page import page

Path(sys.argv[1]).write_text(page())
