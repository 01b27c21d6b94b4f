"""Estimates how many tokens a request has. Only the model's own tokenizer knows, and the router does not offer it.

The estimate counts letters, words, digits and signs by script, each with a weight. The weights were fitted to Qwen's
tokenizer, whose family the service offers (see docs/anthropic.md for how far it is off, and against which tokenizers).
Nothing is sent for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .._finite_json import utf8_json

MESSAGE_TOKENS: Final = 4
"""The marks around a message: where it begins and ends, and whose it is."""
MEDIUM_TOKENS: Final = 1_600
"""An image or a file, whatever its size: about the most that an image of 1,568 pixels a side takes."""

# Each character becomes one byte that names its class: that of its first byte in UTF-8.
_OF_ASCII: Final = {"a": str.isalpha, "d": str.isdigit, "s": " ".__eq__, "n": "\n\r\t".__contains__}
_OF_FIRST_BYTES: Final = {
    "y": (0xC2, 0xC2),  # signs such as § and °
    "l": (0xC3, 0xCD),  # Latin letters with marks
    "g": (0xCE, 0xCF),  # Greek
    "c": (0xD0, 0xD4),  # Cyrillic
    "r": (0xD5, 0xDF),  # Armenian, Hebrew, Arabic
    "i": (0xE0, 0xE1),  # the scripts of India, Thai and others
    "Y": (0xE2, 0xE2),  # dashes, quotation marks, arrows
    "k": (0xE3, 0xE9),  # Chinese characters, kana
    "h": (0xEA, 0xED),  # Hangul
    "Z": (0xEE, 0xEF),  # full width
    "e": (0xF0, 0xFF),  # emoji
}
_WEIGHTS: Final = {
    b"a": 0.145,
    b"d": 1.0,
    b"p": 0.12,
    b"l": 1.8,
    b"g": 0.98,
    b"c": 0.34,
    b"r": 0.4,
    b"i": 1.05,
    b"k": 0.6,
    b"h": 0.72,
    b"y": 1.0,
    b"Y": 1.0,
    b"Z": 1.0,
    b"e": 2.0,
}
_RUN_WEIGHTS: Final = {b"al": 0.4, b"p": 0.75, b"n": 1.2}
"""What a run of characters of these classes costs beside each of its characters: words, signs, line ends."""
_CLASSES: Final = b"adsnplgcrikhyYZe"
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


def _class_table() -> bytes:
    table = bytearray(b"p" * 256)
    for name, holds in _OF_ASCII.items():
        for byte in filter(lambda byte: holds(chr(byte)), range(128)):
            table[byte] = ord(name)
    for name, (first, last) in _OF_FIRST_BYTES.items():
        table[first : last + 1] = name.encode() * (last + 1 - first)
    return bytes(table)


_CLASS_OF: Final = _class_table()


def estimated_tokens(payload: Mapping[str, Any]) -> int:
    """Return about how many tokens a chat completion's messages and tools have.

    Args:
        payload: A chat completion, as this package makes it.
    """
    texts: list[str] = []
    media = sum(_gather(message, texts) for message in payload["messages"])
    texts += [utf8_json(tool["function"]).decode() for tool in payload.get("tools", ())]
    marks = MESSAGE_TOKENS * (len(payload["messages"]) + 1)  # the last ones are where the answer begins
    return marks + media * MEDIUM_TOKENS + text_tokens(" ".join(texts))


def text_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    classes = b"s" + text.encode("utf-8", "replace").translate(_CLASS_OF, _CONTINUATION)
    characters = sum(weight * classes.count(name) for name, weight in _WEIGHTS.items())
    runs = sum(weight * _runs(classes, kinds) for kinds, weight in _RUN_WEIGHTS.items())
    return round(characters + runs)


def _runs(classes: bytes, kinds: bytes) -> int:
    """Return how many runs of characters of these kinds there are, by the pairs at which one begins."""
    before = [other for other in _CLASSES if other not in kinds]
    return sum(classes.count(bytes((other, kind))) for other in before for kind in kinds)


def _gather(message: Mapping[str, Any], texts: list[str]) -> int:
    """Add the texts of a message, and return how many images and files it has."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    texts += [part["text"] for part in parts if part["type"] == "text"]
    texts.append(message.get("reasoning_content", ""))
    for call in message.get("tool_calls", ()):
        texts += [call["function"]["name"], call["function"]["arguments"]]
    return sum(part["type"] != "text" for part in parts)
