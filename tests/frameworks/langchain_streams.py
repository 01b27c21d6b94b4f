"""A LangChain program that asks for each answer twice, whole and as a stream, and prints what it made of both."""

import functools
import json
import operator
import sys

import httpx
from langchain_openai import ChatOpenAI

from nomyo.transports import SecureTransport

URL, COUNT = sys.argv[1:]
transport = SecureTransport(URL, allow_http=True, api_key="a-nomyo-key", key_dir=None)
model = ChatOpenAI(
    model="m", base_url=transport.base_url, api_key="unused", http_client=httpx.Client(transport=transport)
)


def told(message):
    logprobs = (message.response_metadata.get("logprobs") or {}).get("content")
    call = message.additional_kwargs.get("function_call")
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    made = [[each["id"], each["name"], each["args"]] for each in calls]
    return [message.content, made, call, logprobs, message.response_metadata["finish_reason"]]


pairs = []
for _ in range(int(COUNT)):
    whole = told(model.invoke("Hello"))
    pairs.append([whole, told(functools.reduce(operator.add, model.stream("Hello")))])
print(json.dumps(pairs))
