"""A program of openai-agents, which speaks Responses: its client is ours, and the rest is as anywhere."""

import asyncio
import json
import sys

from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from nomyo.openai import AsyncOpenAI

URL, PROMPT = sys.argv[1:]
set_tracing_disabled(True)  # it would send what happens to OpenAI, in clear


@function_tool
def look_up(name: str) -> str:
    """Look a patient up."""
    return name


def said(text: str) -> str:
    return text.removeprefix("The tool answered: ")


async def main() -> dict[str, str]:
    async with AsyncOpenAI(base_url=URL, allow_http=True, api_key="a-nomyo-key", key_dir=None) as client:
        model = OpenAIResponsesModel(model="m", openai_client=client)
        agent = Agent(name="a", instructions="Be kind", model=model, tools=[look_up])
        whole = await Runner.run(agent, PROMPT)
        streamed = Runner.run_streamed(agent, PROMPT)
        events = [event async for event in streamed.stream_events()]
        called = [item.raw_item.name for item in whole.new_items if item.type == "tool_call_item"]
        deltas = [
            event.data.delta
            for event in events
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
        ]
        return {
            "whole": said(whole.final_output),
            "streamed": said(streamed.final_output),
            "deltas": said("".join(deltas)),
            "tool": called[0],
        }


print(json.dumps(asyncio.run(main())))
