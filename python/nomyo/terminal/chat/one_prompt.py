"""One prompt, one answer on stdout, and an exit code."""

from __future__ import annotations

import json
import re
from typing import Final

from nomyo.client import SecureCompletionClient
from nomyo.errors import NomyoError
from nomyo.memory import SecureBuffer
from nomyo.terminal.chat.asked import Asked, cut_short, text_of, user_message, why_cut_short
from nomyo.terminal.command_app import tell
from nomyo.terminal.output import encoded, write_answer

NAME = "nomyo chat"
_JSON_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],]|[^\s"{}\[\],:]+', re.DOTALL)
_METADATA: Final = memoryview(b'"_metadata"')
_COLON: Final = re.compile(rb"\s*:")


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
        if as_json:
            with memoryview(reply.json) as view:
                begin, end = place_of_metadata(view)
                answer_is_empty = view[begin - 1] == ord("{")
                comma = b"" if end > begin or answer_is_empty else b","
                named = encoded(f'"_metadata": {json.dumps(reply.metadata)}')
                write_answer(view[:begin], comma + named, view[end:], "\n")
            return
        if reply.content is None:
            raise NoTextError
        write_answer(reply.content)
        _warn(why_cut_short(reply.finish_reason))


def place_of_metadata(answer: memoryview) -> tuple[int, int]:
    """Return where an answer's `_metadata` begins and ends, name and all; where it has none, its end before the brace.

    Nothing of the answer, which is a JSON object, is copied.
    """
    depth, begin, last = 0, None, 0
    for token in _JSON_TOKEN.finditer(answer):
        kind = answer[token.start()]
        if depth == 1 and begin is not None and kind in b",}":
            return begin, last
        depth += (kind in b"{[") - (kind in b"}]")
        if depth == 0:
            return token.start(), token.start()
        if depth == 1 and begin is None and answer[token.start() : token.end()] == _METADATA:
            # As a name only: as a value, what follows it is no colon.
            begin = token.start() if _COLON.match(answer, token.end()) else None
        last = token.end()
    raise ValueError("the answer is no JSON object")  # it was opened as one


def _warn(reason: str | None) -> None:
    if reason is not None:
        tell(NAME, f"warning: {reason}")
