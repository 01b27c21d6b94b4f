"""Translates the messages of a conversation.

- A tool's result is a message of its own in chat completions, with text alone. It follows the call at once, so what a
  user says beside it comes after all results, and so do images that a tool gave.
- Chat completions cannot say that a result is an error: its text begins with `Error: `.
- Thinking goes back as `reasoning_content`, which models with reasoning read between tool calls. What only Anthropic's
  servers can read (`redacted_thinking`) is dropped, as are signatures.
"""

from __future__ import annotations

from typing import Any, Final

from .._finite_json import utf8_json
from .content import Part, content_of, parts_of, texts_in, unknown_block
from .fields import Fields

ERROR_MARK: Final = "Error: "
IMAGES_FOLLOW: Final = "[the images are in the next message]"


def chat_messages(request: Fields) -> list[dict[str, Any]]:
    """Return the messages of a request as those of a chat completion, without the system prompt.

    Raises:
        MalformedRequestError: A message or a block is malformed, or a result has no call.
    """
    conversation = _Conversation()
    turns = request.objects("messages")
    if not turns:
        raise request.fault("messages", "must be a list of one message or more")
    for turn in turns:
        conversation.add(turn)
    if turns[-1].get("role") == "assistant":
        raise turns[-1].fault("role", "the last message must not be the assistant's: chat completions do not go on it")
    return conversation.messages


class _Conversation:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._open_calls: set[str] = set()

    def add(self, turn: Fields) -> None:
        match turn.get("role"):
            case "user":
                self._add_user(turn)
            case "assistant":
                self._add_assistant(turn)
            case "system":
                self.messages.append({"role": "system", "content": texts_in(turn, "content")})
            case _:
                raise turn.fault("role", "must be user, assistant or system")

    def _add_user(self, turn: Fields) -> None:
        if isinstance(turn.get("content"), str):
            self.messages.append({"role": "user", "content": turn.text("content")})
            return
        said: list[Part] = []
        shown: list[Part] = []
        blocks = _blocks(turn)
        for block in blocks:
            if block.get("type") == "tool_result":
                shown += self._add_result(block)
            else:
                said += parts_of(block)
        if shown or said or not blocks:
            self.messages.append({"role": "user", "content": content_of(shown + said)})

    def _add_result(self, block: Fields) -> list[Part]:
        """Add a tool's result, and return what of it no message of a tool can hold."""
        call = block.filled_text("tool_use_id")
        if call not in self._open_calls:
            raise block.fault("tool_use_id", "is not the id of a tool_use block before it that has no result yet")
        self._open_calls.discard(call)
        parts = _result_parts(block)
        texts = [part for part in parts if part["type"] == "text"]
        others = [part for part in parts if part["type"] != "text"]
        if others and not texts:
            texts = [{"type": "text", "text": IMAGES_FOLLOW}]
        if block.flag("is_error"):
            first = texts[0]["text"] if texts else ""
            texts = [{"type": "text", "text": ERROR_MARK + first}, *texts[1:]]
        self.messages.append({"role": "tool", "tool_call_id": call, "content": content_of(texts)})
        return others

    def _add_assistant(self, turn: Fields) -> None:
        message: dict[str, Any] = {"role": "assistant"}
        texts: list[Part] = []
        thoughts: list[str] = []
        calls: dict[str, dict[str, Any]] = {}
        given = turn.get("content")
        for block in [] if isinstance(given, str) else _blocks(turn):
            match block.get("type"):
                case "text":
                    texts += parts_of(block)
                case "thinking":
                    thoughts.append(block.text("thinking"))
                case "redacted_thinking":
                    pass
                case "tool_use":
                    call = _call(block)
                    if call["id"] in calls:
                        raise block.fault("id", "is the id of another tool_use block of this message, too")
                    calls[call["id"]] = call
                case _:
                    raise unknown_block(block)
        message["content"] = given if isinstance(given, str) else content_of(texts)
        if calls and not message["content"]:
            message["content"] = None
        if any(thoughts):
            message["reasoning_content"] = "".join(thoughts)
        if calls:
            message["tool_calls"] = list(calls.values())
            self._open_calls |= calls.keys()
        self.messages.append(message)


def _blocks(turn: Fields) -> list[Fields]:
    if not isinstance(turn.get("content"), list):
        raise turn.fault("content", "must be a string or a list of blocks")
    return turn.objects("content")


def _result_parts(block: Fields) -> list[Part]:
    given = block.get("content")
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    return [part for each in block.objects("content") for part in parts_of(each)]


def _call(block: Fields) -> dict[str, Any]:
    call = block.filled_text("id")
    arguments = block.get("input")
    if not isinstance(arguments, dict):
        raise block.fault("input", "must be an object")
    function = {"name": block.filled_text("name"), "arguments": _as_json(arguments, block)}
    return {"id": call, "type": "function", "function": function}


def _as_json(arguments: dict[str, Any], block: Fields) -> str:
    try:
        return utf8_json(arguments).decode()
    except ValueError:
        pass
    raise block.fault("input", "is nested too deeply")
