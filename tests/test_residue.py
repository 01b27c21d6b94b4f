"""What sealing and opening by themselves leave in memory: nothing but the objects, whatever the text and its length."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from by_hand import Owner
from memory_scan import outside
from needles import ALPHABETS, SHORT, Text, every_text, of_texts
from nomyo import _core
from scanned import waiting, written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")


@pytest.mark.parametrize("work", ["sealed", "refused"])
def test_sealing_leaves_nothing_of_a_text(tmp_path: Path, work: str) -> None:
    texts = every_text("text")
    with waiting(work, "sync", tmp_path, {"messages": written(tmp_path, texts)}) as child:
        finds = child.search(of_texts(texts))

    assert outside(finds, child.kept) == []
    assert [find for find in finds if find.locked] == []
    assert {find.secret for find in finds} == {text.secret for text in texts}


def test_opening_leaves_nothing_but_the_objects(tmp_path: Path, client_key: _core.PrivateKey) -> None:
    texts = every_text("text")
    plain = [text.content for text in texts]
    content = json.dumps({"plain": plain, "escaped": ["\n" + text for text in plain]}, ensure_ascii=False)
    (tmp_path / "package").write_bytes(Owner(client_key).seal(content.encode()))
    _core.write_key_directory(tmp_path / "keys", client_key)
    job = {"package": str(tmp_path / "package"), "keys": str(tmp_path / "keys")}
    with waiting("opened", "sync", tmp_path, job) as child:
        finds = child.search(of_texts(texts))

    assert outside(finds, child.kept) == []
    assert [find for find in finds if find.locked] == []
    assert {find.secret for find in finds} == {text.secret for text in texts}


def test_password_leaves_nothing(tmp_path: Path) -> None:
    passwords = [Text.draw(f"password, {kind}", alphabet, SHORT) for kind, alphabet in ALPHABETS.items()]
    with waiting("encrypted", "sync", tmp_path, {"messages": written(tmp_path, passwords)}) as child:
        finds = child.search(of_texts(passwords))

    assert outside(finds, child.kept) == []
    assert [find for find in finds if find.locked] == []
