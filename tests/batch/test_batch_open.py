"""`nomyo batch open` and `nomyo.batch.read`: who opens a sealed output, and what is told of what does not open."""

from __future__ import annotations

import json
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError, SecurityError, _core
from nomyo.batch import output_reader
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import (
    expected,
    lines_of,
    open_command,
    opened,
    opened_by_hand,
    outcome,
    request,
    rows_of,
    write_input,
)
from support.process import LIMITED, under_memlock_limit
from support.terminal import ENTER, in_terminal
from support.unhardened import UNHARDENED
from support.waiting import until

ROWS = 40
CANARY = "canary-prompt-91e7"
PASSWORD = "a password of sufficient length"
EXPECTED = expected(ROWS)


# Rows with answers, and two with errors; one of these has a custom_id that UTF-8 cannot hold.
INPUT: list[Any] = [*map(request, range(ROWS)), b"{", b'{"custom_id":"\\ud83d","method":"GET"}']
LINES = len(INPUT)


@pytest.fixture(scope="module")
def finished(
    router: RunningRouter, key_directory: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The directory of a sealed batch in order."""
    directory = tmp_path_factory.mktemp("finished")
    source = write_input(directory / "in.jsonl", INPUT)
    given: dict[str, Any] = {"base_url": router.url, "allow_http": True, "key_dir": key_directory, "ordered": True}
    nomyo.batch.run(source, directory / "out.jsonl", encrypt_to=archive / "public_key.pem", **given)
    return directory


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    """Its output, with input and header beside."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out.jsonl"


def answers(rows: Iterable[dict[str, Any]]) -> list[Any]:
    return [outcome(row) for row in rows if row["error"] is None]


def test_both_ways_to_read_give_what_is_inside_byte_for_byte(
    output: Path, archive: Path, archive_key: _core.PrivateKey, tmp_path: Path
) -> None:
    inside = [opened_by_hand(row, archive_key) for row in lines_of(output)]
    assert b"".join(inside).isascii()
    assert opened(output, archive) == [json.loads(row) for row in inside]
    to_stdout = open_command(output, "--key-dir", archive)
    assert (to_stdout.returncode, to_stdout.stderr) == (0, b"")
    assert to_stdout.stdout == b"".join(inside)
    plain = tmp_path / "plain.jsonl"
    to_file = open_command(output, "-o", plain, "--private-key", archive / "private_key.pem")
    assert (to_file.returncode, to_file.stdout) == (0, b"")
    assert b"42 rows came out, 0 could not be opened" in to_file.stderr
    assert plain.read_bytes() == b"".join(inside)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600


def test_unsealed_output_is_read_the_same_way(output: Path, archive: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    open_command(output, "-o", plain, "--key-dir", archive)
    assert answers(nomyo.batch.read(plain)) == EXPECTED
    assert open_command(plain).stdout == plain.read_bytes()


# What is done to one line of the output, the second of three, given all three.
ALTERATIONS: dict[str, Callable[[list[bytes]], bytes]] = {
    "given another row's line": lambda rows: re.sub(rb"batch_req_\d+", b"batch_req_99", rows[1]),
    "put in another row's place": lambda rows: rows[1].replace(package_in(rows[1]), package_in(rows[2])),
    "said to have failed": lambda rows: rows[1].replace(b'"error":null', b'"error":{"code":"sealed"}'),
    "with one character changed": lambda rows: flipped(rows[1]),
    "cut in the middle": lambda rows: rows[1][:300] + b"\n",
    "with a package that is none": lambda rows: b'{"id":"batch_req_2","sealed":{},"error":null}\n',
    "that is no row": lambda rows: b"{}\n",
    "that is no text": lambda rows: bytes(range(1, 10)) + bytes(range(200, 256)) + b"\n",
}


def package_in(row: bytes) -> bytes:
    return row[row.index(b'"sealed":') : row.rindex(b',"error"')]


def flipped(row: bytes) -> bytes:
    at = row.index(b'"ciphertext": "') + 40
    return row[:at] + (b"A" if row[at : at + 1] != b"A" else b"B") + row[at + 1 :]


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_altered_row_is_told_by_its_line_and_the_others_come_through(
    alteration: str, output: Path, archive: Path, tmp_path: Path
) -> None:
    rows = lines_of(output)[:3]
    output.write_bytes(rows[0] + ALTERATIONS[alteration](rows) + rows[2])
    good = [EXPECTED[0], EXPECTED[2]]

    iterator = nomyo.batch.read(output, key_dir=archive)
    assert outcome(next(iterator)) == EXPECTED[0]
    with pytest.raises(BatchError, match="line 2 of the output cannot be read") as caught:
        next(iterator)
    assert caught.value.__cause__ is caught.value.__context__ is None
    told: list[nomyo.batch.Damaged] = []
    assert [outcome(row) for row in nomyo.batch.read(output, key_dir=archive, damaged=told.append)] == good
    assert [(row.number, row.torn) for row in told] == [(2, False)]


def test_command_leaves_an_altered_row_out_and_says_so(output: Path, archive: Path, tmp_path: Path) -> None:
    rows = lines_of(output)[:3]
    output.write_bytes(rows[0] + flipped(rows[1]) + rows[2])
    good = [EXPECTED[0], EXPECTED[2]]
    done = open_command(output, "--key-dir", archive)
    assert (done.returncode, [outcome(json.loads(line)) for line in done.stdout.splitlines()]) == (3, good)
    assert b"line 2: " in done.stderr
    assert b"2 rows came out, 1 could not be opened" in done.stderr
    done = open_command(output, "--key-dir", archive, "-o", tmp_path / "plain", "--json")
    assert done.returncode == 3
    outcome_of_all = json.loads(done.stdout)
    assert [row["line"] for row in outcome_of_all.pop("first_damaged")] == [2]
    assert outcome_of_all == {"rows": 2, "damaged": 1, "torn": False}
    assert [outcome(row) for row in rows_of(tmp_path / "plain")] == good


def test_failed_row_cannot_be_made_one_that_succeeded(output: Path, archive: Path) -> None:
    output.write_bytes(output.read_bytes().replace(b'"error":{"code":"sealed"}', b'"error":null'))
    with pytest.raises(BatchError, match="not what was sealed"):
        opened(output, archive)


TEARS: dict[str, Callable[[bytes], bytes]] = {
    "in its last row": lambda content: content[:-300],
    "before its last character": lambda content: content[:-2],
    "by zeros": lambda content: content[:-500] + bytes(500),
}


@pytest.mark.parametrize("tear", TEARS)
def test_row_that_a_kill_tore_loses_nothing_else(tear: str, output: Path, archive: Path) -> None:
    whole = opened(output, archive)
    output.write_bytes(TEARS[tear](output.read_bytes()))
    told: list[nomyo.batch.Damaged] = []
    with pytest.warns(UserWarning, match=f"line {LINES} of the output was left out: the row is torn"):
        assert opened(output, archive) == whole[:-1]
    assert list(nomyo.batch.read(output, key_dir=archive, damaged=told.append)) == whole[:-1]
    assert [(row.number, row.torn) for row in told] == [(LINES, True)]


def test_command_tells_of_a_torn_row_as_no_failure(output: Path, archive: Path, tmp_path: Path) -> None:
    output.write_bytes(output.read_bytes()[:-2])
    done = open_command(output, "--key-dir", archive, "-o", tmp_path / "plain")
    assert (done.returncode, b"the last row is torn" in done.stderr) == (0, True)
    assert answers(rows_of(tmp_path / "plain")) == EXPECTED


def test_another_key_opens_nothing_and_leaves_no_file(
    output: Path, key_directory: Path, client_key: _core.PrivateKey, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.jsonl"
    for told in ("is sealed for SHA256:", "none of 42 rows can be opened; line 1: the package cannot be opened"):
        done = open_command(output, "-o", plain, "--key-dir", key_directory)
        assert (done.returncode, done.stdout) == (1, b"")
        assert told.encode() in done.stderr
        assert (client_key.public_key.fingerprint.encode() in done.stderr) == ("SHA256" in told)
        output.with_name("out.jsonl.batch").unlink(missing_ok=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    with pytest.raises(BatchError, match="line 1 of the output"):
        opened(output, key_directory)


def test_sealed_output_without_a_key_is_wrong_use(output: Path) -> None:
    for _ in range(2):
        done = open_command(output)
        assert (done.returncode, done.stdout) == (2, b"")
        words = b" ".join(done.stderr.split())
        assert b"sealed" in words
        assert b"--key-dir or --private-key is needed" in words
        with pytest.raises(ValueError, match="key_dir or private_key is needed"):
            list(nomyo.batch.read(output))
        output.with_name("out.jsonl.batch").unlink(missing_ok=True)


def test_two_keys_are_wrong_use(output: Path, archive: Path) -> None:
    private = archive / "private_key.pem"
    done = open_command(output, "--key-dir", archive, "--private-key", private, "--json")
    told = json.loads(done.stderr)["error"]
    assert (done.returncode, told["type"]) == (2, "UsageError")
    assert told["message"].endswith("give --key-dir or --private-key, not both")
    with pytest.raises(ValueError, match="not both"):
        nomyo.batch.read(output, key_dir=archive, private_key=private)


def test_private_key_with_a_password_is_opened_by_it_alone(
    output: Path, archive_key: _core.PrivateKey, tmp_path: Path
) -> None:
    directory = tmp_path / "encrypted"
    _core.write_key_directory(directory, archive_key, PASSWORD)
    for name, password in (("right", PASSWORD), ("wrong", "another password")):
        (tmp_path / name).write_text(password + "\n")
        (tmp_path / name).chmod(0o600)
    private_key = ["--private-key", directory / "private_key.pem"]
    for way in (["--key-dir", directory], private_key):
        done = open_command(output, *way, "--password-file", tmp_path / "right")
        assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, LINES, b"")
    done = open_command(output, *private_key, "--password-file", tmp_path / "wrong", "-o", tmp_path / "plain")
    assert (done.returncode, b"wrong password" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "plain").exists()
    done = open_command(output, *private_key, start_new_session=True)
    assert (done.returncode, b"--password-file" in done.stderr) == (2, True), done.stderr
    with in_terminal("batch", "open", str(output), *map(str, private_key), "-o", str(tmp_path / "asked")) as terminal:
        terminal.see("Password of ")
        until(lambda: not terminal.echoes)
        terminal.type(PASSWORD, ENTER)
        assert terminal.end()[0] == 0
    assert len(rows_of(tmp_path / "asked")) == LINES
    assert len(list(nomyo.batch.read(output, key_dir=directory, password=PASSWORD))) == LINES
    with pytest.raises(SecurityError, match="wrong password"):
        nomyo.batch.read(output, key_dir=directory, password="another password")


def test_private_key_that_others_can_read_is_warned_of(
    output: Path, archive_key: _core.PrivateKey, tmp_path: Path
) -> None:
    _core.write_key_directory(tmp_path / "lax", archive_key)
    (tmp_path / "lax" / "private_key.pem").chmod(0o644)
    with pytest.warns(UserWarning, match="can be read or changed by others") as warned:
        rows = nomyo.batch.read(output, key_dir=tmp_path / "lax")
    assert warned[0].filename == __file__
    assert len(list(rows)) == LINES


def test_file_that_is_there_is_never_overwritten(output: Path, archive: Path, tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link"
    precious.write_text("precious")
    link.symlink_to("nowhere")
    before = output.read_bytes()
    for plain in (precious, link, output):
        done = open_command(output, "-o", plain, "--key-dir", archive)
        assert (done.returncode, b"never overwritten" in done.stderr) == (1, True), done.stderr
    assert (precious.read_text(), link.exists(), output.read_bytes()) == ("precious", False, before)
    assert {path.name for path in tmp_path.iterdir()} == {
        "in.jsonl",
        "out.jsonl",
        "out.jsonl.batch",
        "precious",
        "link",
    }


def test_full_disk_leaves_no_file(output: Path, archive: Path, tmp_path: Path) -> None:
    limit = [*LIMITED, "--fsize=5000:5000"]
    words = [*limit, sys.executable, "-m", "nomyo", "batch", "open", str(output), "--key-dir", str(archive)]
    done = subprocess.run([*words, "-o", str(tmp_path / "plain")], capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"File too large" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "plain").exists()


def test_reader_that_goes_away_is_no_traceback(output: Path, archive: Path) -> None:
    words = [sys.executable, "-m", "nomyo", "batch", "open", str(output), "--key-dir", str(archive)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pipesize=4096) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        assert (process.wait(timeout=30), process.stderr.read()) == (1, b"")


def test_terminal_is_shown_control_characters_of_unsealed_rows(tmp_path: Path) -> None:
    output = tmp_path / "plain.jsonl"
    output.write_bytes(b'{"id":"batch_req_1","custom_id":"\x7f[2J","response":{},"error":null}\n')
    with in_terminal("batch", "open", str(output)) as terminal:
        code, text = terminal.end()
    assert (code, "\x7f" in text, "^?[2J" in text) == (0, False, True)


def test_unlocked_memory_is_warned_of_where_rows_are_opened(output: Path, archive: Path) -> None:
    words = [*under_memlock_limit(0), sys.executable, "-m", "nomyo", "batch", "open", str(output)]
    done = subprocess.run([*words, "--key-dir", str(archive)], capture_output=True, timeout=60, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, LINES)
    assert done.stderr.count(b"could not be locked") == 1, done.stderr


@pytest.mark.parametrize("to_the_end", [True, False])
def test_private_key_is_wiped_when_reading_ends(
    to_the_end: bool, output: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[Any] = []
    real = output_reader.open_private_key  # type: ignore[attr-defined]
    monkeypatch.setattr(output_reader, "open_private_key", lambda *given: keys.append(real(*given)) or keys[0])  # type: ignore[func-returns-value]
    rows: Any = nomyo.batch.read(output, key_dir=archive)
    next(rows)
    assert not keys[0].wiped
    if to_the_end:
        list(rows)
    else:
        rows.close()
    assert keys[0].wiped


def test_rows_are_opened_a_few_ahead_only() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = output_reader.map_ahead(lambda number: -number, source())
    assert [next(results) for _ in range(10)] == [-number for number in range(10)]
    assert len(taken) <= 10 + 2 * output_reader._THREADS + 1
    results.close()  # type: ignore[attr-defined]
    assert list(output_reader.map_ahead(lambda number: -number, range(100))) == [-number for number in range(100)]


def test_interruption_leaves_no_file(output: Path, archive: Path, tmp_path: Path) -> None:
    output.write_bytes(output.read_bytes() * 500)  # 20,000 rows, which take seconds
    plain = tmp_path / "plain"
    words = [sys.executable, "-m", "nomyo", "batch", "open", str(output), "-o", str(plain), "--key-dir", str(archive)]
    with subprocess.Popen([*UNHARDENED, *words], stderr=subprocess.PIPE) as process:
        until(lambda: written_bytes(process.pid) > 50_000)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert (process.returncode, b"Traceback" in stderr) == (130, False), stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.batch"]


def written_bytes(pid: int) -> int:
    found = re.search(r"^wchar: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    assert found
    return int(found[1])
