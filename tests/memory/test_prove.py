"""`make prove`: it judges rightly, and its promises hold."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from support import prove
from support.prove import ROWS, Column, broken_by_hidden, broken_promises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")

NONE = dict.fromkeys(ROWS, 0)
KEY_ROW = f"RSA-{prove.KEY_BITS} private key"
OBJECTS = Column("objects", {**NONE, "5 messages": 5}, NONE, {**NONE, "5 messages": 5}, "-", "-")
SECRET = Column("secret", NONE, {**NONE, KEY_ROW: 6}, NONE, '"full", 64 KiB', '"zeroing_only", 0 KiB')
PLAIN = replace(SECRET, title="plain", outside=OBJECTS.outside, dumped=OBJECTS.dumped)


def test_columns_that_keep_the_promises_are_accepted() -> None:
    assert broken_promises(OBJECTS, PLAIN, SECRET) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"outside": {**NONE, "5 messages": 6}}, "5 messages outside locked memory"),
        ({"outside": {**NONE, KEY_ROW: 1}}, "private key outside locked memory"),
        ({"dumped": {**NONE, "AES keys of requests": 1}}, "AES keys of requests in a core dump"),
        ({"locked": NONE}, "the private key in locked memory"),
        ({"protection": '"full", 0 KiB'}, "full protection"),
        ({"protection": '"zeroing_only", 64 KiB'}, "full protection"),
        ({"protection_without_limit": '"full", 0 KiB'}, "an honest report"),
    ],
)
@pytest.mark.parametrize("side", ["plain", "secret"])
def test_broken_promise_is_named(changed: dict[str, Any], words: str, side: str) -> None:
    plain, secret = (replace(PLAIN, **changed), SECRET) if side == "plain" else (PLAIN, replace(SECRET, **changed))

    broken = broken_promises(OBJECTS, plain, secret)

    assert any(words in promise and f"({side})" in promise for promise in broken)


HIDDEN_SECRET = replace(SECRET, title="hidden secret", locked=NONE, protection='"full", hidden, 64 KiB')
HIDDEN_PLAIN = replace(HIDDEN_SECRET, title="hidden plain", outside=OBJECTS.outside, dumped=OBJECTS.dumped)


def test_hidden_columns_that_keep_the_promises_are_accepted() -> None:
    assert broken_by_hidden(OBJECTS, HIDDEN_PLAIN, HIDDEN_SECRET) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"locked": {**NONE, KEY_ROW: 1}}, "private key in locked memory"),
        ({"outside": {**NONE, "5 messages": 6}}, "5 messages outside locked memory"),
        ({"dumped": {**NONE, KEY_ROW: 1}}, "private key in a core dump"),
        ({"protection": '"full", 64 KiB'}, "full and hidden protection"),
        ({"protection_without_limit": '"full", hidden, 64 KiB'}, "an honest report"),
    ],
)
@pytest.mark.parametrize("side", ["hidden plain", "hidden secret"])
def test_broken_promise_of_hidden_memory_is_named(changed: dict[str, Any], words: str, side: str) -> None:
    plain, secret = (replace(each, **changed) if each.title == side else each for each in (HIDDEN_PLAIN, HIDDEN_SECRET))

    assert any(words in promise and f"({side})" in promise for promise in broken_by_hidden(OBJECTS, plain, secret))


def test_secret_path_may_leave_no_object_either() -> None:
    broken = broken_promises(OBJECTS, PLAIN, replace(SECRET, outside=OBJECTS.outside))

    assert broken == ["5 messages outside locked memory (secret)"]


@pytest.mark.outside("gdb, and the venv of `make reference`")
def test_promises_hold_and_the_table_shows_every_secret() -> None:
    finished = subprocess.run(
        [sys.executable, prove.__file__], capture_output=True, text=True, timeout=280, check=False
    )

    assert (finished.returncode, finished.stderr) == (0, "")
    assert all(f"| {row} " in finished.stdout for row in ROWS)
    assert "nomyo 0.2.9" in finished.stdout
