"""What stays in a process's memory behind the work: the objects that the caller gave or was given, and nothing else.

A child works and waits; its memory is then read from outside, so that the search itself leaves nothing behind. Every
text is studded with a marker of a few letters, which the child draws one by one and never holds by itself.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from by_hand import Owner
from nomyo import _core

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")

ALPHABETS = [" ,.-", "abcde äöüéè", "abcde漢字“”—é", "abcde漢字🎉🌍é"]
# In letters: on the stack of CPython's encoders, in one piece, in several pieces.
LENGTHS = [40, 3000, 200_000]
TEXTS = [[alphabet, length] for alphabet in ALPHABETS for length in LENGTHS]

DRAWING = """
import random

def letters(seed, alphabet, length):
    '''The letters of a text, which has the marker at the beginning, at the end, and every 20 letters.'''
    draw = random.Random(seed)
    marker = [draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(8)]
    for index in range(length // 20 * 20 + 8):
        yield marker[index % 20] if index % 20 < 8 else draw.choice(alphabet)
"""
PROGRAM = """
import gc, json, sys
from nomyo import SecureBuffer, _core

def in_locked_memory(*drawn):
    buffer = SecureBuffer(sum(len(letter.encode()) for letter in letters(*drawn)))
    view, end = buffer.data, 0
    for letter in letters(*drawn):
        encoded = letter.encode()
        view[end : end + len(encoded)] = encoded
        end += len(encoded)
    view.release()
    return buffer

job = json.loads(sys.stdin.readline())
kept = []

def keep(text):
    '''Tell of an object in which the text may be found.'''
    kept.append((text, id(text), sys.getsizeof(text)))
    return text

def texts():
    for alphabet, length in job["texts"]:
        yield keep("".join(letters(job["seed"], alphabet, length)))
"""
WAITING = """
gc.collect()
print(json.dumps([place[1:] for place in kept]), flush=True)
sys.stdin.read()
"""

namespace: dict[str, Any] = {}
exec(DRAWING, namespace)
letters = namespace["letters"]


@pytest.fixture
def seed() -> int:
    return random.SystemRandom().getrandbits(60)


def residue(work: str, seed: int, texts: list[list[Any]] = TEXTS, **job: Any) -> list[str]:
    """Where in the child a marker is found outside of the objects that it keeps."""
    command = [sys.executable, "-c", DRAWING + PROGRAM + work + WAITING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"seed": seed, "texts": texts, **job}) + "\n")
        child.stdin.flush()
        kept = [range(address, address + size) for address, size in json.loads(child.stdout.readline())]
        found = list(search(child.pid, "".join(letters(seed, " ", 19))))
        child.stdin.close()
    assert child.returncode == 0
    for place in kept:
        assert any(address in place for address, _ in found), "the search does not find what is there"
    return [name for address, name in found if not any(address in place for place in kept)]


def search(pid: int, marker: str) -> Iterator[tuple[int, str]]:
    """Where in the writable memory of a process a marker lies, with one, two or four bytes a letter."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            bounds, access, *_, name = line.split()
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if not access.startswith("rw"):
                continue
            memory.seek(start)
            content = memory.read(end - start)
            for encoding in ("ascii", "utf-16-le", "utf-32-le"):
                for offset in occurrences(content, marker.encode(encoding)):
                    yield start + offset, f"{encoding} at {start + offset:#x} in {name}"


def occurrences(content: bytes, part: bytes) -> Iterator[int]:
    found = content.find(part)
    while found >= 0:
        yield found
        found = content.find(part, found + 1)


def test_sealing_leaves_nothing_of_a_text(seed: int) -> None:
    work = """
key = _core.PrivateKey.generate(2048).public_key
for text in texts():
    for _ in range(3):
        _core.seal({"messages": [{"role": "user", "content": text}], text: 1}, key)
        _core.check_payload({"messages": [{"role": "user", "content": text}]})
"""
    assert residue(work, seed) == []


def test_refused_payload_leaves_nothing_of_a_text(seed: int) -> None:
    work = """
key = _core.PrivateKey.generate(2048).public_key
refused = []
for text in texts():
    for wrong in ({text: "\\ud800"}, {"a": text, "b": {1}}, {text: {"c": float("nan")}}):
        try:
            _core.seal(wrong, key, limit_bytes=1_000_000)
        except (TypeError, ValueError) as error:
            refused.append(error)
        else:
            raise AssertionError
"""
    assert residue(work, seed) == []


def test_sealing_a_secure_buffer_leaves_nothing(seed: int) -> None:
    work = """
key = _core.PrivateKey.generate(2048).public_key
for drawn in job["texts"]:
    with in_locked_memory(job["seed"], *drawn) as buffer:
        _core.seal({"messages": [{"role": "user", "content": buffer}]}, key)
        assert buffer != b"another"
"""
    assert residue(work, seed) == []


def test_opening_leaves_nothing_but_the_objects(client_key: _core.PrivateKey, tmp_path: Path, seed: int) -> None:
    content = ["".join(letters(seed, *drawn)) for drawn in TEXTS]
    plaintext = json.dumps({"plain": content, "escaped": ["\n" + text for text in content]}, ensure_ascii=False)
    (tmp_path / "package").write_bytes(Owner(client_key).seal(plaintext.encode()))
    _core.write_key_directory(tmp_path, client_key)
    work = """
key = _core.load_key_pair(job["directory"] + "/private_key.pem")[0]
with open(job["directory"] + "/package", "rb") as file:
    package = file.read()
opened = _core.open_package(package, key)[0]
for text in opened["plain"] + opened["escaped"]:
    keep(text)
"""
    assert residue(work, seed, directory=str(tmp_path)) == []


def test_package_that_does_not_hold_json_leaves_nothing(
    client_key: _core.PrivateKey, tmp_path: Path, seed: int
) -> None:
    (tmp_path / "package").write_bytes(Owner(client_key).seal("".join(letters(seed, *TEXTS[-1])).encode()))
    _core.write_key_directory(tmp_path, client_key)
    work = """
from nomyo import SecurityError
key = _core.load_key_pair(job["directory"] + "/private_key.pem")[0]
with open(job["directory"] + "/package", "rb") as file:
    package = file.read()
try:
    _core.open_package(package, key)
except SecurityError as error:
    refused = error
"""
    assert residue(work, seed, directory=str(tmp_path)) == []


def test_password_leaves_nothing(seed: int) -> None:
    work = """
key = _core.PrivateKey.generate(2048)
for password in texts():
    with key.to_pem(password) as pem:
        _core.PrivateKey.from_pem(pem, password)
"""
    assert residue(work, seed, [[alphabet, 40] for alphabet in ALPHABETS]) == []
