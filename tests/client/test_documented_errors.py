"""The error handler of the JavaScript client's documents, as it stands, in Python: each branch of it is reached."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import pytest

import nomyo
from nomyo import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ForbiddenError,
    InvalidRequestError,
    RateLimitError,
    SecureChatCompletion,
    SecurityError,
    ServerError,
    ServiceUnavailableError,
    SyncSecureChatCompletion,
)
from support.documented import MODEL
from support.faults import Answer, FaultyRouter

pytestmark = pytest.mark.usefixtures("service")


@dataclass(frozen=True)
class Failure:
    """What goes wrong, and what the page's handler then prints."""

    printed: str
    answer: Answer | None = None
    api_key: str = "a-key"
    tier: str | None = None
    away: bool = False
    damage: bool = False


FAILURES = {
    "authentication": Failure("Bad API key:", api_key="unknown-key"),
    "rate limit": Failure("Rate limit exceeded after retries:", Answer(429)),
    "forbidden": Failure("Forbidden:", tier="maximum"),
    "bad request": Failure("Bad request:", Answer(400)),
    "server error": Failure("Server error (retries exhausted):", Answer(500)),
    "service unavailable": Failure("Server error (retries exhausted):", Answer(503)),
    "no connection": Failure("Network error (retries exhausted):", away=True),
    "opening": Failure("Encryption/decryption failure:", damage=True),
}


def handled(err: Exception) -> str:
    """Return what the page's handler prints: each `except` branch of it."""
    try:
        raise err
    except AuthenticationError as error:
        return f"Bad API key: {error.message}"
    except RateLimitError as error:
        return f"Rate limit exceeded after retries: {error.message}"
    except ForbiddenError as error:
        return f"Forbidden: {error.message}"
    except InvalidRequestError as error:
        return f"Bad request: {error.message}"
    except (ServerError, ServiceUnavailableError) as error:
        return f"Server error (retries exhausted): {error.message}"
    except APIConnectionError as error:
        return f"Network error (retries exhausted): {error.message}"
    except SecurityError as error:
        return f"Encryption/decryption failure: {error.message}"


async def ask_async(request: dict[str, Any]) -> None:
    async with SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"]) as client:
        await client.create(request)


def ask_sync(request: dict[str, Any]) -> None:
    with SyncSecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"]) as client:
        client.create(request)


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("ask", [lambda request: asyncio.run(ask_async(request)), ask_sync], ids=["async", "sync"])
def test_each_branch_of_the_error_handler_is_reached(
    ask: Any,
    failure: Failure,
    service: FaultyRouter,
    sleeps: list[float],
    unused_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOMYO_API_KEY", failure.api_key)
    if failure.answer is not None:
        service.always(failure.answer)
    if failure.away:
        monkeypatch.setenv("NOMYO_BASE_URL", f"https://127.0.0.1:{unused_port}")
    if failure.damage:
        service.change = lambda body: body.replace(b'"ciphertext"', b'"ciphertext" ').replace(b"a", b"b", 40)
    model = "another-model" if failure.tier else MODEL
    request = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "security_tier": failure.tier}

    with pytest.raises(nomyo.NomyoError) as raised:
        ask(request)

    error = raised.value
    assert handled(error) == f"{failure.printed} {error.message}"
    assert error.message
    if isinstance(error, APIError):
        assert error.status_code in (400, 401, 403, 429, 500, 503)
        assert isinstance(error.error_details, dict)
    else:
        assert (error.status_code, error.error_details) == (None, None)


def test_other_errors_are_raised_again(service: FaultyRouter) -> None:
    service.answers.append(Answer(404))

    with pytest.raises(APIError) as raised:
        ask_sync({"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}]})
    with pytest.raises(APIError) as again:
        handled(raised.value)

    assert type(again.value) is APIError
    assert again.value.status_code == 404
