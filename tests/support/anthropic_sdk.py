"""Clients of Anthropic's SDK, sync and async, behind one face; see `sdk`."""

from __future__ import annotations

from typing import Any

import nomyo.anthropic
from support.sdk import AsyncSdk, Sdk, SyncSdk


class SyncAnthropicSdk(SyncSdk):
    client_class: type[Any] = nomyo.anthropic.Anthropic

    def put_together(self, client: Any, **request: Any) -> Any:
        with client.messages.stream(**request) as stream:
            return stream.get_final_message()


class AsyncAnthropicSdk(AsyncSdk):
    client_class: type[Any] = nomyo.anthropic.AsyncAnthropic

    def put_together(self, client: Any, **request: Any) -> Any:
        async def run() -> Any:
            async with client.messages.stream(**request) as stream:
                return await stream.get_final_message()

        return self._runner.run(run())


ANTHROPIC_SDKS: dict[str, type[Sdk]] = {"sync": SyncAnthropicSdk, "async": AsyncAnthropicSdk}
