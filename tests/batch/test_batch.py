"""`nomyo batch` and `nomyo.batch.run` undisturbed: every row has its outcome, and the exit code says how it went."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo.errors import SecurityError
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import (
    PromptNotingRouter,
    Runner,
    batch,
    command,
    line_of,
    outcome,
    outcomes,
    request,
    rows_of,
    runner,
    write_input,
)
from support.commands import run_here
from support.process import output_of
from support.terminal import in_terminal, plain

CANARY = "canary-prompt-5c1f"


ROWS = 40


@pytest.fixture
def run(router: RunningRouter, key_directory: Path, source: Path, output: Path) -> Runner:
    return runner(source, output, router.url, key_directory)


def echoes(numbers: Any) -> list[Any]:
    return [(f"row-{number}", f"prompt {number} é", None) for number in numbers]


def test_every_row_has_its_answer(run: Any, output: Path) -> None:
    summary = run()
    assert outcomes(output) == echoes(range(40))
    assert (summary.rows, summary.succeeded, summary.failed, summary.done_before, summary.left) == (40, 40, 0, 0, 0)
    assert summary.prompt_tokens == summary.completion_tokens == sum(-(-len(f"prompt {n} é") // 4) for n in range(40))
    assert (
        stat.S_IMODE(output.stat().st_mode) == stat.S_IMODE(output.with_name("out.jsonl.batch").stat().st_mode) == 0o600
    )


def test_bad_rows_become_errors_and_stop_nothing(run: Any, source: Path, output: Path) -> None:
    rows: list[Any] = [request(1), b"{", request(2, url="/v1/embeddings"), b"", request(3, custom_id=None), request(4)]
    write_input(source, rows)
    assert run().failed == 3
    assert outcomes(output) == [
        *echoes([1]),
        (None, None, "invalid_json"),
        ("row-2", None, "invalid_row"),
        (None, None, "invalid_row"),
        *echoes([4]),
    ]
    assert sorted(map(line_of, rows_of(output))) == [1, 2, 3, 5, 6]
    assert [row["error"]["line"] for row in sorted(rows_of(output), key=line_of) if row["error"]] == [2, 3, 5]


def test_row_that_the_router_refuses_is_an_error(run: Any, source: Path, output: Path) -> None:
    refused = request(1)
    refused["body"]["n"] = 100_000
    write_input(source, [refused, request(2)])
    assert run().failed == 1
    assert outcomes(output) == [("row-1", None, "invalid_request_error"), *echoes([2])]
    assert min(rows_of(output), key=line_of)["response"]["status_code"] == 400


def test_same_custom_id_twice_has_two_rows(run: Any, source: Path, output: Path) -> None:
    write_input(source, [request(1), request(2, custom_id="row-1")])
    run()
    assert outcomes(output) == [("row-1", "prompt 1 é", None), ("row-1", "prompt 2 é", None)]


def test_empty_input_has_an_empty_output(run: Any, source: Path, output: Path) -> None:
    source.write_bytes(b"")
    assert run().rows == 0
    assert output.read_bytes() == b""


def test_order_is_kept_where_it_is_asked_for(run: Any, source: Path, output: Path) -> None:
    write_input(source, [request(number) for number in range(100)])
    run(ordered=True)
    assert [outcome(row) for row in rows_of(output)] == echoes(range(100))


def test_rate_is_held(run: Any, source: Path) -> None:
    began = time.monotonic()
    run(rate=100)
    assert time.monotonic() - began >= 39 / 100


def test_concurrency_is_what_was_asked_for(source: Path, output: Path, key_directory: Path) -> None:
    with PromptNotingRouter(delay_s=0.05) as noting:
        options: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        nomyo.batch.run(source, output, concurrency=2, **options)
    assert noting.most == 2


def test_plain_http_is_refused_before_anything_is_written(run: Any, output: Path) -> None:
    with pytest.raises(SecurityError, match="HTTP"):
        run(allow_http=False)
    assert not output.exists()


def test_key_of_the_router_that_matches_no_pin_is_refused_before_anything_is_written(run: Any, output: Path) -> None:
    with pytest.raises(SecurityError):
        run(server_key_fingerprint="SHA256:" + "A" * 43)
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rate": -1}, ValueError),
        ({"rate": float("nan")}, ValueError),
        ({"rate": "2"}, TypeError),
        ({"rate": 0.00001}, ValueError),
        ({"patience": -1}, ValueError),
        ({"patience": float("inf")}, ValueError),
        ({"max_retries": 1.5}, TypeError),
        ({"concurrency": 0}, ValueError),
        ({"no_such_option": 1}, TypeError),
        ({"router_url": "http://127.0.0.1:9"}, TypeError),
        ({"stop": 3}, TypeError),
    ],
    ids=str,
)
def test_option_that_cannot_be_is_refused(run: Any, output: Path, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(**options)
    assert not output.exists()


@pytest.mark.parametrize(("name", "meant"), [("router_url", "base_url"), ("timout", "timeout")])
def test_option_of_another_name_is_refused_with_the_one_that_was_meant(
    source: Path, output: Path, name: str, meant: str
) -> None:
    options: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=rf"^a batch has no option '{name}'\. Did you mean '{meant}'\?$"):
        nomyo.batch.run(source, output, **options)


def test_output_must_not_be_the_input(run: Any, source: Path, output: Path) -> None:
    output.symlink_to(source)
    before = source.read_bytes()
    with pytest.raises(ValueError, match="must not be the input"):
        run()
    assert source.read_bytes() == before


def test_input_must_be_a_file_and_no_pipe(run: Any, source: Path) -> None:
    source.unlink()
    os.mkfifo(source)
    keep_open = os.open(source, os.O_RDWR)
    try:
        with pytest.raises(ValueError, match="not a pipe"):
            run()
    finally:
        os.close(keep_open)


def test_output_must_be_a_file(run: Any, output: Path) -> None:
    os.mkfifo(output)
    reader = os.open(output, os.O_RDWR)
    try:
        with pytest.raises(nomyo.BatchError, match="regular file"):
            run()
    finally:
        os.close(reader)


def test_command_says_how_it_went(router: RunningRouter, source: Path, output: Path, key_directory: Path) -> None:
    options = ["--key-dir", str(key_directory)]
    done = batch(source, output, router.url, *options)
    assert (done.returncode, done.stdout) == (0, "")
    assert "40 rows answered, 0 failed, 0 left" in done.stderr
    again = batch(source, output, router.url, *options, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == {
        "rows": 40, "succeeded": 40, "failed": 0, "done_before": 40, "left": 0, "prompt_tokens": 0,
        "completion_tokens": 0, "reasons": {}, "limit": None, "cost": None,
    }  # fmt: skip


def test_exit_code_tells_that_rows_failed(
    router: RunningRouter, source: Path, output: Path, key_directory: Path
) -> None:
    write_input(source, [b"{", request(1)])
    for reason in ("failed: the line is not JSON", "failed in an earlier run"):
        done = batch(source, output, router.url, "--key-dir", str(key_directory))
        assert done.returncode == 3
        assert "1 row answered, 1 failed, 0 left" in done.stderr
        assert f"nomyo batch:   1 {reason}\n" in done.stderr
        assert f"grep -v '\"error\":null}}$' {output}\n" in done.stderr


def test_missing_input_is_told(router: RunningRouter, source: Path, output: Path) -> None:
    source.unlink()
    done = batch(source, output, router.url)
    assert (done.returncode, "in.jsonl: No such file or directory" in done.stderr) == (1, True)


def test_missing_input_is_told_before_there_is_a_client(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.unlink()
    made: list[object] = []
    monkeypatch.setattr("nomyo.batch.runner.SecureCompletionClient", lambda **options: made.append(options))
    with pytest.raises(FileNotFoundError, match=r"in\.jsonl"):
        nomyo.batch.run(source, output, base_url="http://127.0.0.1:1", allow_http=True)
    assert made == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rate", "inf"], "--rate must lie between"),
        (["--burst", "4"], "--burst goes with a steady rate: --rate is 0"),
        (["--rate", "2", "--burst", "9"], "--burst must be 0, or lie between 2 and 4"),
        (["--server-key-fingerprint", "x"], "--server-key-fingerprint must be"),
        (["-o", "in.jsonl"], "the output must not be the input"),
    ],
    ids=str,
)
def test_wrong_use_is_told_as_such(options: list[str], said: str, router: RunningRouter, source: Path) -> None:
    words = command(source, source.with_name("out"), router.url, *options)[3:]
    in_words = run_here(*words)
    assert (in_words.returncode, said in " ".join(in_words.stderr.split())) == (2, True), in_words.stderr
    as_json = run_here(*words, "--json")
    told = json.loads(as_json.stderr.splitlines()[-1])["error"]
    assert (as_json.returncode, told["type"], said in told["message"]) == (2, "UsageError", True)


def test_output_is_needed(source: Path) -> None:
    words = [sys.executable, "-m", "nomyo", "batch", str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "--output is needed" in done.stderr) == (2, True)


def test_dry_run_counts_and_sends_nothing(source: Path, output: Path, unused_port: int) -> None:
    rows: list[Any] = [
        request(1),
        b"{",
        request(2),
        request(3, custom_id="row-2"),
        request(4, custom_id="row-2"),
        *[b"[]"] * 6,
    ]
    write_input(source, rows)
    url = f"http://127.0.0.1:{unused_port}"
    done = batch(source, output, url, "--dry-run", "--rate", "2", "--json")
    assert (done.returncode, done.stderr, output.exists()) == (3, "", False)
    told = json.loads(done.stdout)
    assert [row["line"] for row in told.pop("first_bad_rows")] == [2, 6, 7, 8, 9]
    assert told == {
        "rows": 11, "bad_rows": 7, "repeated_custom_ids": 2, "prompt_tokens": 4 * len("prompt 1 é") // 4,
        "answer_tokens": 4000, "cost": None, "seconds_at_least": 2.0, "seconds_at_token_rate": None, "exceeded": [],
    }  # fmt: skip
    in_words = batch(source, output, url, "--dry-run", "--rate", "2")
    assert in_words.returncode == 3
    assert "11 rows, 7 of them bad" in in_words.stdout
    assert "line 2: the line is not JSON" in in_words.stdout
    assert "2 s or more" in in_words.stdout


def test_dry_run_of_good_rows_ends_well(source: Path, output: Path) -> None:
    assert batch(source, output, "http://127.0.0.1:9", "--dry-run").returncode == 0


def test_input_called_open_is_named_with_its_directory(tmp_path: Path) -> None:
    write_input(tmp_path / "open", map(request, range(40)))
    words = [sys.executable, "-m", "nomyo", "batch", "./open", "--dry-run"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout.startswith("40 rows")) == (0, True)


def test_terminal_shows_a_bar(router: RunningRouter, source: Path, output: Path, key_directory: Path) -> None:
    words = command(source, output, router.url, "--key-dir", str(key_directory))[3:]
    with in_terminal(*words, columns=120) as terminal:
        code, text = terminal.end()
    shown = plain(text)
    assert code == 0
    assert "40/40" in shown
    assert " tokens" in shown
    assert "0 errors" in shown


def test_narrow_terminal_shows_how_many_and_how_long(
    router: RunningRouter, source: Path, output: Path, key_directory: Path
) -> None:
    words = command(source, output, router.url, "--key-dir", str(key_directory))[3:]
    with in_terminal(*words, columns=40) as terminal:
        _, text = terminal.end()
    assert re.search(r"40/40 ━+ 0:00:00 .*…", plain(text))


def test_terminal_that_cannot_draw_gets_lines(
    router: RunningRouter, source: Path, output: Path, key_directory: Path
) -> None:
    words = command(source, output, router.url, "--key-dir", str(key_directory))[3:]
    with in_terminal(*words, columns=120, env={"TERM": "dumb"}) as terminal:
        _, text = terminal.end()
    assert "nomyo batch: 40 of 40 rows (100.0 %), 0 errors" in plain(text)


def test_progress_holds_no_content(router: RunningRouter, source: Path, output: Path, key_directory: Path) -> None:
    rows: list[Any] = [request(1, custom_id=CANARY), b'{"custom_id": "' + CANARY.encode(), request(2, url=CANARY)]
    rows[0]["body"]["messages"][0]["content"] = CANARY
    write_input(source, rows)
    options = ["--key-dir", str(key_directory)]
    for more in ([], ["--json", "--retry-errors"], ["--dry-run"]):
        done = batch(source, output, router.url, *options, *more, TMPDIR=str(source.parent))
        assert CANARY not in done.stdout + done.stderr
    holders = [path for path in source.parent.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert sorted(holders) == [source, output]


def test_quiet_command_tells_no_progress(
    router: RunningRouter, source: Path, output: Path, key_directory: Path
) -> None:
    done = batch(source, output, router.url, "--key-dir", str(key_directory), "--quiet", "--json")
    assert "rows/s" not in done.stderr


def test_programs_need_no_extra_for_a_batch() -> None:
    without = "import sys; sys.modules.update(dict.fromkeys(['typer', 'rich', 'starlette']))"
    assert output_of(f"{without}; import nomyo.batch; print(nomyo.batch.run.__name__)") == "run\n"


def test_package_need_not_be_imported_by_itself() -> None:
    program = "import nomyo, sys; assert 'nomyo.batch' not in sys.modules; print(nomyo.batch.run.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "run\n", done.stderr
