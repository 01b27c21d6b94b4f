"""Clients of the OpenAI SDK, sync and async, behind one face; see `twins`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import openai

import nomyo.openai


class Sdk:
    """Makes clients of one kind, and calls their methods from ordinary code."""

    name: str
    client_class: type[Any]
    plain_client_class: type[Any]
    """The SDK's own, which knows nothing of us."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def client(self, url: str, **options: Any) -> Any:
        options = {"api_key": "a-key", "allow_http": True, "key_dir": None, "max_retries": 0, **options}
        client = self.client_class(base_url=url, **options)
        self._made.append(client)
        return client

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def chunks(self, client: Any, **request: Any) -> list[Any]:
        """Ask for a stream, and return what it holds."""
        raise NotImplementedError

    def put_together(self, client: Any, **request: Any) -> Any:
        """Ask for a stream, and return the completion that the SDK puts together from it."""
        raise NotImplementedError

    def events(self, client: Any, **request: Any) -> list[Any]:
        """Ask for the stream of a response, and return its events."""
        raise NotImplementedError

    def response_put_together(self, client: Any, **request: Any) -> Any:
        """Ask for the stream of a response, and return the response that the SDK puts together from it."""
        raise NotImplementedError

    def close(self) -> None:
        for client in self._made:
            self.call(client.close)


class SyncSdk(Sdk):
    name = "sync"
    client_class: type[Any] = nomyo.openai.OpenAI
    plain_client_class = openai.OpenAI

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    def chunks(self, client: Any, **request: Any) -> list[Any]:
        with client.chat.completions.create(stream=True, **request) as stream:
            return list(stream)

    def put_together(self, client: Any, **request: Any) -> Any:
        with client.chat.completions.stream(**request) as stream:
            return stream.get_final_completion()

    def events(self, client: Any, **request: Any) -> list[Any]:
        with client.responses.create(stream=True, **request) as stream:
            return list(stream)

    def response_put_together(self, client: Any, **request: Any) -> Any:
        with client.responses.stream(**request) as stream:
            return stream.get_final_response()


class AsyncSdk(Sdk):
    name = "async"
    client_class: type[Any] = nomyo.openai.AsyncOpenAI
    plain_client_class = openai.AsyncOpenAI

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            return await method(*args, **kwargs)

        return self._runner.run(run())

    def chunks(self, client: Any, **request: Any) -> list[Any]:
        async def run() -> list[Any]:
            async with await client.chat.completions.create(stream=True, **request) as stream:
                return [chunk async for chunk in stream]

        return self._runner.run(run())

    def put_together(self, client: Any, **request: Any) -> Any:
        async def run() -> Any:
            async with client.chat.completions.stream(**request) as stream:
                return await stream.get_final_completion()

        return self._runner.run(run())

    def events(self, client: Any, **request: Any) -> list[Any]:
        async def run() -> Any:
            async with await client.responses.create(stream=True, **request) as stream:
                return [event async for event in stream]

        events: list[Any] = self._runner.run(run())
        return events

    def response_put_together(self, client: Any, **request: Any) -> Any:
        async def run() -> Any:
            async with client.responses.stream(**request) as stream:
                return await stream.get_final_response()

        return self._runner.run(run())

    def close(self) -> None:
        super().close()
        self._runner.close()


SDKS = {"sync": SyncSdk, "async": AsyncSdk}

# The SDK is many objects, none of which will ever be garbage: collecting after each test need not look at them.
gc.collect()
gc.freeze()
