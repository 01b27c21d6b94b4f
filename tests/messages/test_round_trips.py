"""What chat completions and Messages can both say survives the way there and back.

The way from chat completions to Messages is written here once more, by hand: programs that speak Messages do it.
"""

from __future__ import annotations

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given, settings
from hypothesis import strategies as st

from nomyo.anthropic_form.events import PIECE_CHARACTERS
from nomyo.anthropic_form.messages_form import MessagesForm
from support.server_events import events_in

FORM = MessagesForm()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAME = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
IMAGE_URL = st.sampled_from(["https://example.org/a.png", "data:image/png;base64,iVBORw0KGgo="])


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


PART = TEXT.map(_text_part) | IMAGE_URL.map(lambda url: {"type": "image_url", "image_url": {"url": url}})
SAID = TEXT | st.lists(PART, min_size=2, max_size=3)
TEXTS = TEXT | st.lists(TEXT.map(_text_part), min_size=2, max_size=3)


@st.composite
def _turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A conversation that ends with somebody other than the assistant."""
    messages: list[dict[str, Any]] = []
    system = draw(st.lists(TEXTS.filter(bool), max_size=1))
    messages += [{"role": "system", "content": content} for content in system]
    for turn in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(SAID)})
        if not draw(st.booleans()):
            continue
        names = draw(st.lists(NAME, max_size=3))
        calls = [
            {
                "id": f"call_{turn}_{place}",
                "type": "function",
                "function": {"name": name, "arguments": _compact(draw(OBJECT))},
            }
            for place, name in enumerate(names)
        ]
        content = draw(TEXTS)
        assistant: dict[str, Any] = {"role": "assistant", "content": content if content or not calls else None}
        if thought := draw(TEXT):
            assistant["reasoning_content"] = thought
        if calls:
            assistant["tool_calls"] = calls
        messages.append(assistant)
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)} for call in calls]
    messages.append({"role": "user", "content": draw(SAID)})
    return messages


@st.composite
def _requests(draw: st.DrawFn) -> dict[str, Any]:
    request: dict[str, Any] = {"model": "m", "max_tokens": draw(st.integers(1, 10**6)), "messages": draw(_turns())}
    for name, values in {
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 100),
        "stop": st.lists(TEXT.filter(bool), min_size=1, max_size=3),
        "user": TEXT,
        "reasoning_effort": st.sampled_from(["low", "medium", "high"]),
        "response_format": OBJECT.map(_schema_format),
        "seed": st.integers(),
    }.items():
        if draw(st.booleans()):
            request[name] = draw(values)
    names = draw(st.lists(NAME, unique=True, max_size=3))
    if names:
        request["tools"] = [{"type": "function", "function": draw(_functions(name))} for name in names]
        one = {"type": "function", "function": {"name": names[0]}}
        if draw(st.booleans()):
            request["tool_choice"] = draw(st.sampled_from(["auto", "required", "none", one]))
            if draw(st.booleans()):
                request["parallel_tool_calls"] = False
    return request


@st.composite
def _functions(draw: st.DrawFn, name: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name, "parameters": draw(OBJECT)}
    if draw(st.booleans()):
        function["description"] = draw(TEXT)
    if draw(st.booleans()):
        function["strict"] = draw(st.booleans())
    return function


def _schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _block(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return part
    url = part["image_url"]["url"]
    if url.startswith("https:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    head, _, data = url.partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}}


def _blocks(content: Any) -> list[dict[str, Any]]:
    if content is None:
        return []
    return [_text_part(content)] if isinstance(content, str) else [_block(part) for part in content]


def _as_messages(chat: dict[str, Any]) -> dict[str, Any]:
    """Write a chat completion as a request of Messages."""
    same = {"model", "max_tokens", "temperature", "top_p", "top_k", "seed"}
    request = {name: value for name, value in chat.items() if name in same}
    request["messages"] = []
    for message in chat["messages"]:
        _add_message(request, message)
    if "stop" in chat:
        request["stop_sequences"] = chat["stop"]
    if "user" in chat:
        request["metadata"] = {"user_id": chat["user"]}
    config = {}
    if "reasoning_effort" in chat:
        config["effort"] = chat["reasoning_effort"]
    if "response_format" in chat:
        config["format"] = {"type": "json_schema", "schema": chat["response_format"]["json_schema"]["schema"]}
    request["output_config"] = config
    if "tools" in chat:
        functions = [{**tool["function"]} for tool in chat["tools"]]
        request["tools"] = [{"input_schema": function.pop("parameters"), **function} for function in functions]
    if "tool_choice" in chat:
        choice = chat["tool_choice"]
        named = {"type": {"required": "any"}.get(choice, choice)} if isinstance(choice, str) else None
        request["tool_choice"] = named or {"type": "tool", "name": choice["function"]["name"]}
        if "parallel_tool_calls" in chat:
            request["tool_choice"]["disable_parallel_tool_use"] = True
    return request


def _add_message(request: dict[str, Any], message: dict[str, Any]) -> None:
    content = message["content"]
    match message["role"]:
        case "system":
            request["system"] = content
        case "user":
            request["messages"].append({"role": "user", "content": _blocks(content)})
        case "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": _blocks(content)}
            request["messages"].append({"role": "user", "content": [result]})
        case "assistant":
            thought = message.get("reasoning_content")
            blocks = [{"type": "thinking", "thinking": thought, "signature": ""}] if thought else []
            blocks += _blocks(content)
            for call in message.get("tool_calls", ()):
                function = call["function"]
                arguments = json.loads(function["arguments"])
                blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments})
            request["messages"].append({"role": "assistant", "content": blocks})


def _parsed(chat: dict[str, Any]) -> dict[str, Any]:
    """Return a chat completion with the arguments of calls as values: one object has many texts."""
    copy: dict[str, Any] = json.loads(json.dumps(chat))
    for message in copy["messages"]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return copy


@settings(max_examples=60)
@given(_requests())
def test_chat_request_survives_the_way_through_messages(chat: dict[str, Any]) -> None:
    sent = json.dumps(_as_messages(chat)).encode()

    assert _parsed(FORM.read(sent, []).payload) == _parsed(chat)


CALLS = st.lists(st.tuples(NAME, OBJECT), max_size=3)


@settings(max_examples=60)
@given(TEXT, TEXT, CALLS, st.tuples(st.integers(0, 2**53), st.integers(0, 2**53)), st.booleans())
def test_completion_survives_the_way_through_a_message(
    text: str, thought: str, calls: list[Any], counts: tuple[int, int], stream: bool
) -> None:
    named = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": _compact(arguments)}}
        for place, (name, arguments) in enumerate(calls)
    ]
    said = {"role": "assistant", "content": text, "reasoning_content": thought, "tool_calls": named}
    reason = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1]}
    chat = {"id": "c", "model": "m", "choices": [{"message": said, "finish_reason": reason}], "usage": usage}

    message = _message(chat, stream)

    blocks = message["content"]
    of_type = {kind: [block for block in blocks if block["type"] == kind] for kind in ("thinking", "text", "tool_use")}
    assert "".join(block["text"] for block in of_type["text"]) == text
    assert "".join(block["thinking"] for block in of_type["thinking"]) == thought
    assert [(block["id"], block["name"], block["input"]) for block in of_type["tool_use"]] == [
        (f"call_{place}", *call) for place, call in enumerate(calls)
    ]
    assert message["stop_reason"] == ("tool_use" if calls else "end_turn")
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == counts


def _message(chat: dict[str, Any], stream: bool) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    request = FORM.read(json.dumps({**body, "thinking": {"type": "adaptive"}}).encode(), [])
    answer = FORM.answer(chat, request).body
    if isinstance(answer, bytes):
        whole: dict[str, Any] = json.loads(answer)
        return whole
    message: Any = None
    buffers: dict[int, bytes] = {}
    for _, event in events_in(b"".join(answer)):
        message = accumulate_event(event=event, current_snapshot=message, json_bufs=buffers)
    put_together: dict[str, Any] = message.to_dict()
    return put_together


@settings(max_examples=30)
@given(st.sampled_from(["a", "\u0000", "é", "😀", '"', "\u2028"]), st.integers(0, 3 * PIECE_CHARACTERS))
def test_lines_of_a_stream_stay_below_64_kib(character: str, length: int) -> None:
    text = character * length
    function = {"name": "f", "arguments": json.dumps({"a": text})}
    said = {"content": text, "reasoning": text, "tool_calls": [{"id": "call_1", "function": function}]}

    request = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    read = FORM.read(json.dumps({**request, "thinking": {"type": "adaptive"}}).encode(), [])
    body = b"".join(FORM.answer({"choices": [{"message": said}]}, read).body)  # type: ignore[arg-type]

    assert max(len(line) for line in body.splitlines()) < 64 * 1024
    pieces = [event["delta"] for _, event in events_in(body) if event["type"] == "content_block_delta"]
    assert "".join(piece.get("text", "") for piece in pieces) == text
    assert json.loads("".join(piece.get("partial_json", "") for piece in pieces)) == {"a": text}
