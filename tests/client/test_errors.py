"""What every error has in common, whoever raised it: one handler serves them all."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

import nomyo
from support.faults import FaultyRouter
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello!"}]
ERRORS: list[type[nomyo.NomyoError]] = [
    value
    for name in nomyo.__all__
    if isinstance(value := getattr(nomyo, name), type) and issubclass(value, nomyo.NomyoError)
]
STATUSES = {
    "InvalidRequestError": 400,
    "AuthenticationError": 401,
    "ForbiddenError": 403,
    "RateLimitError": 429,
    "ServerError": 500,
    "ServiceUnavailableError": 503,
}


@pytest.mark.parametrize("error_class", ERRORS)
def test_error_has_a_message_a_status_and_details(error_class: type[Any]) -> None:
    error = error_class("the words")

    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(same) is error_class
        assert same.message == str(same) == "the words"
        assert same.status_code == STATUSES.get(error_class.__name__)
        assert same.error_details is None


def test_status_and_details_that_came_are_kept() -> None:
    error = nomyo.APIError("the words", 418, {"detail": "the words"})

    assert (error.message, error.status_code, error.error_details) == ("the words", 418, {"detail": "the words"})
    assert nomyo.BatchError("stopped", status_code=402).status_code == 402


def test_errors_of_the_native_core_have_them_too(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, unused_port: int
) -> None:
    faulty_router.change = lambda body: body[:-40] + b'"}'
    chat = twin.chat(faulty_router.url, key_dir=key_directory, max_retries=0)
    away = twin.chat(f"http://127.0.0.1:{unused_port}", key_dir=key_directory, max_retries=0)
    disposed = twin.chat(faulty_router.url, key_dir=key_directory)
    disposed.dispose()

    for client, expected in ((chat, "SecurityError"), (away, "APIConnectionError"), (disposed, "DisposedError")):
        with pytest.raises(nomyo.NomyoError) as raised:
            twin.call(client.create, model="m", messages=HELLO)

        assert type(raised.value).__name__ == expected
        assert raised.value.message == str(raised.value) != ""
        assert raised.value.status_code is None
        assert raised.value.error_details is None
