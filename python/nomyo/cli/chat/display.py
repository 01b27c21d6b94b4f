"""Shows an answer to people, and what the model reasoned before it."""

from __future__ import annotations

from dataclasses import dataclass

from nomyo.cli.answer_output import encoded, write_answer
from nomyo.cli.chat.request import reasoning_of
from nomyo.cli.streams import stdout_bytes
from nomyo.responses import ChatCompletionResponse


@dataclass(frozen=True, slots=True)
class Display:
    """How answers are shown."""

    plain: bool = False
    """Whether a terminal gets an answer as it is, without a layout."""
    reasoning: bool = False
    """Whether the model's reasoning is shown in full."""

    def show(self, answer: str) -> None:
        """Write an answer to stdout: to a terminal laid out as Markdown, to anything else as it is.

        Raises:
            OSError: As from `write_answer`.
        """
        shown = None if self.plain else _laid_out(answer)
        if shown is None:
            write_answer(answer)
        else:
            stdout_bytes().write(encoded(shown))

    def reasoning_words(self, response: ChatCompletionResponse, how: str) -> str | None:
        """Return the reasoning, or one line in its place; None if there is none.

        Args:
            response: The answer.
            how: What shows the reasoning, for the line in its place.
        """
        text = reasoning_of(response)
        if text is None or self.reasoning:
            return text
        return f"(reasoned first, {len(text):,} characters: {how})"


def _laid_out(answer: str) -> str | None:
    """Return an answer laid out for stdout; None if it is to be shown as it is."""
    out = stdout_bytes()
    if not out.isatty() or out.encoding.lower() not in ("utf-8", "utf8"):
        return None
    try:
        from nomyo.cli.chat.markdown import laid_out  # rich takes 0.1 s to import

        return laid_out(encoded(answer).decode(), out)
    except Exception:  # noqa: BLE001 - an answer was paid for, and whatever cannot lay it out must not lose it
        return None
