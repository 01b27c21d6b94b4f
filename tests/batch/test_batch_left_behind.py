"""What `nomyo batch open` leaves in memory: nothing of the rows, of their AES keys and of the private key."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from nomyo.batch.sealed import CONTEXT
from support import peer
from support.memory_scan import Needle, outside
from support.needles import Text, of_bytes, of_private_key, of_texts, texts
from support.scanned import waiting
from support.scene import KEY, write_keys

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")


class SealedOutput:
    """A sealed output made without any code of ours, its key pair, and all that is secret about both."""

    def __init__(self, directory: Path) -> None:
        self.path, self.keys = directory / "out.jsonl", directory / "keys"
        self.answers = texts("answer")
        private_pem = write_keys(self.keys)
        self.rows = [_row(number, answer) for number, answer in enumerate(self.answers, 1)]
        aes_keys = [os.urandom(32) for _ in self.rows]
        self.needles: list[Needle] = [*of_texts(self.answers), *of_private_key(KEY, private_pem)]
        self.needles += [needle for key in aes_keys for needle in of_bytes("AES key", key)]
        public_pem = (self.keys / "public_key.pem").read_text()
        with self.path.open("wb") as file:
            for number, (row, aes_key) in enumerate(zip(self.rows, aes_keys, strict=True), 1):
                package = peer.package_for(public_pem, row, aes_key=aes_key, context=CONTEXT)
                file.write(b'{"id":"batch_req_%d","sealed":%b,"error":null}\n' % (number, json.dumps(package).encode()))


def _row(number: int, answer: Text) -> bytes:
    body = {"choices": [{"message": {"content": answer.content}}]}
    row = {"id": f"batch_req_{number}", "custom_id": "a", "response": {"body": body}, "error": None}
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def output(tmp_path: Path) -> SealedOutput:
    return SealedOutput(tmp_path)


@pytest.mark.parametrize("as_objects", [False, True], ids=["command", "control"])
def test_rows_that_are_opened_leave_nothing_behind(as_objects: bool, output: SealedOutput, tmp_path: Path) -> None:
    """The control reads the same rows as objects, which are found."""
    plain = tmp_path / "plain.jsonl"
    job = {"sealed": str(output.path), "keys": str(output.keys), "output": str(plain), "as_objects": as_objects}
    with waiting("opened_batch", "sync", tmp_path, job) as child:
        finds = child.search(output.needles)

    assert plain.read_bytes() == b"".join(output.rows)
    found = {find.secret for find in outside(finds)}
    assert found == ({answer.secret for answer in output.answers} if as_objects else set())
    assert {find.secret for find in finds} <= found | {KEY, f"{KEY}, PEM"}
