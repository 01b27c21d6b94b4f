"""The scanner itself: it finds what is there, wherever it lies, and fails where it cannot see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import memory_scan
from memory_scan import Find, Mapping, Needle, Scanner, count_places, outside
from needles import Text, of_bytes, of_private_key, of_texts, texts
from router_peer import peer_key
from scanned import Waiting, waiting, written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")


@pytest.fixture
def idle() -> Iterator[subprocess.Popen[bytes]]:
    """A process that only waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.communicate(b"\n")


def test_copies_of_a_careless_program_are_found(tmp_path: Path) -> None:
    drawn = texts("message")
    with waiting("careless", "sync", tmp_path, {"messages": written(tmp_path, drawn)}) as child:
        finds = child.search(of_texts(drawn))

    residues = outside(finds, child.kept)
    assert {find.secret for find in residues} == {text.secret for text in drawn}
    assert any(find.form.startswith("base64") for find in residues)


def test_search_that_misses_its_controls_fails(idle: subprocess.Popen[bytes], tmp_path: Path) -> None:
    child = Waiting(idle.pid, {}, tmp_path, Text.draw("control in ordinary memory", "-", 32).needles())

    with pytest.raises(AssertionError, match="the search finds nothing"):
        child.search(of_bytes("key", os.urandom(32)))


def test_own_process_is_refused() -> None:
    with pytest.raises(AssertionError, match="the needles themselves lie here"):
        Scanner(of_bytes("key", os.urandom(32))).process(os.getpid())


def test_nothing_is_found_that_is_not_there(idle: subprocess.Popen[bytes]) -> None:
    assert Scanner(of_bytes("key", os.urandom(4096)) + of_texts(texts("message"))).process(idle.pid) == []


def test_find_on_the_border_of_two_reads_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With reads of a few bytes, every needle of a long text begins in one and most end in another."""
    drawn = [Text.draw("message", " ", 3200)]
    with waiting("careless", "sync", tmp_path, {"messages": written(tmp_path, drawn)}) as child:
        whole = [find for find in child.search(of_texts(drawn)) if find.address in child.kept[0]]
        place = Mapping(child.kept[0].start, child.kept[0].stop, whole[0].place, False)
        monkeypatch.setattr(memory_scan, "CHUNK_BYTES", 7)
        monkeypatch.setattr(memory_scan, "mappings_of", lambda _: [place])
        monkeypatch.setattr(memory_scan, "_resident", lambda *_: [(place.start, place.end)])
        pieces = Scanner(of_texts(drawn)).process(child.pid)

    assert len(whole) == 101
    assert pieces == whole


def test_finds_close_together_are_one_place() -> None:
    def find(address: int, secret: str = "a") -> Find:
        return Find(secret, "utf-8", address, "[heap]", False)

    assert count_places([]) == 0
    assert count_places([find(0), find(100), find(300)]) == 1
    assert count_places([find(0), find(300), find(100, "b")]) == 3


def test_every_line_of_a_private_key_can_be_told_and_none_of_its_public_half() -> None:
    from cryptography.hazmat.primitives import serialization

    key = peer_key()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    spki = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = key.private_bytes(serialization.Encoding.DER, pkcs8, serialization.NoEncryption())
    scanner = Scanner(of_private_key("key", private))

    found = [line for line in private.splitlines() if list(scanner.content(line))]
    assert len(found) >= 18
    assert list(scanner.content(spki)) == []
    assert {needle.form for needle, _ in scanner.content(der)} == {
        f"{name}, big-endian" for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp")
    }


def test_neither_needles_nor_finds_show_content() -> None:
    needle = Needle("key", "bytes", b"0123456789abcdef")

    assert "0123456789" not in repr(needle)
    assert "secret words" not in repr(Text("message", "secret words"))
