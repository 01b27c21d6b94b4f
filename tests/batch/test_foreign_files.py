"""Files beside a batch that somebody else wrote: told in one line that names the file, and left as they are."""

from __future__ import annotations

import json
import os
import subprocess
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomyo import BatchError
from nomyo.batch.governor import Limits
from nomyo.batch.governor.ledger import Ledger
from nomyo.batch.header import header_of
from nomyo.batch.records import whole_row
from support.batch_scene import EXPECTED, ROWS, Told, batch, command, lines_of, open_command, outcomes
from support.process import LIMITED

STEERING = "\x1b]0;owned\x07\nnomyo batch: all is well"
DEEP = b"[" * 900 + b"]" * 900
HEADERS = {
    "lists that never end": b'{"format": ' + b"[" * 4000,
    "objects that never end": b'{"format": ' + b'{"a":' * 800,
    "a list that Python reads": b'{"format": ' + DEEP + b"}",
    "an integer of 4,000 digits": b'{"format": ' + b"9" * 4000 + b"}",
    "not UTF-8": b'{"format": 1, "input": "\xff\xfe"}',
    "UTF-16": '{"format": 1}'.encode("utf-16"),
    "a number": b'{"format": NaN}',
    "no object": b"[1]",
    "zeros": bytes(4096),
    "a mebibyte": b'{"format": 1' + b" " * 2**20 + b"}",
    "cut": b'{"format": 1, "input": {"size_by',
}
DAMAGES: dict[str, Any] = {
    "format": 2,
    "input": [[["a"]]],
    "ordered": "no",
    "sealed_for": STEERING,
    "rows_per_part": STEERING,
}


@pytest.mark.parametrize("kind", HEADERS)
def test_header_that_is_none_is_told_in_one_line_and_nothing_is_lost(
    kind: str, source: Path, output: Path, router: Any, run: Any, key_options: list[str]
) -> None:
    run()
    header_of(output).write_bytes(HEADERS[kind])
    before = output.read_bytes()
    done = batch(source, output, router.url, *key_options)
    assert (done.returncode, done.stdout) == (1, "")
    words = [line for line in done.stderr.splitlines() if not line.startswith("nomyo batch: warning: ")]
    assert words == ["nomyo batch: out.jsonl.batch is damaged, or of another version: name another output"]
    assert (output.read_bytes(), header_of(output).read_bytes()) == (before, HEADERS[kind])


@pytest.mark.parametrize(
    "value", [STEERING, [[1]], {"a": 1}, 5.5, -1, True, "", json.loads(DEEP)], ids=lambda v: str(v)[:9]
)
@pytest.mark.parametrize("name", DAMAGES)
def test_header_of_any_types_is_told_without_its_words(name: str, value: Any, run: Any, output: Path) -> None:
    run()
    header = header_of(output)
    begun = json.loads(header.read_bytes())
    assert name in begun
    header.write_text(json.dumps({**begun, name: value}))
    with pytest.raises(BatchError) as raised:
        run()
    words = str(raised.value)
    assert words.isprintable()
    assert "owned" not in words
    assert len(words) < 200
    assert header.name in words or output.name in words


@pytest.mark.parametrize("kind", HEADERS)
def test_rows_are_opened_beside_such_a_header(kind: str, run: Any, output: Path) -> None:
    """It says for which key an output is sealed, and where it says nothing, the rows do."""
    run()
    header_of(output).write_bytes(HEADERS[kind])
    done = open_command(output)
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", output.read_bytes())


def test_words_of_a_header_are_no_key_to_open_with(run: Any, output: Path) -> None:
    run()
    begun = json.loads(header_of(output).read_bytes())
    header_of(output).write_text(json.dumps({**begun, "sealed_for": STEERING}))
    done = open_command(output)
    assert (done.returncode, done.stderr) == (0, b"")


def test_pipe_in_the_place_of_the_header_is_not_waited_for(run: Any, output: Path) -> None:
    run()
    header_of(output).unlink()
    os.mkfifo(header_of(output))
    assert open_command(output).returncode == 0
    with pytest.raises(OSError, match=r"Illegal seek|not seekable") as raised:
        run()
    assert raised.value.filename == str(header_of(output))


@pytest.mark.parametrize("kind", ["pipe", "device without an end"])
def test_public_key_of_the_client_that_is_no_file_is_not_waited_for(
    kind: str, source: Path, output: Path, router: Any, archive: Path, tmp_path: Path
) -> None:
    """It is compared with the one that rows are sealed for, before the client looks at its pair."""
    (tmp_path / "client").mkdir(mode=0o700)
    public_key = tmp_path / "client" / "public_key.pem"
    if kind == "pipe":
        os.mkfifo(public_key)
    else:
        public_key.symlink_to("/dev/zero")
    sealed = ["--encrypt-to", str(archive / "public_key.pem"), "--key-dir", str(tmp_path / "client")]
    limited = [*LIMITED, f"--as={4 * 2**30}", *command(source, output, router.url, *sealed)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert str(public_key) in done.stderr.splitlines()[-1]


ROWS_OF_OTHERS = {
    "lists that never end": b'{"error":null,"id":"batch_req_1","a":' + b"[" * 100_000,
    "a deep list": b'{"error":null,"id":"batch_req_1","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a list that Python reads": b'{"error":null,"a":' + DEEP + b"}",
    "an integer of 5,000 digits": b'{"error":null,"id":"batch_req_1","a":' + b"9" * 5000 + b"}",
    "an id of 5,000 digits": b'{"id":"batch_req_' + b"9" * 5000 + b'","error":null}',
    "an id that is a deep list": b'{"id":' + DEEP + b',"error":null}',
    "not UTF-8": b'{"id":"batch_req_1","a":"\xff","error":null}',
    "a string of a mebibyte": b'"' + b"a" * 2**20 + b'"',
}


@pytest.mark.parametrize("kind", ROWS_OF_OTHERS)
def test_line_of_the_output_that_is_no_row_is_dropped_and_told_of(kind: str, run: Any, output: Path) -> None:
    run(ordered=True)
    rows = lines_of(output)
    output.write_bytes(b"".join([*rows[:5], ROWS_OF_OTHERS[kind], b"\n", *rows[6:]]))
    told = Told()
    summary = run(ordered=True, progress=told)
    assert (summary.done_before, told.words) == (ROWS - 1, ["dropped 1 damaged line of the output"])
    assert outcomes(output) == EXPECTED


@pytest.mark.parametrize("kind", ROWS_OF_OTHERS)
def test_such_a_line_is_told_by_its_number_where_rows_are_opened(kind: str, run: Any, output: Path) -> None:
    run(ordered=True)
    rows = lines_of(output)
    output.write_bytes(b"".join([*rows[:5], ROWS_OF_OTHERS[kind], b"\n", *rows[6:]]))
    done = open_command(output)
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == ROWS - 1
    assert b"line 6: it is not a row" in done.stderr
    assert b"Traceback" not in done.stderr


def deepest_list_read() -> int:
    """Return how deep a list may be that Python reads: from 900 levels (3.11) to 65,000 (3.14, by the stack's size)."""

    def is_too_deep(depth: int) -> bool:
        try:
            json.loads("[" * depth + "]" * depth)
        except RecursionError:
            return True
        return False

    return bisect_left(range(10**6), True, key=is_too_deep) - 1


def test_row_at_the_depth_that_python_reads_and_does_not_write_is_none() -> None:
    """It is written anew where a tool of JSON changed its order. From 3.12 on, Python writes what it reads."""
    kinds = set()
    deepest = deepest_list_read()
    for depth in range(deepest - 100, deepest + 100):
        row = b'{"error":null,"id":"batch_req_1","a":' + b"[" * depth + b"]" * depth + b"}\n"
        kinds.add(whole_row(row) is None)
    assert kinds == {False, True}


def test_row_of_no_line_and_second_row_of_a_line_are_told_of(run: Any, output: Path) -> None:
    run(ordered=True)
    rows = lines_of(output)
    output.write_bytes(b"".join([*rows, rows[3], rows[3].replace(b"batch_req_4", b"batch_req_999")]))
    told = Told()
    assert run(ordered=True, progress=told).done_before == ROWS
    assert told.words == ["dropped 2 damaged lines of the output"]
    assert lines_of(output) == rows


MOMENT_NS = 10**12
BOOKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "lists that never end": lambda books: b'{"boot": ' + b"[" * 100_000,
    "a deep list": lambda books: {**books, "line": json.loads(DEEP)},
    "an integer of 5,000 digits": lambda books: b'{"boot": ' + b"9" * 5000 + b"}",
    "a burst of 4,300 digits": lambda books: {**books, "bursts": [[MOMENT_NS - 1, int("9" * 4300)]]},
    "a time of 4,300 digits": lambda books: {**books, "last_ns": int("9" * 4300)},
    "a pause of 4,300 digits": lambda books: {**books, "paused_until_ns": int("9" * 4300)},
    "not UTF-8": lambda books: b'{"boot": "\xff"}',
    "a number": lambda books: 5,
    "too long": lambda books: {**books, "more": "a" * 2**20},
}


@pytest.mark.parametrize("kind", BOOKS)
def test_books_of_the_rate_that_are_none_count_as_used_up(kind: str) -> None:
    limits = Limits(requests_per_s=2, burst_requests=4, bursts=1, burst_window_s=10)
    changed = BOOKS[kind](json.loads(Ledger("boot").dump()))
    text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    ledger = Ledger.parse(text, "boot", limits, MOMENT_NS)
    now_ns = MOMENT_NS
    wait_ns = ledger.ask(limits, "ticket", now_ns)
    assert 0 < wait_ns < 60 * 10**9
    while wait_ns:
        now_ns += wait_ns
        wait_ns = ledger.ask(limits, "ticket", now_ns)
    assert Ledger.parse(ledger.dump(), "boot", limits, now_ns).pace.last_ns == now_ns


def test_line_of_the_output_that_never_ends_takes_no_memory_beyond_a_row(
    run: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nomyo.batch.input_lines.MAX_ROW_BYTES", 100_000)
    run(ordered=True)
    rows = lines_of(output)
    output.write_bytes(b"".join([*rows[:5], b"a" * 1_000_000, b"\n", *rows[6:]]))
    told = Told()
    assert run(ordered=True, progress=told).done_before == ROWS - 1
    assert told.words == ["dropped 1 damaged line of the output"]
    assert outcomes(output) == EXPECTED
