"""One prompt, one answer on stdout, and an exit code."""

from __future__ import annotations

import json

from nomyo.client import SecureCompletionClient
from nomyo.errors import NomyoError
from nomyo.memory import SecureBuffer
from nomyo.terminal.chat.asked import Asked, cut_short, text_of, user_message, why_cut_short
from nomyo.terminal.command_app import tell
from nomyo.terminal.output import write_answer

NAME = "nomyo chat"


class NoTextError(NomyoError):
    """The model answered with something else than text."""

    def __init__(self) -> None:
        super().__init__("the answer has no text; --json shows what it has")


async def ask(client: SecureCompletionClient, asked: Asked, prompt: str, *, as_json: bool) -> None:
    """Send a prompt, and write the answer.

    Raises:
        NoTextError: There is none in it.
        NomyoError: The request failed.
        ValueError: The prompt is too long.
    """
    response = await client.send(asked.call([user_message(prompt)]))
    if as_json:
        write_answer(json.dumps(response) + "\n")
        return
    text = text_of(response)
    if text is None:
        raise NoTextError
    write_answer(text)
    _warn(cut_short(response))


async def ask_in_secret(client: SecureCompletionClient, asked: Asked, prompt: SecureBuffer, *, as_json: bool) -> None:
    """Send a prompt and write the answer, neither of which is ever outside of locked memory here; raises as `ask`."""
    with await client.send_secret(asked.call([user_message(prompt)])) as reply:
        content = reply.json if as_json else reply.content
        if content is None:
            raise NoTextError
        write_answer(content)
        if not as_json:
            _warn(why_cut_short(reply.finish_reason))


def _warn(reason: str | None) -> None:
    if reason is not None:
        tell(NAME, f"warning: {reason}")
