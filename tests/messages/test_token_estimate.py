"""The estimate of tokens: near what a real tokenizer counts, and honest about what nobody can count here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nomyo.anthropic_form.messages_form import TokenCountForm
from nomyo.anthropic_form.token_estimate import MEDIUM_TOKENS, MESSAGE_TOKENS, estimated_tokens, text_tokens

# Texts, and how many tokens Qwen's tokenizer counts in each (tests/support/token_error.py has it from PyPI).
COUNTED: dict[str, tuple[str, int]] = json.loads((Path(__file__).parent / "token_counts.json").read_text())
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K" * 1000}}


def _count(**fields: Any) -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return estimated_tokens(TokenCountForm().read(json.dumps(body).encode(), []).payload)


@pytest.mark.parametrize("name", COUNTED)
def test_estimate_is_near_what_a_real_tokenizer_counts(name: str) -> None:
    text, counted = COUNTED[name]

    assert text_tokens(text) == pytest.approx(counted, rel=0.25)


def test_nothing_has_no_tokens_and_any_text_can_be_counted() -> None:
    assert text_tokens("") == 0
    assert text_tokens("\ud800 \x00 \U0010ffff") >= 1


def test_everything_that_the_model_reads_is_counted() -> None:
    call = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Bonn" * 50}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "12 degrees " * 50}
    conversation: list[Any] = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": [call]}]
    conversation.append({"role": "user", "content": [result]})
    hello = _count()

    assert hello == 2 * MESSAGE_TOKENS + text_tokens("Hello")
    assert _count(system="Be brief.") > hello + MESSAGE_TOKENS
    assert _count(tools=[TOOL]) > hello + 10
    assert _count(messages=conversation) > hello + text_tokens("12 degrees " * 50 + "Bonn" * 50)


def test_image_counts_the_same_whatever_its_size() -> None:
    with_image = _count(messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}, IMAGE]}])

    assert with_image == _count() + MEDIUM_TOKENS
