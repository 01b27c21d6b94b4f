"""Errors of wrong calls name what the caller called, never a private class behind it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import nomyo
import nomyo.batch
import nomyo.openai
import nomyo.transports

CLASSES: list[type] = [
    nomyo.SecureChatCompletion,
    nomyo.SyncSecureChatCompletion,
    nomyo.SecureCompletionClient,
    nomyo.SyncSecureCompletionClient,
    nomyo.SecureResponse,
    nomyo.SecureByteContext,
    nomyo.transports.SecureTransport,
    nomyo.transports.AsyncSecureTransport,
    nomyo.openai.OpenAI,
    nomyo.openai.AsyncOpenAI,
]


def methods() -> Iterator[tuple[type, str]]:
    for made in CLASSES:
        for name in dir(made):
            public = name == "__init__" or not name.startswith("_")
            ours = made.__module__.startswith("nomyo") and not hasattr(openai.OpenAI, name)
            if public and (ours or name == "__init__") and inspect.isroutine(getattr(made, name)):
                yield made, name


@pytest.mark.parametrize(("made", "name"), [*methods()], ids=str)
def test_call_with_too_many_arguments_names_the_public_class(made: type, name: str) -> None:
    method: Any = getattr(made, name)
    of_class = inspect.ismethod(method)
    arguments = [None] * 50 if of_class else [object.__new__(made), *[None] * 50]

    async def call() -> None:
        outcome = method(*arguments)
        if inspect.isawaitable(outcome):
            await outcome

    with pytest.raises(TypeError, match=rf"^{made.__name__}\.\w+\(\) takes"):
        call().send(None)


@pytest.mark.parametrize("made", [*CLASSES[:4], *CLASSES[6:8]])
def test_option_that_there_is_not_names_the_public_class(made: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"^{made.__name__}\.__init__\(\) got an unexpected keyword argument 'key_dri'"
    ):
        made(key_dri=None)


def test_batch_names_the_function_that_was_called() -> None:
    run: Any = nomyo.batch.run
    with pytest.raises(TypeError, match=r"^run\(\) takes from 1 to 2 positional arguments but 50 were given$"):
        run(*[None] * 50)
