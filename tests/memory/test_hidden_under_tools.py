"""A program that hides its memory runs under a debugger and under valgrind, which knows no hidden memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.process import unmeasured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd_secret is Linux's")

PROGRAM = """
import json, warnings, nomyo
key = nomyo._core.PrivateKey.from_pem(open({key!r}, "rb").read())
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    nomyo.harden_process(hide_memory=True)
    nomyo.harden_process(hide_memory=True)
buffer = nomyo.SecureBuffer(b"content")
later = nomyo._core.PrivateKey.from_pem(open({key!r}, "rb").read())
for each in (key, later):
    assert nomyo._core.open_package(nomyo._core.seal({{"a": 1}}, each.public_key), each)[0] == {{"a": 1}}
assert buffer == b"content" and buffer.locked
told = [nomyo.get_memory_protection_info().hidden, nomyo._core.refused_calls(), [str(each.message) for each in caught]]
print(json.dumps(told))
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """Return the command that runs the program, with a key made beforehand: making one under valgrind takes long."""
    from nomyo import _core

    key, source = tmp_path / "key.pem", tmp_path / "program.py"
    key.write_bytes(bytes(_core.PrivateKey.generate(2048).to_pem()))
    source.write_text(PROGRAM.format(key=str(key)))
    return [sys.executable, str(source)]


def run(tool: list[str], program: list[str]) -> list[object]:
    """Run the program under a tool, and return what it tells of its memory."""
    assert shutil.which(tool[0]), f"{tool[0]} is missing: apt-get install {tool[0]}"
    finished = subprocess.run(
        [*tool, *program], capture_output=True, text=True, check=False, timeout=280, env=unmeasured()
    )
    assert finished.returncode == 0, finished.stderr
    (told,) = [line for line in finished.stdout.splitlines() if line.startswith("[") and line.endswith("]]")]
    return list(json.loads(told))


@pytest.mark.outside("gdb")
def test_debugger_that_started_the_process_does_not_keep_it_from_hiding(program: list[str]) -> None:
    tool = ["gdb", "-batch", "-nx", "-return-child-result", "-ex", "run", "--args"]
    assert run(tool, program) == [True, [], []]


@pytest.mark.outside("valgrind")
def test_valgrind_is_as_a_kernel_without_hidden_memory(program: list[str]) -> None:
    """Memcheck also finds no access beyond a block, and no use of bytes that nobody wrote."""
    hidden, refused, warned = run(["valgrind", "-q", "--error-exitcode=9"], program)
    assert (hidden, refused) == (False, ["memfd_secret"])
    (warning,) = list(warned)  # type: ignore[call-overload]
    assert warning.startswith("memory stays locked, but root can read it: ")
