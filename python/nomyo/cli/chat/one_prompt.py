"""Sends one prompt, writes the answer to stdout, and returns an exit code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from nomyo._finite_json import ascii_json, finite_pieces
from nomyo.cli.answer_output import encoded, write_answer
from nomyo.cli.chat.display import Display
from nomyo.cli.chat.request import ChatSettings, cut_short, text_of, user_message, why_cut_short
from nomyo.cli.chat.waiting import shown_waiting
from nomyo.cli.command_app import report
from nomyo.cli.streams import stdout_bytes, write_stderr
from nomyo.errors import NomyoError
from nomyo.memory import SecureBuffer
from nomyo.responses import ChatCompletionResponse

if TYPE_CHECKING:
    from nomyo.client import SecureCompletionClient

NAME = "nomyo chat"
_JSON_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],]|[^\s"{}\[\],:]+', re.DOTALL)
# The name in all spellings that JSON allows, each character as itself or as its escape, and its colon.
_METADATA: Final = re.compile(
    b'"' + b"".join(rb"(?:%c|(?i:\\u00%x))" % (code, code) for code in b"_metadata") + rb'"\s*:'
)


class UnwritableError(NomyoError):
    """The answer cannot be written as JSON."""

    def __init__(self) -> None:
        super().__init__("the answer holds a number that is too long to write (see PYTHONINTMAXSTRDIGITS)")


class NoTextError(NomyoError):
    """The model answered with something other than text."""

    def __init__(self) -> None:
        super().__init__("the answer has no text; --json shows what it has")


async def ask(
    client: SecureCompletionClient, settings: ChatSettings, prompt: str, display: Display, *, as_json: bool
) -> None:
    """Send a prompt, and write the answer; the model's reasoning goes to stderr.

    Raises:
        NoTextError: There is none in it.
        UnwritableError: It cannot be written as JSON.
        NomyoError: The request failed.
        ValueError: The prompt is too long.
    """
    with shown_waiting():
        response = await client.send(settings.call([user_message(prompt)]))
    if as_json:
        write_answer(_as_json(response) + "\n")
        return
    text = text_of(response)
    if text is None:
        raise NoTextError
    _show_reasoning(response, display)
    display.show(text)
    _warn(cut_short(response))


async def ask_in_secret(
    client: SecureCompletionClient, settings: ChatSettings, prompt: SecureBuffer, *, as_json: bool
) -> None:
    """Send a prompt and write the answer, keeping both in locked memory all the time; raises as `ask` does."""
    with shown_waiting():
        sent = await client.send_secret(settings.call([user_message(prompt)]))
    with sent as reply:
        if as_json:
            with memoryview(reply.json) as view:
                begin, end = place_of_metadata(view)
                answer_is_empty = view[begin - 1] == ord("{")
                comma = b"" if end > begin or answer_is_empty else b","
                named = encoded(f'"_metadata": {_as_json(reply.metadata)}')
                write_answer(*finite_pieces(view[:begin]), comma + named, *finite_pieces(view[end:]), "\n")
            return
        if reply.content is None:
            raise NoTextError
        write_answer(reply.content)
        _warn(why_cut_short(reply.finish_reason))


def _as_json(value: Any) -> str:
    try:
        return ascii_json(value)
    except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
        pass
    raise UnwritableError


def place_of_metadata(answer: memoryview) -> tuple[int, int]:
    """Return where an answer's `_metadata` begins and ends, its name included; if there is none, the place for it.

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
        if depth == 1 and begin is None and _METADATA.match(answer, token.start()):
            begin = token.start()
        last = token.end()
    raise ValueError("the answer is not a JSON object")  # cannot happen: it was opened as one


def _show_reasoning(response: ChatCompletionResponse, display: Display) -> None:
    """Write the reasoning to stderr if it is asked for; else, if a person reads the answer, that there is some."""
    if display.reasoning or stdout_bytes().isatty():
        words = display.reasoning_words(response, "--reasoning shows it")
        if words is not None:
            write_stderr(words.rstrip("\n") + ("\n" if display.reasoning else ""))


def _warn(reason: str | None) -> None:
    if reason is not None:
        report(NAME, f"warning: {reason}")
