"""Forks of a parent under load: nothing crashes, hangs, is lost, or is drawn twice."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nomyo.serve.router.running import RunningRouter
from support.peer import OAEP
from support.process import output_of, unmeasured

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

PROGRAM = Path(__file__).parents[1] / "support" / "fork_under_load.py"


@pytest.mark.slow("forks beside nine busy threads, with a client of its own in each child")
@pytest.mark.parametrize(("kind", "count"), [("often", 24), ("threads", 12), ("at-once", 20), ("multiprocessing", 4)])
def test_fork_of_a_busy_parent_harms_neither_side(
    router: RunningRouter, key_directory: Path, kind: str, count: int
) -> None:
    # Into files: a child that hangs would hold a pipe open.
    out, said = Path("out"), Path("said")
    command = [sys.executable, "-W", "error", str(PROGRAM), kind, router.url, str(key_directory), str(count)]
    with out.open("w") as stdout, said.open("w") as stderr:
        finished = subprocess.run(command, stdout=stdout, stderr=stderr, check=False, timeout=200, env=unmeasured())
    assert (finished.returncode, said.read_text()) == (0, "")
    assert out.read_text().endswith(f"requests beside {count} forks\n")


DRAWING = '''
import os, sys
from pathlib import Path
from nomyo import _core

key = _core.PublicKey.from_pem(Path(sys.argv[1]).read_text())
EACH = int(sys.argv[3])

def draw(name, each=EACH):
    with open(f"{sys.argv[2]}/{name}", "wb") as file:
        for number in range(each):
            file.write(_core.seal({"a": number}, key) + b"\\n")

def fork_many(name, children, deeper):
    # They begin when the last one is there.
    ready, go = os.pipe(), os.pipe()
    pids = []
    for number in range(children):
        pid = os.fork()
        if pid == 0:
            os.close(go[1])
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            draw(f"{name}-{number}")
            if deeper:
                fork_many(f"{name}-{number}", 2, deeper - 1)
            os._exit(0)
        pids.append(pid)
    os.close(go[0])
    for _ in pids:
        os.read(ready[0], 1)
    os.close(go[1])
    draw(name + "-parent")
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0

draw("before")
fork_many("first", 6, 1)
pid = os.fork()  # straight after a draw of this thread
if pid == 0:
    draw("last")
    os._exit(0)
draw("last-parent")
assert os.waitpid(pid, 0)[1] == 0
# A process of its own: vfork(2) and execve(2).
once = """
import sys
from pathlib import Path
from nomyo import _core
print(_core.seal({'a': 1}, _core.PublicKey.from_pem(Path(sys.argv[1]).read_text())).decode())
"""
for number in range(3):
    with open(f"{sys.argv[2]}/spawned-{number}", "wb") as file:
        spawned = os.posix_spawn(sys.executable, [sys.executable, "-c", once, sys.argv[1]], os.environ,
                                 file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1)])
        assert os.waitpid(spawned, 0)[1] == 0
'''


def test_no_aes_key_or_nonce_is_drawn_twice_across_forks(key_directory: Path, tmp_path: Path) -> None:
    each = 25
    output_of(DRAWING, str(key_directory / "public_key.pem"), str(tmp_path), str(each))
    private = serialization.load_pem_private_key((key_directory / "private_key.pem").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    keys, nonces, paddings = set(), set(), set()
    packages = [line for file in tmp_path.iterdir() for line in file.read_bytes().splitlines()]
    for package in packages:
        outer = json.loads(package)
        wrapped = base64.b64decode(outer["encrypted_aes_key"])
        keys.add(private.decrypt(wrapped, OAEP))
        nonces.add(outer["encrypted_payload"]["nonce"])
        paddings.add(wrapped)
    assert len(packages) == each * (1 + 1 + 6 * (1 + 1 + 2) + 2) + 3
    assert len(keys) == len(nonces) == len(paddings) == len(packages)
