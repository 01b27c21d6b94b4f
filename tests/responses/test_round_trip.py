"""A chat told as items of Responses, and read back, is the same chat: nothing that both can say is lost."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nomyo.openai_form.responses.form import ResponsesForm

Fields = dict[str, Any]
FORM = ResponsesForm()
HEAD = {"id": "c", "object": "chat.completion", "created": 1_700_000_000, "model": "m"}

texts = st.text(min_size=1, max_size=20)
names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
json_texts = st.dictionaries(names, st.integers() | texts | st.none() | st.booleans(), max_size=3).map(json.dumps)
text_parts = st.builds(lambda text: {"type": "text", "text": text}, texts)
image_parts = st.builds(
    lambda url, detail: {"type": "image_url", "image_url": {"url": url, "detail": detail}},
    st.sampled_from(["data:image/png;base64,AA==", "https://a.example/b.png"]),
    st.sampled_from(["auto", "low", "high"]),
)
# A text alone is a string: both forms mean the same.
contents = texts | st.lists(text_parts | image_parts, min_size=2, max_size=3) | st.lists(image_parts, min_size=1)
functions = st.fixed_dictionaries(
    {"name": names},
    optional={"description": texts, "parameters": st.just({"type": "object"}), "strict": st.booleans()},
)
answers = st.builds(
    lambda said, calls: {"role": "assistant", "content": None if calls else "", **said, **calls},
    st.fixed_dictionaries({}, optional={"content": texts, "reasoning_content": texts}),
    st.just({}) | st.fixed_dictionaries({"tool_calls": st.lists(st.tuples(names, json_texts), min_size=1, max_size=3)}),
)
asked = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "max_completion_tokens": st.integers(1, 10_000),
        "reasoning_effort": st.sampled_from(["low", "medium", "high"]),
        "metadata": st.dictionaries(names, texts, min_size=1, max_size=2),
        "user": texts,
        "verbosity": st.sampled_from(["low", "high"]),
        "response_format": st.just({"type": "json_object"})
        | st.builds(
            lambda name, strict: {
                "type": "json_schema",
                "json_schema": {"name": name, "schema": {"type": "object"}, "strict": strict},
            },
            names,
            st.booleans(),
        ),
        "top_k": st.integers(1, 9),
    },
)


@st.composite
def chats(draw: st.DrawFn) -> Fields:
    messages: list[Fields] = draw(st.lists(texts.map(lambda text: {"role": "system", "content": text}), max_size=1))
    calls = 0
    for user, answer in draw(st.lists(st.tuples(contents, answers), max_size=3)):
        messages.append({"role": "user", "content": user})
        told = [
            {"id": f"call_{calls + place}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for place, (name, arguments) in enumerate(answer.get("tool_calls", []))
        ]
        calls += len(told)
        messages.append({**answer, "tool_calls": told} if told else answer)
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(contents)} for call in told]
    messages.append({"role": "user", "content": draw(contents)})
    tools = draw(st.lists(functions, max_size=3, unique_by=lambda function: function["name"]))
    chosen: Fields = {}
    if tools:
        choices = st.sampled_from(["none", "auto", "required"]) | st.sampled_from(tools).map(
            lambda function: {"type": "function", "function": {"name": function["name"]}}
        )
        chosen = {
            "tools": [{"type": "function", "function": function} for function in tools],
            **draw(st.fixed_dictionaries({}, optional={"tool_choice": choices, "parallel_tool_calls": st.booleans()})),
        }
    return {"model": "m", "messages": messages, **chosen, **draw(asked)}


def as_responses(chat: Fields) -> Fields:
    """Tell a chat as a program that speaks Responses does."""
    fields = {**chat, "input": [item for message in chat["messages"] for item in items_of(message)]}
    del fields["messages"]
    if "tools" in chat:
        fields["tools"] = [{"type": "function", **tool["function"]} for tool in chat["tools"]]
    if isinstance(chat.get("tool_choice"), dict):
        fields["tool_choice"] = {"type": "function", **chat["tool_choice"]["function"]}
    if "max_completion_tokens" in chat:
        fields["max_output_tokens"] = fields.pop("max_completion_tokens")
    if "reasoning_effort" in chat:
        fields["reasoning"] = {"effort": fields.pop("reasoning_effort")}
    text = {"verbosity": fields.pop("verbosity")} if "verbosity" in chat else {}
    if "response_format" in chat:
        form = fields.pop("response_format")
        text["format"] = {"type": form["type"], **form.get("json_schema", {})}
    return fields | ({"text": text} if text else {})


def items_of(message: Fields) -> list[Fields]:
    if message["role"] == "tool":
        output = parts_of(message["content"])
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}]
    if message["role"] != "assistant":
        return [{"type": "message", "role": message["role"], "content": parts_of(message["content"])}]
    items: list[Fields] = []
    if "reasoning_content" in message:
        told = {"type": "reasoning_text", "text": message["reasoning_content"]}
        items.append({"type": "reasoning", "summary": [], "content": [told]})
    if message["content"] is not None and not (items and message["content"] == ""):
        said = {"type": "output_text", "text": message["content"], "annotations": []}
        items.append({"type": "message", "role": "assistant", "content": [said]})
    calls = message.get("tool_calls", [])
    return items + [{"type": "function_call", "call_id": call["id"], **call["function"]} for call in calls]


def parts_of(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [
        {"type": "input_text", "text": part["text"]}
        if part["type"] == "text"
        else {"type": "input_image", "image_url": part["image_url"]["url"], "detail": part["image_url"]["detail"]}
        for part in content
    ]


@settings(max_examples=60)
@given(chats())
def test_chat_comes_back_from_responses(chat: Fields) -> None:
    read = FORM.read(json.dumps(as_responses(chat)).encode(), [])

    assert read.payload == chat


@settings(max_examples=60)
@given(answers)
def test_answer_that_is_sent_back_as_history_is_what_the_model_said(answer: Fields) -> None:
    """An agent sends the output of a response back as input: the model then reads its own message again."""
    told = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(answer.get("tool_calls", []))
    ]
    message = {**answer, "tool_calls": told} if told else answer
    request = FORM.read(b'{"model": "m", "input": "Hi"}', [])
    body = FORM.answer({**HEAD, "choices": [{"message": message, "finish_reason": "stop"}]}, request).body
    assert isinstance(body, bytes)
    history = [{"role": "user", "content": "Hi"}, *json.loads(body)["output"]]

    read = FORM.read(json.dumps({"model": "m", "input": history}).encode(), [])

    assert read.payload["messages"][1:] == [message]
