"""A conversation, in memory only."""

from __future__ import annotations

from typing import Any

from nomyo.terminal.chat.asked import user_message


class Conversation:
    """What was said so far, and what waits for an answer.

    A message joins the conversation with its answer: one that failed or was cancelled is not sent along with the next.
    """

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._waiting: str | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def say(self, text: str) -> list[dict[str, Any]]:
        """Return the messages to send, with a new one at their end."""
        self._waiting = text
        return [*self._messages, user_message(text)]

    def say_again(self) -> list[dict[str, Any]] | None:
        """Return what to send for another answer to the last message; None where nothing was said."""
        if self._waiting is None and self._messages:
            self._waiting = self._messages[-2]["content"]
            del self._messages[-2:]
        return None if self._waiting is None else self.say(self._waiting)

    def hear(self, answer: str) -> None:
        """Take the answer to what waits for it."""
        assert self._waiting is not None
        self._messages += [user_message(self._waiting), {"role": "assistant", "content": answer}]
        self._waiting = None

    def clear(self) -> None:
        """Forget all of it."""
        self._messages.clear()
        self._waiting = None
