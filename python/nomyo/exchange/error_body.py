"""Finds what a server says in the body of an error, in every usual form; bounds it, cleans it, and hides credentials.

Known forms: FastAPI's and the router's `{"detail": ...}` (a string, an object, or a list with `loc` and `msg`),
OpenAI's `{"error": {"message": ...}}`, `{"errors": [...]}`, problem details (RFC 9457), lists, plain text, and the
pages in HTML that proxies and load balancers send.

Rule of this module: it decodes a body, then parses it, then hides the request's credentials in all of it, and only then
cuts anything to its bound. In a text that was cut first, no search would find the first half of a key.
"""

from __future__ import annotations

import json
from typing import Any, Final

from .._printable import printable
from .redaction import Redaction

WORDS_LIMIT_CHARS: Final = 500
PAGE_WORDS_LIMIT_CHARS: Final = 200
TEXT_LIMIT_CHARS: Final = 4096

_SAID_IN: Final = ("detail", "error", "message", "errors", "msg", "error_description", "title", "reason")
_PYDANTIC: Final = "Value error, "
"""Stands before the words of a validator in FastAPI's lists: a name of Pydantic's, which says nothing to a reader."""
_MOST_ENTRIES: Final = 5
_DEEPEST: Final = 6


def error_details(body: bytes, redaction: Redaction) -> Any:
    """Return an error body as JSON, else as text of a bounded length; None for none.

    Args:
        body: As it came, in UTF-8, UTF-16 or UTF-32.
        redaction: Hides the request's credentials.
    """
    if not body.strip():
        return None
    text = _decoded(body)
    try:
        return redaction.value(json.loads(text))
    except (ValueError, RecursionError):  # the error holds the body, and must not become a context
        pass
    return redaction.text(text)[:TEXT_LIMIT_CHARS]


def message_in(details: Any, redaction: Redaction) -> str:
    """Return the server's message from `error_details`; empty if there is none that helps."""
    words = _page_words(details) if _is_page(details) else _words(details)
    words = printable(redaction.text(words), WORDS_LIMIT_CHARS).strip()
    return words if any(character.isalnum() for character in words) else ""


def _decoded(body: bytes) -> str:
    """Return a body as text; its byte order mark, or the places of its zero bytes, tell the encoding (RFC 4627, 3)."""
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:  # the error holds the body, and must not become a context
        pass
    return body.decode("utf-8", "replace")


def _words(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth == _DEEPEST:
        return ""
    if isinstance(value, list):
        found = [words for each in value[:_MOST_ENTRIES] if (words := _words(each, depth + 1))]
        return "; ".join(found)
    return _words_of_object(value, depth) if isinstance(value, dict) else ""


def _words_of_object(value: dict[str, Any], depth: int) -> str:
    for name in _SAID_IN:
        words = _words(value.get(name), depth + 1)
        if words:
            return _place(value.get("loc")) + words.removeprefix(_PYDANTIC)
    fields = value.get("errors")
    if not isinstance(fields, dict):
        return ""
    said = [f"{name}: {words}" for name, each in fields.items() if (words := _words(each, depth + 1))]
    return "; ".join(said[:_MOST_ENTRIES])


def _place(loc: Any) -> str:
    """Return the place in the request at which FastAPI found a mistake: `body.messages.0: `."""
    if not isinstance(loc, list) or not loc or not all(isinstance(part, (str, int)) for part in loc):
        return ""
    return ".".join(map(str, loc)) + ": "


def _is_page(details: Any) -> bool:
    return isinstance(details, str) and details.lstrip().startswith("<")


def _page_words(page: str) -> str:
    """Return the text of a page; nothing if it is long, because such a page is not about this request."""
    from .html_text import visible_text  # the parser takes 4 ms to import, and hardly any process meets a page

    words = visible_text(page[:TEXT_LIMIT_CHARS])  # Python's parser takes 30 s for 64 KiB of tags that do not end
    return words if len(words) <= PAGE_WORDS_LIMIT_CHARS else ""
