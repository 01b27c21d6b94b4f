"""Estimates the tokens of a request before it is sent, and learns from the `usage` of answers.

Before the first answer, a token of a prompt is counted as four characters, and an answer as `max_tokens` of the
request, or as 1,000 tokens. Then the estimate follows the largest recent figures: it rises to a larger figure at once,
and falls slowly. So it is mostly too large, and what was charged too much is given back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from nomyo._counts import count, total

CHARACTERS_PER_TOKEN: Final = 4
"""In English text, by OpenAI's rule of thumb ("What are tokens and how to count them?")."""
FIRST_ANSWER_TOKENS: Final = 1000
_FALLS_BY: Final = 1 / 16


class TokenEstimate:
    """What the requests of a batch are expected to take."""

    def __init__(self) -> None:
        self._per_character = 1 / CHARACTERS_PER_TOKEN
        self._answer: float | None = None

    def of(self, body: Mapping[str, Any]) -> tuple[int, int]:
        """Return the tokens that prompt and answer are expected to take."""
        prompt = int(characters_of(body.get("messages")) * self._per_character) + 1
        most = _most_answer_tokens(body)
        if self._answer is None:
            return prompt, FIRST_ANSWER_TOKENS if most is None else most
        answer = int(self._answer) + 1
        return prompt, answer if most is None else min(answer, most)

    def learn(self, body: Mapping[str, Any], prompt: int, answer: int) -> None:
        """Take the figures of an answer into account; 0 is an unknown figure."""
        characters = characters_of(body.get("messages"))
        if prompt and characters:
            self._per_character = _followed(self._per_character, prompt / characters)
        self.learn_answer(answer)

    def learn_answer(self, answer: int) -> None:
        """Take the tokens of an answer into account; 0 is an unknown figure."""
        if answer:
            self._answer = answer if self._answer is None else _followed(self._answer, answer)


def _followed(figure: float, seen: float) -> float:
    return max(seen, figure + (seen - figure) * _FALLS_BY)


def _most_answer_tokens(body: Mapping[str, Any]) -> int | None:
    """Return the most tokens that a request lets its answer have; None if it names no bound."""
    bounds = [count(body.get(name)) for name in ("max_completion_tokens", "max_tokens")]
    known = [each for each in bounds if each]
    return total(*[min(known)] * min(count(body.get("n")) or 1, 128)) if known else None


def characters_of(messages: object) -> int:
    """Return how many characters the texts of messages have."""
    return sum(map(len, _texts(messages)))


def _texts(messages: object) -> Iterator[str]:
    """Yield the texts of messages. The content of a message is a string, or a list of parts that may have a text."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
