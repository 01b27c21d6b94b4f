"""The sync clients wait without a bound for nothing either; see `test_silent_phases.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

import nomyo
import nomyo.openai
from nomyo.serve.router.running import RunningRouter
from nomyo.transports import SecureTransport
from support.silent import BEFORE_SENT, LARGE, LATEST_S, TIMEOUT_S, Scene, slow_reader


def failure_of(ask: Callable[[], Any], latest_s: float = LATEST_S) -> BaseException:
    """Return what a request fails with, which must come soon."""
    began_s = time.monotonic()
    with pytest.raises(Exception) as raised:
        ask()
    assert time.monotonic() - began_s < latest_s
    return raised.value


def test_phase_of_a_sync_request_ends_in_time_and_is_tried_again(
    phase: str, silent_scene: Scene, impatient: dict[str, Any], sleeps: list[float]
) -> None:
    with nomyo.SyncSecureChatCompletion(silent_scene.url, **{**impatient, "max_retries": 1}) as chat:
        failure = failure_of(lambda: chat.create(model="m", messages=LARGE), 2 * LATEST_S)
    assert isinstance(failure, nomyo.APIConnectionError)
    assert (failure.timed_out, failure.sent) == (True, phase not in BEFORE_SENT)
    assert sleeps == [1.0]


def test_phase_of_the_sync_sdks_request_ends_in_time(silent_scene: Scene, impatient: dict[str, Any]) -> None:
    with nomyo.openai.OpenAI(api_key="a-key", base_url=silent_scene.url, **impatient) as client:
        failure = failure_of(lambda: client.chat.completions.create(model="m", messages=LARGE))
    assert isinstance(failure, openai.APITimeoutError)


def test_phase_of_a_sync_transports_request_ends_within_the_time_of_the_call(
    silent_scene: Scene, impatient: dict[str, Any]
) -> None:
    transport = SecureTransport(silent_scene.url, allow_http=True, key_dir=impatient["key_dir"])
    with httpx.Client(transport=transport, timeout=60) as client:
        url, body = f"{silent_scene.url}/v1/chat/completions", {"model": "m", "messages": LARGE}
        failure = failure_of(lambda: client.post(url, json=body, timeout=TIMEOUT_S))
    assert isinstance(failure, httpx.TimeoutException), failure


def test_body_that_a_router_reads_slowly_goes_out_however_long_it_takes(
    router: RunningRouter, impatient: dict[str, Any]
) -> None:
    with (
        slow_reader(router.url, pause_s=0.01) as scene,
        nomyo.SyncSecureChatCompletion(scene.url, **impatient) as chat,
    ):
        began_s = time.monotonic()
        failure = failure_of(lambda: chat.create(model="m", messages=LARGE), 30.0)
    assert isinstance(failure, nomyo.APIError)
    assert failure.status_code == 402
    assert time.monotonic() - began_s > 2 * TIMEOUT_S
