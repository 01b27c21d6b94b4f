"""The async and the sync client behind one face, so that every test of behaviour is written once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import nomyo


class Twin:
    """Makes clients of one kind, and calls their methods from ordinary code."""

    name: str
    chat_class: type[Any]
    client_class: type[Any]

    def __init__(self) -> None:
        self._made: list[Any] = []

    def chat(self, url: str, **options: Any) -> Any:
        return self._keep(self.chat_class(url, **{"allow_http": True, "key_dir": None, **options}))

    def client(self, url: str, **options: Any) -> Any:
        return self._keep(self.client_class(url, **{"allow_http": True, "key_dir": None, "key_size": 2048, **options}))

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        for client in self._made:
            client.dispose()

    def _keep(self, client: Any) -> Any:
        self._made.append(client)
        return client


class SyncTwin(Twin):
    name = "sync"
    chat_class = nomyo.SyncSecureChatCompletion
    client_class = nomyo.SyncSecureCompletionClient

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)


class AsyncTwin(Twin):
    name = "async"
    chat_class = nomyo.SecureChatCompletion
    client_class = nomyo.SecureCompletionClient

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            return await method(*args, **kwargs)

        return self._runner.run(run())

    def close(self) -> None:
        super().close()
        self._runner.close()


TWINS = {"sync": SyncTwin, "async": AsyncTwin}
