"""A conversation, in memory only."""

from __future__ import annotations

from typing import Any

from nomyo.cli.chat.request import user_message


class Conversation:
    """The messages so far, and the message that waits for an answer.

    A message joins the conversation with its answer: one that failed or was cancelled is not sent along with the next.
    """

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._waiting: str | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def add_user(self, text: str) -> list[dict[str, Any]]:
        """Return the messages to send, with a new one at their end."""
        self._waiting = text
        return [*self._messages, user_message(text)]

    def retry(self) -> list[dict[str, Any]] | None:
        """Return the messages to send for another answer to the last message; None if there is no message."""
        if self._waiting is None and self._messages:
            self._waiting = self._messages[-2]["content"]
            del self._messages[-2:]
        return None if self._waiting is None else self.add_user(self._waiting)

    def add_answer(self, answer: str) -> None:
        """Add the answer to the waiting message."""
        assert self._waiting is not None
        self._messages += [user_message(self._waiting), {"role": "assistant", "content": answer}]
        self._waiting = None

    def clear(self) -> None:
        """Forget the conversation."""
        self._messages.clear()
        self._waiting = None
