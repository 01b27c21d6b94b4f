"""A model that calls a function of this program, and answers from what the function returned."""

from __future__ import annotations

import json
import os

from nomyo import SyncSecureChatCompletion
from nomyo.parameters import Message

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string", "description": "City name"}},
            "required": ["location"],
        },
    },
}


def get_weather(location: str) -> str:
    """Stand for what your program would look up."""
    return f"sunny, 21 degrees, in {location}"


def called(name: str | None, arguments: str | None) -> str:
    """Do what the model asked for. What it wrote is not to be trusted: it may be wrong in any way."""
    try:
        location = json.loads(arguments or "")["location"]
    except (ValueError, KeyError, TypeError):
        return "The arguments are not a JSON object with a location."
    return get_weather(str(location)) if name == "get_weather" else "There is no such function."


def main() -> None:
    messages: list[Message] = [{"role": "user", "content": "What is the weather in Paris"}]
    with SyncSecureChatCompletion(allow_http=LOCAL) as client:
        message = client.create(model=MODEL, messages=messages, tools=[WEATHER]).choices[0].message
        messages.append(message)
        for call in message.tool_calls or []:
            content = called(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id or "", "content": content})
        if message.tool_calls:
            message = client.create(model=MODEL, messages=messages).choices[0].message
    print(message.content)


if __name__ == "__main__":
    main()
