"""Runs a program of `scanned_child.py` and searches its memory while it waits."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.memory_scan import Find, Needle, Scanner
from support.needles import Text, of_texts
from support.process import unmeasured

PROGRAM = Path(__file__).with_name("scanned_child.py")
# The ways to send a request: what holds the message, and what the answer becomes.
PLAIN = {"form": "str", "method": "create"}
FROM_BUFFER = {"form": "SecureBuffer", "method": "create"}
SECRET = {"form": "SecureBuffer", "method": "create_secure"}
CONTROL, LOCKED_CONTROL = "control in ordinary memory", "control in a SecureBuffer"


@dataclass
class Waiting:
    """A program that waits, with its work still alive, and what it said when it was ready."""

    pid: int
    said: dict[str, Any]
    directory: Path
    controls: list[Needle]
    hides: bool = False

    @property
    def kept(self) -> list[range]:
        """Where its own objects are that hold secrets."""
        return [range(address, address + size) for address, size in self.said["places"]]

    def search(self, needles: Sequence[Needle]) -> list[Find]:
        """Search its memory; the controls must be where they belong, or the search proves nothing."""
        scanner = Scanner([*needles, *self.controls])
        finds = scanner.process(self.said.get("pid", self.pid))
        assert [find for find in finds if find.secret == CONTROL and not find.locked], "the search finds nothing"
        locked = [find for find in finds if find.secret == LOCKED_CONTROL]
        if self.hides:
            assert not locked, "a SecureBuffer was not hidden"
            assert scanner.hidden_pages, "there are no hidden pages"
            return _without_controls(finds)
        assert locked, "the search does not see locked memory"
        assert all(find.locked for find in locked), "a SecureBuffer was not locked, or copied"
        return _without_controls(finds)

    def search_core(self, needles: Sequence[Needle]) -> list[Find]:
        """Search a core dump of it; the control in ordinary memory must be there, that in a SecureBuffer not."""
        core = core_of(self.pid, self.directory)
        finds = Scanner([*needles, *self.controls]).core_file(core)
        core.unlink()  # some 300 MB
        assert [find for find in finds if find.secret == CONTROL], "the search finds nothing"
        assert not [find for find in finds if find.secret == LOCKED_CONTROL], "a SecureBuffer is in the core dump"
        return _without_controls(finds)


def waiting(
    name: str, twin: str, directory: Path, job: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> AbstractContextManager[Waiting]:
    """Run one of the programs of `scanned_child.py` until the block ends."""
    command = [sys.executable, "-W", "error", str(PROGRAM), name, twin]
    return running(command, directory, {"options": {}, **PLAIN, **job}, env)


@contextmanager
def hiding(name: str, twin: str, directory: Path, job: Mapping[str, Any]) -> Iterator[Waiting]:
    """Do what `waiting` does, with hidden memory: the control in a SecureBuffer must not be found."""
    command = [sys.executable, "-W", "error", str(PROGRAM.with_name("hidden_child.py")), name, twin]
    with running(command, directory, {"options": {}, **PLAIN, **job}, {"NOMYO_HIDE_MEMORY": "1"}) as child:
        child.hides = True
        yield child


@contextmanager
def running(
    command: Sequence[str], directory: Path, job: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> Iterator[Waiting]:
    """Run a program that takes a job until the block ends; it is stopped (SIGSTOP) while its memory is read."""
    controls = [Text.draw(CONTROL, "-", 32), Text.draw(LOCKED_CONTROL, "-", 32)]
    for file, control in zip(("control", "locked_control"), controls, strict=True):
        (directory / file).write_text(control.content)
    paths = {"control": str(directory / "control"), "locked_control": str(directory / "locked_control")}
    (directory / "job").write_text(json.dumps({**paths, **job}))
    environment = {**unmeasured(), **(env or {})}
    with subprocess.Popen(
        [*command, str(directory / "job")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        ready = child.stdout.readline()
        assert ready, "the program failed"
        child.send_signal(signal.SIGSTOP)
        try:
            yield Waiting(child.pid, json.loads(ready), directory, of_texts(controls))
        finally:
            child.send_signal(signal.SIGCONT)
            child.stdin.close()
    assert child.returncode == 0, "the program failed"


def written(directory: Path, texts: Sequence[Text]) -> list[str]:
    """Write texts for a program to read; return the paths without their suffixes."""
    paths = [directory / text.secret.replace(" ", "-") for text in texts]
    for path, text in zip(paths, texts, strict=True):
        path.with_suffix(".utf-8").write_bytes(text.content.encode())
        path.with_suffix(".utf-32").write_bytes(text.content.encode(f"utf-32-{sys.byteorder[0]}e"))
    return [str(path) for path in paths]


def core_of(pid: int, directory: Path) -> Path:
    """Have gdb dump the memory of a process."""
    assert shutil.which("gcore"), "gcore is missing: install gdb (apt-get install gdb)"
    command = ["gcore", "-o", str(directory / "core"), str(pid)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    return directory / f"core.{pid}"


def _without_controls(finds: Sequence[Find]) -> list[Find]:
    return [find for find in finds if find.secret not in (CONTROL, LOCKED_CONTROL)]
