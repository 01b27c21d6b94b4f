"""Ctrl-C while a command still imports its modules."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nomyo.cli import entry
from support.process import unmeasured

# Python imports it by itself. What a signal raises in a callback is swallowed, and callbacks run during imports, too.
SLOW_IMPORT = """
import sys, time, weakref

def wait(_):
    print("importing", flush=True)
    time.sleep({seconds})

class Slow:
    def find_spec(self, name, *_):
        if name == {name!r}:
            victim = Slow()
            reference = weakref.ref(victim, wait)
            del victim

sys.meta_path.insert(0, Slow())
"""


def interrupted(tmp_path: Path, module: str, *arguments: str, **environment: str) -> tuple[int, bytes]:
    """Return the exit code and what stood on stderr."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT.format(name=module, seconds=60))
    command = [str(Path(sys.executable).parent / "nomyo"), *arguments]
    env = unmeasured() | {"PYTHONPATH": str(tmp_path)} | environment
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=30)
    return process.returncode, shown


@pytest.mark.parametrize("command", sorted(entry._COMMANDS))
def test_ctrl_c_while_a_command_starts_ends_it_quietly(command: str, tmp_path: Path) -> None:
    assert interrupted(tmp_path, entry._COMMANDS[command].module, command, "--help") == (130, b"")


def test_ctrl_c_while_a_chat_imports_its_client_ends_it_quietly(tmp_path: Path) -> None:
    assert interrupted(tmp_path, "nomyo.client", "chat", "--model", "m", "Hello") == (130, b"")


@pytest.mark.parametrize("module", ["nomyo.cli.completion", "typer", "nomyo.cli.chat.command"])
def test_ctrl_c_ends_completion_quietly(module: str, tmp_path: Path) -> None:
    variables = {"_NOMYO_COMPLETE": "complete_bash", "COMP_WORDS": "nomyo chat --ti", "COMP_CWORD": "2"}
    assert interrupted(tmp_path, module, **variables) == (130, b"")


def test_ctrl_c_that_was_ignored_before_the_start_stays_ignored(tmp_path: Path) -> None:
    """As shells have it for jobs in the background."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT.format(name="nomyo.cli.doctor.command", seconds=0.3))
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", str(Path(sys.executable).parent / "nomyo"), "doctor"]
    env = unmeasured() | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=30)
    assert process.returncode in (0, 1)
    assert b"memory" in shown.lower()
