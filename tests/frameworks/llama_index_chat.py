"""A LlamaIndex program: its HTTP clients have our transports, and the rest is as anywhere."""

import asyncio
import json
import sys

import httpx
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

from nomyo.transports import AsyncSecureTransport, SecureTransport

URL, PROMPT = sys.argv[1:]
OPTIONS = {"base_url": URL, "allow_http": True, "api_key": "a-nomyo-key", "key_dir": None}

transport = SecureTransport(**OPTIONS)
llm = OpenAILike(
    model="m",
    is_chat_model=True,
    api_base=transport.base_url,
    api_key="unused",
    http_client=httpx.Client(transport=transport),
    async_http_client=httpx.AsyncClient(transport=AsyncSecureTransport(**OPTIONS)),
)
messages = [ChatMessage(role="user", content=PROMPT)]


async def with_asyncio() -> list[str]:
    whole = (await llm.achat(messages)).message.content
    return [whole, "".join([part.delta async for part in await llm.astream_chat(messages)])]


print(
    json.dumps(
        {
            "whole": llm.chat(messages).message.content,
            "streamed": "".join(part.delta for part in llm.stream_chat(messages)),
            "async": asyncio.run(with_asyncio()),
            "completed": llm.complete(PROMPT).text,
        }
    )
)
