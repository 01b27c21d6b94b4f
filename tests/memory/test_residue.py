"""What sealing and opening by themselves leave in memory: nothing but the objects, whatever the text and its length."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nomyo import _core
from support.broken_ends import ENDS
from support.by_hand import Owner
from support.memory_scan import outside
from support.needles import ALPHABETS, SHORT, Text, every_text, of_texts
from support.scanned import waiting, written

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


@pytest.mark.parametrize("end", ENDS)
def test_refused_answer_leaves_nothing(tmp_path: Path, client_key: _core.PrivateKey, end: str) -> None:
    texts, job = broken_answer(tmp_path, client_key, end)
    with waiting("refused_answers", "sync", tmp_path, job) as child:
        assert child.search(of_texts(texts)) == []


def test_objects_of_an_answer_that_were_let_go_of_are_found(tmp_path: Path, client_key: _core.PrivateKey) -> None:
    """The control: the same answer with its end is made into objects, which are then let go of."""
    texts, job = broken_answer(tmp_path, client_key, "last byte")
    with waiting("refused_answers", "sync", tmp_path, {**job, "as_far_as_it_goes": True}) as child:
        finds = child.search(of_texts(texts))
    assert {find.secret for find in outside(finds)} == {text.secret for text in texts}


def broken_answer(directory: Path, key: _core.PrivateKey, end: str) -> tuple[list[Text], dict[str, Any]]:
    """Write a package with a text in each of its many strings, and a key that opens it."""
    texts = [Text.draw(f"text {number}", ALPHABETS["ASCII"], SHORT) for number in range(80)]
    answer = json.dumps({"id": texts[0].content, "usage": [text.content for text in texts[1:]]})
    (directory / "package").write_bytes(Owner(key).seal(ENDS[end](answer).encode()))
    (directory / "whole").write_bytes(Owner(key).seal(answer.encode()))
    _core.write_key_directory(directory / "keys", key)
    paths = {name: str(directory / name) for name in ("package", "whole", "keys")}
    return texts, {**paths, "as_far_as_it_goes": False}


def test_password_leaves_nothing(tmp_path: Path) -> None:
    passwords = [Text.draw(f"password, {kind}", alphabet, SHORT) for kind, alphabet in ALPHABETS.items()]
    with waiting("encrypted", "sync", tmp_path, {"messages": written(tmp_path, passwords)}) as child:
        finds = child.search(of_texts(passwords))

    assert outside(finds, child.kept) == []
    assert [find for find in finds if find.locked] == []
