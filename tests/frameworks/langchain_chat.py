"""A LangChain program: its HTTP clients have our transports, and the rest is as anywhere."""

import asyncio
import json
import sys

import httpx
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

import nomyo
from nomyo.transports import AsyncSecureTransport, SecureTransport

URL, PROMPT = sys.argv[1:]
OPTIONS = {"base_url": URL, "allow_http": True, "api_key": "a-nomyo-key", "key_dir": None}


class Patient(BaseModel):
    name: str


@tool
def look_up(name: str) -> str:
    """Look a patient up."""
    return name


transport = SecureTransport(**OPTIONS)
model = ChatOpenAI(
    model="m",
    base_url=transport.base_url,
    api_key="unused",
    http_client=httpx.Client(transport=transport),
    http_async_client=httpx.AsyncClient(transport=AsyncSecureTransport(**OPTIONS)),
)


async def with_asyncio() -> list[str]:
    whole = (await model.ainvoke(PROMPT)).content
    return [whole, "".join([chunk.content async for chunk in model.astream(PROMPT)])]


result = {
    "whole": model.invoke([HumanMessage(PROMPT)]).content,
    "streamed": "".join(chunk.content for chunk in model.stream(PROMPT)),
    "async": asyncio.run(with_asyncio()),
    "tool": model.bind_tools([look_up]).invoke(PROMPT).tool_calls[0]["name"],
    "parsed": model.with_structured_output(Patient, method="json_schema").invoke(json.dumps({"name": PROMPT})).name,
}
model.http_client.close()
refusing = SecureTransport("http://127.0.0.1:9", key_dir=None)
unsafe = ChatOpenAI(
    model="m", base_url=refusing.base_url, api_key="unused", http_client=httpx.Client(transport=refusing)
)
try:
    unsafe.invoke(PROMPT)
except nomyo.SecurityError as error:
    result["refused"] = str(error)
print(json.dumps(result))
