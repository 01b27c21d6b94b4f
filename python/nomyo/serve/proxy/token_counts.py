"""`POST /v1/messages/count_tokens`: estimates how many tokens a request has. Nothing of it leaves this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Scope

from nomyo import ChatCompletionResponse, SecureCompletionClient
from nomyo._api_form import FormRequest
from nomyo.anthropic_form.body import MessagesRequest
from nomyo.anthropic_form.messages_form import TokenCountForm
from nomyo.anthropic_form.token_estimate import estimated_tokens
from nomyo.serve.proxy.completions import Completions
from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.refusal import Refusal
from nomyo.serve.proxy.slots import Slots


class TokenCounts(Completions[MessagesRequest]):
    """The endpoint, as an ASGI application: everything but the request to the router is as with `Completions`."""

    def __init__(
        self,
        config: ProxyConfig,
        client: SecureCompletionClient,
        slots: Slots,
        refused: Callable[[Refusal, Scope], Response],
    ) -> None:
        super().__init__(config, client, slots, TokenCountForm(), refused)

    async def _completion(self, read: FormRequest) -> ChatCompletionResponse:
        tokens = await asyncio.to_thread(estimated_tokens, read.payload)  # about 0.1 s a megabyte
        return ChatCompletionResponse({"usage": {"prompt_tokens": tokens}})
