"""The parameters that the API reference names: each value arrives as it was given, and its answer comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nomyo
from support.faults import FaultyRouter
from support.odd_answers import answer_with, completion
from support.peer import open_with
from support.twins import Twin

MESSAGES = [{"role": "user", "content": "one STOP two END three"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("first", "second")
]
NAMED = {"type": "function", "function": {"name": "second"}}


def asked(twin: Twin, router: FaultyRouter, keys: Path, **parameters: Any) -> tuple[Any, dict[str, Any]]:
    """Return the answer to a request, and what the router opened."""
    chat = twin.chat(router.url, key_dir=keys)
    response = twin.call(chat.create, model="m", messages=MESSAGES, **parameters)
    return response, open_with(router.private_key_pem, router.posts[-1].body)


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ("STOP", "one "),
        (["END", "STOP"], "one "),
        (["END"], "one STOP two "),
        ("nowhere", MESSAGES[0]["content"]),
        (None, MESSAGES[0]["content"]),
    ],
)
def test_stop_is_a_string_or_a_list(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, stop: Any, said: str
) -> None:
    response, opened = asked(twin, faulty_router, key_directory, stop=stop)
    assert opened == {"model": "m", "messages": MESSAGES, "stop": stop}
    assert (response.choices[0].message.content, response.choices[0].finish_reason) == (said, "stop")


@pytest.mark.parametrize("n", [1, 2, 128])
def test_n_choices_come_in_their_order(twin: Twin, faulty_router: FaultyRouter, key_directory: Path, n: int) -> None:
    response, opened = asked(twin, faulty_router, key_directory, n=n)
    assert opened["n"] == n
    assert [choice.index for choice in response.choices] == list(range(n))
    assert {choice.message.content for choice in response.choices} == {MESSAGES[0]["content"]}


@pytest.mark.parametrize(
    ("tool_choice", "called"), [("none", None), ("auto", "first"), ("required", "first"), (NAMED, "second")]
)
def test_every_tool_choice(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, tool_choice: Any, called: str | None
) -> None:
    response, opened = asked(twin, faulty_router, key_directory, tools=TOOLS, tool_choice=tool_choice)
    assert (opened["tools"], opened["tool_choice"]) == (TOOLS, tool_choice)
    choice = response.choices[0]
    assert [call.function.name for call in choice.message.tool_calls or []] == ([called] if called else [])
    assert choice.finish_reason == ("tool_calls" if called else "stop")


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", None, "of another day"])
def test_every_finish_reason(twin: Twin, faulty_router: FaultyRouter, key_directory: Path, reason: str | None) -> None:
    answer = completion({"role": "assistant", "content": "text"})
    answer["choices"][0]["finish_reason"] = reason
    answer_with(faulty_router, answer)
    response, _ = asked(twin, faulty_router, key_directory)
    assert response.choices[0].finish_reason == response["choices"][0]["finish_reason"] == reason


def test_answer_that_reaches_the_limit_says_so(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    response, opened = asked(twin, faulty_router, key_directory, max_tokens=1)
    assert opened["max_tokens"] == 1
    assert (response.choices[0].message.content, response.choices[0].finish_reason) == ("one ", "length")


@pytest.mark.parametrize("tier", [None, ..., "standard", "high", "maximum"])
def test_tier_is_a_header_and_none_is_no_header(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, tier: Any
) -> None:
    given = {} if tier is ... else {"security_tier": tier}
    _, opened = asked(twin, faulty_router, key_directory, **given)
    (post,) = faulty_router.posts
    wanted = [] if tier in (None, ...) else [(b"x-security-tier", tier.encode())]
    assert [header for header in post.raw_headers if header[0].lower() == b"x-security-tier"] == wanted
    assert "security_tier" not in opened


def test_tier_that_there_is_not_is_refused_before_anything_is_sent(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    for tier in ("", "High", "top"):
        with pytest.raises((ValueError, nomyo.SecurityError)):
            asked(twin, faulty_router, key_directory, security_tier=tier)
    assert faulty_router.received == []
