"""Requests and answers as type checkers see them: right programs, and wrong ones that they refuse. Never run.

Each refusal is ignored by a comment; see `misspelt_options.py`, which does the same for the options of clients.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from openai.types.chat import ChatCompletionMessageParam

import nomyo
import nomyo.openai
import nomyo.transports
from nomyo.parameters import AssistantMessage, Message, SecurityTier, UserMessage
from nomyo.responses import ToolCall, Usage

PLAIN = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


async def right_requests(chat: nomyo.SecureChatCompletion, sync: nomyo.SyncSecureChatCompletion) -> None:
    await chat.create(model="m", messages=PLAIN)
    await chat.acreate(model="m", messages=[{"role": "user", "content": "Hello"}], temperature=1, seed=2)
    await chat.create({"model": "m", "messages": PLAIN}, security_tier="maximum", api_key="", base_url="https://r")
    await chat.create(model="m", messages=PLAIN, tools=[TOOL], tool_choice="auto", known_to_this_router={"a": 1})
    sync.create(model="m", messages=PLAIN, response_format={"type": "json_object"}, stop=["a", "b"], stream=True)
    sync.create_many([{"model": "m", "messages": PLAIN}])
    for tier in tiers():
        sync.create_secure(model="m", messages=PLAIN, security_tier=tier)


def tiers() -> list[SecurityTier]:
    return ["standard", "high", "maximum"]


async def wrong_requests(chat: nomyo.SecureChatCompletion, sync: nomyo.SyncSecureChatCompletion) -> None:
    await chat.create(model="m", mesages=PLAIN)  # type: ignore[call-overload]
    await chat.create_secure(model="m", mesages=PLAIN)  # type: ignore[call-overload]
    sync.create(model="m", mesages=PLAIN)  # type: ignore[call-overload]
    sync.create_secure(model="m", mesages=PLAIN)  # type: ignore[call-overload]
    sync.create(messages=PLAIN)  # type: ignore[call-overload]
    sync.create(model="m", messages="Hello")  # type: ignore[arg-type]
    sync.create(model="m", messages=["Hello"])  # type: ignore[list-item]
    sync.create(model="m", messages=PLAIN, temperature="hot")  # type: ignore[call-overload]
    sync.create(model="m", messages=PLAIN, tools=TOOL)  # type: ignore[call-overload]
    await chat.create(model="m", messages=PLAIN, security_tier="top")  # type: ignore[call-overload]
    await chat.create_secure(model="m", messages=PLAIN, security_tier="top")  # type: ignore[call-overload]
    sync.create({"model": "m", "messages": PLAIN}, security_tier="top")  # type: ignore[call-overload]
    sync.create_secure(model="m", messages=PLAIN, security_tier="top")  # type: ignore[call-overload]


async def tier_elsewhere(client: nomyo.SecureCompletionClient, sync: nomyo.SyncSecureCompletionClient) -> None:
    await client.send_secure_request({}, "id", security_tier="high")
    await client.send_secure_request({}, "id", security_tier="top")  # type: ignore[arg-type]
    sync.send_secure_request({}, "id", security_tier="top")  # type: ignore[arg-type]
    nomyo.transports.SecureTransport(security_tier="top")  # type: ignore[arg-type]
    nomyo.transports.AsyncSecureTransport(security_tier="top")  # type: ignore[arg-type]
    nomyo.openai.OpenAI(security_tier="top")  # type: ignore[arg-type]
    nomyo.openai.AsyncOpenAI(security_tier="top")  # type: ignore[arg-type]


def own_messages(record: nomyo.SecureBuffer) -> list[Message]:
    said: UserMessage = {"role": "user", "content": [{"type": "text", "text": record}]}
    answered: AssistantMessage = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}
    UserMessage(role="system", content="")  # type: ignore[typeddict-item]
    return [said, answered, {"role": "tool", "tool_call_id": "a", "content": "sunny"}]


def messages_of_the_sdk(theirs: list[ChatCompletionMessageParam]) -> Sequence[Message]:
    return theirs


def right_answers(response: nomyo.ChatCompletionResponse, reply: nomyo.SecureResponse) -> Sequence[Message]:
    choice = response.choices[0]
    assert_type(choice.message.content, str | None)
    assert_type(choice.finish_reason, str | None)
    assert_type(choice.message.tool_calls, list[ToolCall] | None)
    assert_type(response.usage, Usage | None)
    assert_type(reply.usage, Usage | None)
    assert_type(reply.content, nomyo.SecureBuffer | None)
    assert_type(reply.id, str | None)
    assert_type(response.to_dict(), dict[str, Any])
    assert_type(response.to_json(indent=2), str)
    assert_type(response["choices"], Any)
    response.copy().choices.clear()
    if response.usage is not None:
        assert_type(response.usage.total_tokens, int)
    return [choice.message]


def wrong_answers(response: nomyo.ChatCompletionResponse, reply: nomyo.SecureResponse) -> None:
    _ = response.choises  # type: ignore[attr-defined]
    _ = response.choices[0].mesage  # type: ignore[attr-defined]
    _ = response.choices[0].message.contents  # type: ignore[attr-defined]
    _ = response.content  # type: ignore[attr-defined]
    _ = reply.contents  # type: ignore[attr-defined]
    _ = response.usage.total_tokens  # type: ignore[union-attr]
