"""A web service that asks a model: one client for all requests, made when the service starts.

Needs the extra `serve`, which has Starlette and uvicorn: `uvicorn web_service:app`, then
`curl -d 'Hello' http://127.0.0.1:8000/summary`. FastAPI takes the same `lifespan`, and the handler's lines.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from nomyo import APIConnectionError, RateLimitError, SecureChatCompletion, ServiceUnavailableError

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with SecureChatCompletion(allow_http=LOCAL) as client:  # keeps its keys and connections
        app.state.client = client
        yield


async def summary(request: Request) -> PlainTextResponse:
    client: SecureChatCompletion = request.app.state.client
    text = (await request.body()).decode(errors="replace")
    messages = [{"role": "system", "content": "Summarise."}, {"role": "user", "content": text}]
    try:
        answer = await client.create(model=MODEL, messages=messages)
    except (RateLimitError, ServiceUnavailableError):
        return PlainTextResponse("too many requests: try again later\n", 503, {"Retry-After": "30"})
    except APIConnectionError:
        return PlainTextResponse("the model cannot be reached\n", 502)
    return PlainTextResponse(answer.choices[0].message.content or "")


app = Starlette(routes=[Route("/summary", summary, methods=["POST"])], lifespan=lifespan)
