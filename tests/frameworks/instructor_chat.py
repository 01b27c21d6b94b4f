"""An instructor program: it is given our clients instead of the SDK's."""

import asyncio
import json
import sys

import instructor
from pydantic import BaseModel

from nomyo.openai import AsyncOpenAI, OpenAI

URL, PROMPT = sys.argv[1:]
OPTIONS = {"base_url": URL, "allow_http": True, "api_key": "a-nomyo-key", "key_dir": None}
REQUEST = {"model": "m", "messages": [{"role": "user", "content": json.dumps({"name": PROMPT})}]}


class Patient(BaseModel):
    name: str


async def with_asyncio() -> str:
    async with AsyncOpenAI(**OPTIONS) as client:
        asked = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)
        return (await asked.chat.completions.create(response_model=Patient, **REQUEST)).name


with OpenAI(**OPTIONS) as client:
    by_tool = instructor.from_openai(client).chat.completions.create(response_model=Patient, **REQUEST)
    by_schema = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)
    result = {
        "tool": by_tool.name,
        "schema": by_schema.chat.completions.create(response_model=Patient, **REQUEST).name,
        "async": asyncio.run(with_asyncio()),
    }
print(json.dumps(result))
