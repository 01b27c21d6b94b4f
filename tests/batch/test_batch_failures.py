"""What fails while a batch runs, and becomes the outcome of a row or the end of the batch."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import nomyo
import nomyo.batch
from nomyo import BatchError, _core
from nomyo.batch import sender
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import EXPECTED, ROWS, PromptNotingRouter, Told, batch, outcomes, request, rows_of, write_input
from support.faults import Answer, FaultyRouter


def test_api_key_that_is_refused_stops_the_batch_at_once(run: Any, faulty_router: Any, output: Path) -> None:
    faulty_router.always(Answer(401), 1000)
    with pytest.raises(BatchError, match=r"HTTP 401.*\): the batch stopped"):
        run()
    assert len(faulty_router.posts) <= 4
    assert output.read_bytes() == b""
    faulty_router.reset()
    assert run().succeeded == ROWS
    assert outcomes(output) == EXPECTED


def test_command_that_had_to_stop_says_why_and_that_it_goes_on(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    faulty_router.always(Answer(401, b'{"detail": "secret words"}'), 1000)
    done = batch(source, output, faulty_router.url, "--key-dir", str(key_directory))
    assert (done.returncode, done.stdout) == (1, "")
    assert "(HTTP 401; by default it is that of NOMYO_API_KEY): the batch stopped, and the same command" in done.stderr
    assert "secret" not in done.stderr
    done = batch(source, output, faulty_router.url, "--key-dir", str(key_directory), "--json")
    assert json.loads(done.stderr.splitlines()[-1])["error"]["status_code"] == 401


def test_address_of_no_router_is_refused_before_anything_is_written(run: Any, faulty_router: Any, output: Path) -> None:
    with pytest.raises(BatchError, match=rf"there is no router at {faulty_router.url}/v2: .*HTTP 404") as caught:
        run(base_url=f"{faulty_router.url}/v2")
    assert caught.value.__context__ is None
    assert not output.exists()


def test_program_that_asks_for_no_progress_finds_in_its_log_why_nothing_happens(
    source: Path, output: Path, key_directory: Path, unused_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {
        "base_url": f"http://127.0.0.1:{unused_port}",
        "allow_http": True,
        "key_dir": key_directory,
    }
    with pytest.raises(BatchError, match="cannot be reached"):
        nomyo.batch.run(source, output, patience=2.5, **options)
    [warning] = [record for record in caplog.records if record.name == "nomyo.batch"]
    assert f"no answer from {options['base_url']}" in warning.getMessage()


@pytest.mark.parametrize("status", [500, 502, 504])
def test_failure_that_may_pass_is_tried_again_so_often(
    status: int, run: Any, faulty_router: Any, output: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sender, "delay_before", lambda *_: 0.0)
    faulty_router.always(Answer(status), 2)
    assert run(concurrency=1, max_retries=1).failed == 1
    assert outcomes(output)[0][0] == "row-0"
    assert outcomes(output)[1:] == EXPECTED[1:]
    assert len(faulty_router.posts) == ROWS + 1


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_refusal_of_one_row_is_its_outcome(status: int, run: Any, faulty_router: Any, output: Path) -> None:
    faulty_router.answers.append(Answer(status))
    assert run(concurrency=1).failed == 1
    row = rows_of(output)[0]
    assert (row["custom_id"], row["response"]["status_code"]) == ("row-0", status)
    assert row["error"]["message"] == "as the test wants it"


@pytest.mark.slow("three timeouts, and the waits between attempts")
def test_row_that_takes_too_long_holds_no_other_up(source: Path, output: Path, key_directory: Path) -> None:
    write_input(source, map(request, range(3)))
    with PromptNotingRouter(delay_s=60) as noting:
        options: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        summary = nomyo.batch.run(source, output, timeout=0.3, max_retries=0, **options)
    assert summary.failed == 3
    assert [code for _, _, code in outcomes(output)] == ["timeout"] * 3


def test_answers_that_are_not_safe_stop_the_batch_when_there_are_no_others(
    run: Any, faulty_router: Any, output: Path
) -> None:
    faulty_router.always(Answer(200, b"{}"), 1000)
    with pytest.raises(BatchError, match="the batch stopped"):
        run()
    written = rows_of(output)
    assert len(written) < sender.SUSPICIOUS_WITHOUT_ANSWER
    assert {row["error"]["code"] for row in written} == {"security_error"}
    faulty_router.reset()
    assert run(retry_errors=True).succeeded == ROWS


def test_answer_that_is_not_safe_is_the_outcome_of_its_row(run: Any, faulty_router: Any, output: Path) -> None:
    """There are more in all than would stop the batch, and never so many in a row."""
    answers = 0

    def change(body: bytes) -> bytes:
        nonlocal answers
        answers += 1
        return body if answers % 16 == 0 else b"{}"

    faulty_router.change = change
    assert run(concurrency=1).failed == ROWS - ROWS // 16
    assert [code for _, _, code in outcomes(output)].count("security_error") == ROWS - ROWS // 16


def test_failure_holds_nothing_of_the_rows(run: Any, faulty_router: Any) -> None:
    faulty_router.always(Answer(401, b'{"detail": "secret words"}'), 1000)
    with pytest.raises(BatchError) as caught:
        run()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    trace = caught.value.__traceback__
    while trace is not None:
        if "/nomyo/batch/" in trace.tb_frame.f_code.co_filename and trace.tb_frame.f_code.co_name != "run":
            assert "prompt" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


def test_stop_from_within_lets_the_rest_be(run: Any, output: Path) -> None:
    stop = nomyo.batch.Stop()

    class StopAtFive(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == 5:
                stop()

    summary = run(stop=stop, progress=StopAtFive())
    assert 5 <= summary.succeeded <= 5 + 2 * 4
    assert summary.left == ROWS - summary.succeeded
    assert run().left == 0
    assert outcomes(output) == EXPECTED


def test_stop_before_the_start_sends_nothing(run: Any, faulty_router: Any) -> None:
    stop = nomyo.batch.Stop()
    stop()
    assert run(stop=stop).left == ROWS
    assert faulty_router.posts == []


def test_cancelled_run_leaves_an_output_that_goes_on(
    router: RunningRouter, source: Path, output: Path, key_directory: Path
) -> None:
    options: dict[str, Any] = {"base_url": router.url, "allow_http": True, "key_dir": key_directory}

    async def cancelled() -> None:
        task = asyncio.create_task(nomyo.batch.run_async(source, output, concurrency=2, **options))
        while not (output.exists() and output.stat().st_size):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert 0 < len(rows_of(output)) < ROWS
    assert nomyo.batch.run(source, output, **options).left == 0
    assert outcomes(output) == EXPECTED


def test_wrong_password_fails_before_the_first_row(run: Any, output: Path, tmp_path: Path) -> None:
    _core.write_key_directory(tmp_path / "keys", _core.PrivateKey.generate(2048), password="the right one")
    with pytest.raises(nomyo.SecurityError):
        run(key_dir=tmp_path / "keys", key_rotation_password="a wrong one")
    assert not output.exists()
