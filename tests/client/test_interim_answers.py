"""Interim answers (1xx) before an answer: a few are passed over, and nobody reads on where they come without an end."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo.serve.router.running import RunningRouter
from support.silent import scene_of
from support.twins import Twin

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
PAYMENT = b"HTTP/1.1 402 Payment Required\r\nContent-Length: 0\r\n\r\n"
TIMEOUT_S = 60.0


@pytest.mark.parametrize("count", [1, 100])
def test_few_interim_answers_are_passed_over(
    twin: Twin, router: RunningRouter, key_directory: Path, count: int
) -> None:
    def answer(connection: socket.socket, _left: threading.Event) -> None:
        connection.sendall(INTERIM * count + PAYMENT)

    with scene_of(router.url, answer) as scene:
        chat = twin.chat(scene.url, key_dir=key_directory)
        with pytest.raises(nomyo.APIError) as raised:
            twin.call(chat.create, model="m", messages=HELLO)
    assert raised.value.status_code == 402


@pytest.mark.parametrize("each", [INTERIM, INTERIM * 1000], ids=["one by one", "many at once"])
def test_interim_answers_without_an_end_are_left_before_the_timeout(
    twin: Twin, router: RunningRouter, key_directory: Path, each: bytes
) -> None:
    def answer(connection: socket.socket, left: threading.Event) -> None:
        connection.settimeout(TIMEOUT_S)  # a client on a busy machine may read late
        while not left.is_set():
            connection.sendall(each)
            time.sleep(0.001)

    with scene_of(router.url, answer) as scene:
        chat = twin.chat(scene.url, key_dir=key_directory, timeout=TIMEOUT_S, max_retries=0)
        # Not "timed out", which a client says that reads on to the end of its time.
        with pytest.raises(nomyo.APIConnectionError, match="more than 100 interim answers"):
            twin.call(chat.create, model="m", messages=HELLO)
