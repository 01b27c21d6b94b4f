"""`nomyo chat` as a process, with a prompt from wherever it may come."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def chat(
    *arguments: str, stdin: bytes | None = None, before: list[str] | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [*(before or []), sys.executable, "-m", "nomyo", "chat", *arguments],
        capture_output=True,
        timeout=60,
        env=os.environ | {"NOMYO_MODEL": "echo", "PYTHONUTF8": "1"} | environment,
        check=False,
        **source,
    )


def ask_by(source: str, prompt: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    (tmp_path / "prompt").write_bytes(prompt.encode())
    arguments = {
        "argument": [prompt],
        "pipe": [],
        "dash": ["-"],
        "secret file": ["--secret-file", str(tmp_path / "prompt")],
        "secret pipe": ["--secret-file", "-"],
    }[source]
    return chat(*arguments, *options, stdin=None if source in ("argument", "secret file") else prompt.encode())
