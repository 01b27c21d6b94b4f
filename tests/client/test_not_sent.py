"""Whether a request may have left: what decides if it may be billed, and if a failure can be its own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import nomyo
from nomyo.exchange.effects import NetworkFailure, Request, Timeouts
from support.faults import Answer, FaultyRouter, deaf_host
from support.twins import Twin
from support.waiting import until


def failure(twin: Twin, url: str) -> NetworkFailure:
    """Return what comes of a request, in one attempt."""
    http = twin.client(url)._http
    request = Request("POST", url, {}, b"x", 1000, Timeouts(0.3, 0.3, 0.3))
    outcome = twin.call(http.send, request)
    assert isinstance(outcome, NetworkFailure)
    return outcome


def test_refused_connection_sent_nothing(twin: Twin, unused_port: int) -> None:
    refused = failure(twin, f"http://127.0.0.1:{unused_port}")
    assert (refused.connected, refused.timed_out) == (False, False)
    assert refused.reason == "Connection refused: no program listens there"


def test_host_without_a_name_was_sent_nothing(twin: Twin) -> None:
    assert not failure(twin, "http://nobody.invalid").connected


def test_host_that_takes_no_connection_was_sent_nothing(twin: Twin) -> None:
    with deaf_host() as url:
        timed_out = failure(twin, url)
    assert (timed_out.connected, timed_out.timed_out) == (False, True)


def test_answer_that_does_not_come_leaves_open_what_was_sent(twin: Twin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        timed_out = failure(twin, f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert (timed_out.connected, timed_out.timed_out) == (True, True)


def test_connection_that_is_lost_leaves_open_what_was_sent(twin: Twin, faulty_router: FaultyRouter) -> None:
    faulty_router.path = "/"
    faulty_router.answers.append(Answer(200, headers={"content-length": "1000"}))  # and then the connection ends
    lost = failure(twin, f"{faulty_router.url}/")
    assert (lost.connected, lost.timed_out) == (True, False)


def test_error_says_whether_the_prompt_was_sent(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, unused_port: int
) -> None:
    messages = [{"role": "user", "content": "x"}]
    away = twin.chat(f"http://127.0.0.1:{unused_port}", key_dir=key_directory, max_retries=0)
    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(away.create, model="m", messages=messages)
    assert not raised.value.sent

    lost = twin.chat(faulty_router.url, key_dir=key_directory, max_retries=0)
    faulty_router.answers.append(Answer(200, headers={"content-length": "1000"}))
    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(lost.create, model="m", messages=messages)
    assert raised.value.sent
    until(lambda: len(faulty_router.posts) == 1)


def test_key_that_does_not_come_says_that_no_prompt_was_sent(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    """The router was asked for its key, and for nothing else."""
    faulty_router.path = "/pki/public_key"
    faulty_router.answers.append(Answer(200, headers={"content-length": "1000"}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, max_retries=0)
    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(chat.create, model="m", messages=[{"role": "user", "content": "x"}])
    assert not raised.value.sent
