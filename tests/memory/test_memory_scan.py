"""The scanner itself: it finds what is there, wherever it lies, and fails where it cannot see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import memory_scan
from support.memory_scan import Find, Mapping, Needle, ResidentPages, Scanner, count_places, outside
from support.needles import Text, of_bytes, of_private_key, of_texts, texts
from support.router_peer import peer_key
from support.scanned import Waiting, waiting, written

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


# It prints where it wrote three pages of a key, and whether the kernel then guarded the middle one (Linux 6.13).
GUARDED = """
import ctypes, mmap
MADV_GUARD_INSTALL = 102
memory = mmap.mmap(-1, 3 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory[:] = bytes.fromhex("{key}") * (3 * mmap.PAGESIZE // 32)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
middle = ctypes.c_void_p(address + mmap.PAGESIZE)
refused = ctypes.CDLL(None).madvise(middle, ctypes.c_size_t(mmap.PAGESIZE), MADV_GUARD_INSTALL)
print(address, 0 if refused else 1, flush=True)
input()
"""


def test_guard_page_is_stepped_over_and_counted_and_its_neighbours_are_read() -> None:
    key = os.urandom(32)
    command = [sys.executable, "-c", GUARDED.format(key=key.hex())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        address, guards = map(int, child.stdout.readline().split())
        pages = ResidentPages(child.pid)
        read = sum(end - start for _, start, end in pages.ranges())
        finds = Scanner(of_bytes("key", key)).process(child.pid)
        child.communicate(b"\n")

    assert (pages.guards, pages.readable) == (guards, read // memory_scan.PAGE_BYTES)
    found = {(find.address - address) // memory_scan.PAGE_BYTES for find in finds}
    assert found & {0, 1, 2} == ({0, 2} if guards else {0, 1, 2})


def test_search_that_could_read_next_to_nothing_fails(
    idle: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_scan, "GUARD_BIT", memory_scan.PRESENT_BITS)
    with pytest.raises(AssertionError, match="pages are guard pages, and were not read"):
        Scanner(of_bytes("key", os.urandom(32))).process(idle.pid)


def test_find_on_the_border_of_two_reads_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With reads of a few bytes, every needle of a long text begins in one and most end in another."""
    drawn = [Text.draw("message", " ", 3200)]
    with waiting("careless", "sync", tmp_path, {"messages": written(tmp_path, drawn)}) as child:
        whole = [find for find in child.search(of_texts(drawn)) if find.address in child.kept[0]]
        place = Mapping(child.kept[0].start, child.kept[0].stop, whole[0].place, False)
        monkeypatch.setattr(memory_scan, "CHUNK_BYTES", 7)
        monkeypatch.setattr(ResidentPages, "ranges", lambda _: [(place, place.start, place.end)])
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
