"""What ends a batch before a row is at fault: a wrong address, no key of the router's, an account that is refused."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo._plurals import counted
from nomyo.batch import sender
from nomyo.batch.admission import Outage
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.records import Row
from nomyo.batch.sender import REFUSED_WITHOUT_ANSWER, NotSent, Sender
from nomyo.errors import APIConnectionError, APIError, ConfigurationError, ServerError
from nomyo.responses import ChatCompletionResponse
from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support import silent
from support.batch_scene import EXPECTED, ROWS, Told, command, outcomes, request, rows_of, write_input
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.tls import Authority
from support.virtual_time import VirtualClock

GOES_ON = "the batch stopped, and the same command goes on"


async def lives() -> bool:
    return True


def stopped_after(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, reached: bool = False, key: bool = False
) -> tuple[float, BatchError | None]:
    """Return how long a batch goes on while nothing but an error comes, by a fake clock, and why it stops."""
    clock = VirtualClock()
    monkeypatch.setattr(sender, "Outage", lambda: Outage(clock))
    monkeypatch.setattr(sender, "time", SimpleNamespace(monotonic=lambda: clock.seconds))

    async def fails(*_: Any) -> Any:
        raise error

    async def answers(_: Any) -> ChatCompletionResponse:
        return ChatCompletionResponse()

    async def scene() -> BatchError | None:
        governor = Governor(Limits(requests_per_s=0), clock=clock)
        options: dict[str, Any] = {"max_retries": 0, "patience_s": 7200.0, "report": lambda _: None}
        if key:
            options["server_key"] = fails
        one = Sender(answers if key else fails, governor, lives, **options)
        one.reached = reached
        outcomes = await asyncio.gather(*(one.send(Row(line, "x", {})) for line in range(1, 5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NotSent] * 4
        return one.failure

    failure = clock.run(scene())
    return clock.seconds, failure


PAGE = b"<html><body>Log in, please</body></html>"
REFUSED = APIConnectionError("no answer from https://example.invalid (1 attempt): Connection refused", sent=False)
UNTRUSTED = APIConnectionError("the certificate was refused: self-signed", sent=False, untrusted=True)


def test_address_at_which_nobody_answers_ends_the_batch_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    took, failure = stopped_after(monkeypatch, REFUSED)
    assert 60 <= took <= 70
    assert "Connection refused" in str(failure)
    took, _ = stopped_after(monkeypatch, REFUSED, reached=True)
    assert 7000 <= took <= 7200


def test_certificate_that_is_refused_ends_the_batch_at_once_if_nobody_ever_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert stopped_after(monkeypatch, UNTRUSTED)[0] == 0
    assert stopped_after(monkeypatch, UNTRUSTED, reached=True)[0] > 7000  # it is being renewed


@pytest.mark.parametrize("key", [False, True])
def test_setting_of_this_machine_ends_the_batch_at_once_by_name(key: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ConfigurationError("SSL_CERT_FILE=/no/such: no such file")
    took, failure = stopped_after(monkeypatch, fault, reached=True, key=key)
    assert (took, str(failure).startswith("SSL_CERT_FILE=/no/such: no such file: the batch stopped")) == (0, True)


def test_key_that_fails_before_the_first_answer_ends_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopped_after(monkeypatch, ServerError("", sent=False), key=True)[0] == 0
    assert stopped_after(monkeypatch, APIError("", 502, sent=False), key=True)[0] > 7000


@pytest.mark.parametrize("options", [{}, {"server_key_ttl": 0, "patience": 5}], ids=["", "a key for each row"])
@pytest.mark.parametrize("host", ["127.0.0.1", "a-name-that-is-none.invalid"])
def test_wrong_host_is_told_with_its_address(
    host: str, options: dict[str, Any], run: Any, unused_port: int, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    if host != "127.0.0.1":
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(sender, "FIRST_PATIENCE_S", 0.5)
    told = Told()
    with pytest.raises(BatchError, match=f"cannot be reached .*{host}:{unused_port}.*{GOES_ON}"):
        run(base_url=f"http://{host}:{unused_port}", progress=told, **options)
    assert told.words[0].endswith(": waiting, for 0 s at most")  # a try after the pause would come later
    assert output.read_bytes() == b""


def test_certificate_of_a_stranger_is_refused_before_anything_is_written(
    tls_authority: Authority, run: Any, output: Path
) -> None:
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    running = RunningRouter(RouterConfig(key_bits=2048, listener=listener))
    with running, pytest.raises(BatchError, match=r"https://.*the certificate was refused.*the batch did not begin"):
        run(base_url=running.url, allow_http=False)
    assert not output.exists()


# What the router says to the request for its key


def no_key(address: str, status: int) -> str:
    """Return a pattern for what a batch says of an address that gives no key."""
    if status in (401, 403, 407):
        return rf"something before the router at {address} refused \(HTTP {status}\); the address may be right: "
    if status == 500:
        return rf"{address} has no public key to give \(HTTP 500\)$"
    return rf"there is no router at {address}: .*HTTP {status}\)? instead of a public key; "


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 407, 410, 500, 501, 511])
def test_address_that_gives_no_key_is_told_before_anything_is_written(
    status: int, run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    faulty_router.by_path[PUBLIC_KEY] = deque([Answer(status)] * 10)
    with pytest.raises(BatchError, match=no_key(faulty_router.url, status)) as caught:
        run()
    assert caught.value.status_code == status
    assert not output.exists()


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 405, 407])
def test_key_that_is_refused_midway_ends_the_batch_and_fails_no_row(
    status: int, run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    class Refuses(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == 5:
                faulty_router.by_path[PUBLIC_KEY] = deque([Answer(status, PAGE)] * 100)

    words = rf"{no_key(faulty_router.url, status)}.*: {GOES_ON}"
    with pytest.raises(BatchError, match=words) as caught:
        run(server_key_ttl=0.001, progress=Refuses(), max_retries=0)
    assert caught.value.status_code == (None if status == 200 else status)
    assert [row["error"] for row in rows_of(output)] == [None] * len(rows_of(output))
    faulty_router.reset()
    assert run().failed == 0
    assert outcomes(output) == EXPECTED


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 507, 520, 527])
@pytest.mark.usefixtures("short_pauses")
def test_key_that_is_refused_for_a_while_is_waited_for_and_fails_no_row(
    status: int, run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    faulty_router.by_path[PUBLIC_KEY] = deque([Answer(status)] * 12)
    assert run(server_key_ttl=0.001, limits=Limits(requests_per_s=0, cool_down_s=0), max_retries=0).failed == 0
    assert outcomes(output) == EXPECTED
    assert not faulty_router.by_path[PUBLIC_KEY]


# An account that is refused


@pytest.mark.parametrize("status", [402, 403])
def test_account_that_is_refused_ends_the_batch_before_a_row_fails(
    status: int, run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    for options in ({}, {"concurrency": 1}, {"ordered": True}):
        faulty_router.always(Answer(status), 1000)
        output.unlink(missing_ok=True)
        faulty_router.received = []
        with pytest.raises(
            BatchError, match=rf"refused 1\d rows, and answered none since \(HTTP {status}\): {GOES_ON}"
        ) as caught:
            run(**options)
        assert caught.value.status_code == status
        assert len(faulty_router.posts) <= REFUSED_WITHOUT_ANSWER + 4
        assert output.read_bytes() == b""
        faulty_router.reset()
        assert run(**options).failed == 0


def test_account_that_has_nothing_left_midway_ends_the_batch_before_a_row_fails(
    run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    class Spends(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == 5:
                faulty_router.always(Answer(402), 1000)

    with pytest.raises(BatchError, match=r"refused 1\d rows, and answered none since \(HTTP 402\)"):
        run(progress=Spends(), concurrency=1)
    assert [row["error"] for row in rows_of(output)] == [None] * len(rows_of(output))


def test_model_that_is_refused_among_answers_of_others_is_its_rows_outcome(
    run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    class Refuses(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == 1:
                faulty_router.always(Answer(403), 2 * REFUSED_WITHOUT_ANSWER)

    assert run(progress=Refuses(), concurrency=1).failed == 2 * REFUSED_WITHOUT_ANSWER


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("status", [402, 403])
def test_few_rows_that_are_all_refused_end_the_batch_and_stay_to_be_done(
    status: int, rows: int, run: Any, faulty_router: FaultyRouter, source: Path, output: Path
) -> None:
    """Whether the account is at fault or the only row, of a model that is not allowed, nobody can tell."""
    write_input(source, map(request, range(rows)))
    faulty_router.always(Answer(status))
    words = rf"answered nothing, and refused {counted(rows, 'row')} \(HTTP {status}\): {GOES_ON}"
    with pytest.raises(BatchError, match=words) as caught:
        run()
    assert caught.value.status_code == status
    assert output.read_bytes() == b""
    faulty_router.reset()
    assert run().failed == 0
    assert outcomes(output) == EXPECTED[:rows]


def test_last_rows_of_a_model_that_is_refused_fail_where_an_earlier_run_was_answered(
    run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    """Each further run would stop at them otherwise."""
    run()
    output.write_bytes(b"".join(output.read_bytes().splitlines(keepends=True)[:-3]))
    faulty_router.always(Answer(403))
    assert run().failed == 3


def test_last_rows_that_are_not_paid_for_stay_to_be_done_where_an_earlier_run_was_answered(
    run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    run()
    output.write_bytes(b"".join(output.read_bytes().splitlines(keepends=True)[:-3]))
    faulty_router.always(Answer(402))
    with pytest.raises(BatchError, match=r"answered nothing, and refused 3 rows \(HTTP 402\)"):
        run()
    faulty_router.reset()
    assert run().failed == 0
    assert outcomes(output) == EXPECTED


@pytest.mark.parametrize("status", [402, 403])
def test_rows_that_were_refused_before_a_stop_stay_to_be_done(
    status: int, run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    stop = nomyo.batch.Stop()

    class Stops(Told):
        def row(self, **_: Any) -> None:
            stop()

    faulty_router.answers.extend([Answer(status)] * 3 + [Answer(400)] + [Answer(status)] * 5)
    summary = run(stop=stop, progress=Stops(), concurrency=1)
    assert (summary.failed, summary.left) == (1, ROWS - 1)
    assert [row["response"]["status_code"] for row in rows_of(output)] == [400]


def test_rows_that_are_refused_without_an_answer_count_also_with_other_failures_between(
    run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    faulty_router.answers.extend([Answer(402), Answer(402), Answer(400)] * 20)
    with pytest.raises(BatchError, match=r"refused 10 rows, and answered none since \(HTTP 402\)"):
        run(concurrency=1)
    assert [row["response"]["status_code"] for row in rows_of(output)] == [400] * 4


# Signals while nothing but a request for the key is under way


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_key_is_asked_for_ends_the_batch_within_a_second(
    number: signal.Signals, source: Path, output: Path, key_directory: Path
) -> None:
    asked = threading.Event()

    def never_answers(talk: socket.socket, left: threading.Event) -> None:
        asked.set()
        left.wait()

    with silent.serving(never_answers) as port:
        words = command(source, output, f"http://127.0.0.1:{port}", "--key-dir", str(key_directory))
        started = time.monotonic()
        with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
            assert asked.wait(30)
            start_s = time.monotonic() - started
            time.sleep(0.2)
            process.send_signal(number)
            began = time.monotonic()
            _, stderr = process.communicate(timeout=30)
            took_s = time.monotonic() - began
    assert (process.returncode, f"{ROWS} left".encode() in stderr) == (130, True), stderr
    # The interpreter's end is part of it. On a busy machine it takes longer, and so does its start: some 0.4 s.
    assert took_s < max(2, 4 * start_s)


def test_stop_while_rows_wait_for_a_newer_key_is_heard_at_once() -> None:
    async def never(*_: Any) -> Any:
        await asyncio.sleep(600)

    async def scene() -> Any:
        one = Sender(
            never,
            Governor(Limits(requests_per_s=0)),
            lives,
            max_retries=0,
            patience_s=1,
            report=lambda _: None,
            server_key=never,
        )
        rows = [asyncio.create_task(one.send(Row(line, "x", {}))) for line in (1, 2)]
        await asyncio.sleep(0.05)
        one.stop()
        return await asyncio.wait_for(asyncio.gather(*rows, return_exceptions=True), 1)

    assert [type(outcome) for outcome in asyncio.run(scene())] == [NotSent] * 2
