"""One row in, one row out: OpenAI's batch format.

A row of the input is an object with `custom_id`, `method`, `url` and `body`; one of the output has `id`, `custom_id`,
`response` and `error` (OpenAI's API reference, "Batch", "The request input object" and "The request output object").

- `id` is `batch_req_` and the number of the input's line, from 1. It is what tells rows apart: a `custom_id` may be
  missing in a bad row, and one that occurs twice has two rows in the output.
- `error` is null if and only if the row succeeded. It has `code`, `message` and `line`. Where the router refused,
  `response` has its status too, as OpenAI's has.
- A row is one line of printable ASCII (all else is escaped, as JSON allows), begun and ended in the same way each
  time: what a kill or a power loss left of one (an end that is missing, zeros) can be told from a whole one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nomyo.errors import APIConnectionError, APIError, BatchError, NomyoError
from nomyo.exchange.protocol import OF_THE_CLIENT, SECURITY_TIERS
from nomyo.response import ChatCompletionResponse

METHOD: Final = "POST"
URL: Final = "/v1/chat/completions"
_BOM: Final = b"\xef\xbb\xbf"
_BEGIN: Final = re.compile(rb'\{"id":"batch_req_([1-9][0-9]{0,17})",("sealed":)?')
_END: Final = b"}\n"
_END_OF_SUCCESS: Final = b',"error":null}\n'
_WORD: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Row:
    """A request of the input."""

    line: int
    """Its line in the input, from 1."""
    custom_id: str = field(repr=False)
    body: dict[str, Any] = field(repr=False)
    """The chat completion that is asked for."""


class BadRow(ValueError):  # noqa: N818 - a row, which is an outcome too
    """A line of the input that cannot be sent; says why, without content."""

    def __init__(self, line: int, code: str, message: str, custom_id: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.code = code
        self.custom_id = custom_id


@dataclass(frozen=True, slots=True)
class Mark:
    """What the output's row says of the input's."""

    line: int
    failed: bool
    sealed: bool = False
    """Whether the rest of it is for the holder of a key alone (`nomyo.batch.sealed`)."""


def read_row(line: int, content: bytes | None) -> Row | BadRow:
    """Read a line of the input.

    Args:
        line: Its number, from 1.
        content: UTF-8, in the first line perhaps with a byte order mark; None for a line that is too long.
    """
    if content is None:
        return BadRow(line, "invalid_row", "the line is too long")
    row = _parsed(content.removeprefix(_BOM) if line == 1 else content)
    if isinstance(row, str):
        return BadRow(line, "invalid_json", row)
    if not isinstance(row, dict):
        return BadRow(line, "invalid_row", "the line is not a JSON object")
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return BadRow(line, "invalid_row", "custom_id must be a string that is not empty")
    fault = _fault(row)
    if fault is not None:
        return BadRow(line, "invalid_row", fault, custom_id)
    return Row(line, custom_id, row["body"])


def _parsed(content: bytes) -> Any:
    """Return what a line holds; where it is no JSON, words on that. Errors of the parser hold the whole line."""
    try:
        parsed = json.loads(content.decode())
    except UnicodeDecodeError:
        return "the line is not UTF-8"
    except json.JSONDecodeError as error:
        return f"the line is not JSON: character {error.pos + 1}"
    except (ValueError, RecursionError):  # an integer of too many digits; nesting
        return "the line is JSON that is too deep, or has a number that is too long"
    return None if isinstance(parsed, str) else parsed


def _fault(row: Mapping[str, Any]) -> str | None:
    if row.get("method") != METHOD:
        return f"method must be {METHOD}"
    if row.get("url") != URL:
        return f"url must be {URL}: only chat completions travel encrypted"
    body = row.get("body")
    if not isinstance(body, dict):
        return "body must be a JSON object"
    for name in sorted(OF_THE_CLIENT & body.keys()):
        return f"{name} has no place in a row: it belongs to the whole batch"
    for name in ("model", "messages"):
        if body.get(name) is None:
            return f"body lacks {name}"
    if body.get("security_tier") not in (None, *SECURITY_TIERS):
        return f"security_tier must be one of {', '.join(SECURITY_TIERS)}"
    return None


def answered(row: Row, response: ChatCompletionResponse) -> bytes:
    """Return the output's row for an answer; for an error, where JSON text cannot hold it as others read it."""
    metadata = response.get("_metadata")
    request_id = metadata.get("payload_id") if isinstance(metadata, dict) else None
    content = {"status_code": 200, "request_id": request_id, "body": response}
    try:
        return _encoded(row.line, row.custom_id, content, None)
    except ValueError:  # infinity; an integer of more digits than Python writes (sys.set_int_max_str_digits)
        error = BatchError("the answer holds a number that is too long, or infinite")
    return failed(row.line, row.custom_id, error)


def tokens_of(response: ChatCompletionResponse) -> tuple[int, int]:
    """Return the tokens of the prompt and of the answer, as the router counts them; 0 where it does not."""
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    prompt, completion = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return prompt if isinstance(prompt, int) else 0, completion if isinstance(completion, int) else 0


def failed(line: int, custom_id: str | None, error: Exception) -> bytes:
    """Return the output's row for an error; it holds the server's own words, where there are some."""
    code, message = _code(error), _message(error)
    response = None
    if isinstance(error, APIError):
        body = {"error": {"message": message, "type": code, "param": None, "code": None}}
        response = {"status_code": error.status_code, "request_id": None, "body": body}
    return _encoded(line, custom_id, response, {"code": code, "message": message, "line": line})


def whole_row(line: bytes) -> tuple[bytes, Mark] | None:
    """Return a line of an output as this module writes it, and what it says; None where it is no whole row.

    Tools of JSON that read and wrote it leave other spaces, another order, and text that is not ASCII.
    """
    mark = read_mark(line)
    if mark is not None:
        return line, mark
    row = _parsed(line) if line.endswith(b"\n") else None
    if not isinstance(row, dict) or not {"id", "error"} <= row.keys():
        return None
    between = {name: value for name, value in row.items() if name not in ("id", "error")}
    try:
        written = _one_line({"id": row["id"], **between, "error": row["error"]})
    except ValueError:
        return None
    mark = read_mark(written)
    return None if mark is None else (written, mark)


def read_mark(row: bytes) -> Mark | None:
    """Return which row of the input a line of the output is for; None where it is not a whole row."""
    return mark_at_ends(row) if row.isascii() and b"\0" not in row else None


def mark_at_ends(row: bytes | memoryview) -> Mark | None:
    """Do what `read_mark` does for a line that is known to be of ASCII."""
    begin = _BEGIN.match(row)
    if begin is None or row[-len(_END) :] != _END:
        return None
    return Mark(int(begin[1]), row[-len(_END_OF_SUCCESS) :] != _END_OF_SUCCESS, begin[2] is not None)


def _encoded(line: int, custom_id: str | None, response: Any, error: Any) -> bytes:
    row = {"id": f"batch_req_{line}", "custom_id": custom_id, "response": response, "error": error}
    return _one_line(row)


def _one_line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _code(error: Exception) -> str:
    """Return OpenAI's kind of name for an error: `rate_limit_error`."""
    if isinstance(error, BadRow):
        return error.code
    if isinstance(error, APIConnectionError):
        return "timeout" if error.timed_out else "connection_error"
    if isinstance(error, (ValueError, TypeError)):
        return "invalid_request"
    return _WORD.sub("_", type(error).__name__.replace("API", "Api")).lower()


def _message(error: Exception) -> str:
    """Return an error's words, if they are of our making and so show no content."""
    return str(error) if isinstance(error, (NomyoError, ValueError, TypeError)) else type(error).__name__
