"""The items of a request as messages of a chat.

- Reasoning, a message of the assistant and the calls that follow are one message of a chat, in which a model says all
  of it at once.
- The instructions, and messages of the system or the developer at the beginning, are one system message: many models
  know no role `developer`, and no second system message.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from ..._finite_json import utf8_json
from .fields import Fields, list_at, malformed, name_in, object_at, text_in
from .parts import Content, as_content, content_at, kind_of
from .tools import INPUT, ToolName

Message = dict[str, Any]
_ROLES: Final = ("user", "assistant", "system", "developer")


def messages_of(given: Any, instructions: Any) -> list[Message]:
    """Return the messages of a request.

    Args:
        given: The request's `input`.
        instructions: Those of the request, or None.

    Raises:
        MalformedRequestError: An item is malformed, unknown, or kept on another server.
    """
    if instructions is not None and not isinstance(instructions, str):
        raise malformed("instructions", "must be a string")
    chat = _Chat()
    if instructions:
        chat.say({"role": "system", "content": instructions})
    if isinstance(given, str):
        chat.say({"role": "user", "content": given})
    elif isinstance(given, list) and given:
        for place, each in enumerate(given):
            path = f"input[{place}]"
            _add_item(chat, object_at(each, path), path)
    else:
        raise malformed("input", "must be a string or a non-empty list of items")
    return _with_one_system(chat.whole())


class _Chat:
    """Puts messages together from items."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._turn: Message | None = None
        self._reasons: list[str] = []
        self._called: set[str] = set()

    def say(self, message: Message) -> None:
        self._end_turn()
        self._messages.append(message)

    def reason(self, text: str) -> None:
        self._turn_without("content", "refusal", "tool_calls")
        self._reasons.append(text)

    def answer(self, fields: Message) -> None:
        self._turn_without("content", "refusal", "tool_calls").update(fields)

    def call(self, call_id: str, name: str, arguments: str) -> None:
        self._called.add(call_id)
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        self._turn_without().setdefault("tool_calls", []).append(call)

    def was_called(self, call_id: str) -> bool:
        return call_id in self._called

    def whole(self) -> list[Message]:
        self._end_turn()
        return self._messages

    def _turn_without(self, *names: str) -> Message:
        """Return the message that the assistant is saying; a new one if it has one of some fields already."""
        if self._turn is not None and any(name in self._turn for name in names):
            self._end_turn()
        if self._turn is None:
            self._turn = {"role": "assistant"}
        return self._turn

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        reasons, self._reasons = self._reasons, []
        if turn is not None:
            empty = None if "tool_calls" in turn or "refusal" in turn else ""
            reasoned = {"reasoning_content": "\n\n".join(reasons)} if reasons else {}
            self._messages.append({"role": "assistant", "content": empty, **reasoned, **turn})


def _add_item(chat: _Chat, item: Fields, path: str) -> None:
    if item.get("type") is None and "role" in item:  # the short form of a message
        _add_message(chat, item, path)
        return
    if item.get("type") == "item_reference":
        raise malformed(f"{path}.type", "is item_reference: nothing is kept here to refer to, so send the item itself")
    _ITEMS[kind_of(item, path, _ITEMS)](chat, item, path)


def _add_message(chat: _Chat, item: Fields, path: str) -> None:
    role = item.get("role")
    if role not in _ROLES:
        raise malformed(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
    if role == "assistant":
        chat.answer(_said_by_assistant(item.get("content"), f"{path}.content"))
    else:
        role = "system" if role == "developer" else role
        chat.say({"role": role, "content": content_at(item.get("content"), f"{path}.content")})


def _said_by_assistant(content: Any, path: str) -> Message:
    if isinstance(content, str):
        return {"content": content}
    texts, refusals = [], []
    for place, each in enumerate(list_at(content, path)):
        part = object_at(each, f"{path}[{place}]")
        kind = kind_of(part, f"{path}[{place}]", ("output_text", "input_text", "text", "refusal"))
        if kind == "refusal":
            refusals.append(text_in(part, "refusal", f"{path}[{place}]"))
        else:
            texts.append({"type": "text", "text": text_in(part, "text", f"{path}[{place}]")})
    said: Message = {"content": as_content(texts)} if texts else {}
    return {**said, "refusal": "".join(refusals)} if refusals else said or {"content": ""}


def _add_reasoning(chat: _Chat, item: Fields, path: str) -> None:
    """Add what was reasoned: the text itself, or else the summary. Encrypted reasoning is for OpenAI's models alone."""
    for name in ("content", "summary"):
        parts = list_at(item.get(name) or [], f"{path}.{name}")
        texts = [
            text_in(object_at(each, f"{path}.{name}[{place}]"), "text", f"{path}.{name}[{place}]")
            for place, each in enumerate(parts)
        ]
        if texts:
            chat.reason("\n\n".join(texts))
            return


def _add_function_call(chat: _Chat, item: Fields, path: str) -> None:
    arguments = text_in(item, "arguments", path)
    if not _is_json(arguments):
        raise malformed(f"{path}.arguments", "must be JSON")
    chat.call(name_in(item, "call_id", path), _name_in_chat(item, path), arguments)


def _add_custom_call(chat: _Chat, item: Fields, path: str) -> None:
    arguments = utf8_json({INPUT: text_in(item, "input", path)}).decode()
    chat.call(name_in(item, "call_id", path), _name_in_chat(item, path), arguments)


def _add_output(chat: _Chat, item: Fields, path: str) -> None:
    call_id = name_in(item, "call_id", path)
    if not chat.was_called(call_id):
        raise malformed(f"{path}.call_id", "is that of no call before it")
    content = content_at(item.get("output"), f"{path}.output")
    chat.say({"role": "tool", "tool_call_id": call_id, "content": content})


def _name_in_chat(item: Fields, path: str) -> str:
    namespace = item.get("namespace")
    name = ToolName("function", name_in(item, "name", path), namespace if isinstance(namespace, str) else None)
    return name.in_chat


def _is_json(text: str) -> bool:
    try:
        json.loads(text or "{}")  # an empty text is how some models call a function without parameters
    except (ValueError, RecursionError):
        return False
    return True


def _with_one_system(messages: list[Message]) -> list[Message]:
    """Return messages with those of the system at the beginning as one, if there are several, all of text."""
    count = next((place for place, each in enumerate(messages) if each["role"] != "system"), len(messages))
    contents = [message["content"] for message in messages[:count]]
    texts = [text for content in contents if (text := _whole_text(content)) is not None]
    if count < 2 or len(texts) < count:
        return messages
    return [{"role": "system", "content": "\n\n".join(texts)}, *messages[count:]]


def _whole_text(content: Content) -> str | None:
    if isinstance(content, str):
        return content
    texts = [part["text"] for part in content if part["type"] == "text"]
    return "".join(texts) if len(texts) == len(content) else None


_ITEMS: Final[dict[str, Callable[[_Chat, Fields, str], None]]] = {
    "message": _add_message,
    "reasoning": _add_reasoning,
    "function_call": _add_function_call,
    "function_call_output": _add_output,
    "custom_tool_call": _add_custom_call,
    "custom_tool_call_output": _add_output,
}
