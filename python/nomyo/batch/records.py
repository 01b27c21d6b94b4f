"""Rows of the input and of the output, in OpenAI's batch format.

A row of the input is an object with `custom_id`, `method`, `url` and `body`; one of the output has `id`, `custom_id`,
`response` and `error` (OpenAI's API reference, "Batch", "The request input object" and "The request output object").

- `id` is `batch_req_` and the number of the input's line, from 1. It tells rows apart: a `custom_id` may be missing in
  a bad row, and if one occurs twice, the output has two rows for it.
- `error` is null if and only if the row succeeded. It has `code`, `message` and `line`. If the router refused the
  request, `response` has its status, too, as OpenAI's has.
- A row is one line of printable ASCII (other characters are escaped, as JSON allows), and always begins and ends in the
  same way. So the remnant that a kill or a power loss leaves (a missing end, zeros) can be told from a whole row, and
  from a line that was never a row. The line end alone does not tell, because other tools omit the last one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nomyo._counts import count
from nomyo._finite_json import ascii_json
from nomyo._unique_json import RepeatedNameError, parse_unique_json
from nomyo.errors import APIConnectionError, APIError, BatchError, NomyoError
from nomyo.exchange.protocol import OF_THE_CLIENT, SECURITY_TIERS
from nomyo.openai_form.error import named_in
from nomyo.responses import ChatCompletionResponse

METHOD: Final = "POST"
URL: Final = "/v1/chat/completions"
UNWRITABLE: Final = BatchError("the answer holds a number that is too long")
"""The failure of a row whose answer cannot be written as JSON."""
BOM: Final = b"\xef\xbb\xbf"
TOO_DEEP: Final = "the line is JSON that is too deep, or has a number that is too long"
FIRST_BYTES: Final = b'{"id":"batch_req_'
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
    """The body of the chat completion."""


class BadRow(ValueError):  # noqa: N818 - a row, which is an outcome too
    """A line of the input that cannot be sent. Its message says why, without content."""

    def __init__(self, line: int, code: str, message: str, custom_id: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.code = code
        self.custom_id = custom_id


@dataclass(frozen=True, slots=True)
class Mark:
    """What a row of the output says about its row of the input."""

    line: int
    failed: bool
    sealed: bool = False
    """Whether its content is sealed (`nomyo.batch.sealed`)."""


def read_row(line: int, content: bytes | None) -> Row | BadRow:
    """Read a line of the input.

    Args:
        line: The line's number, from 1.
        content: The line in UTF-8; the first line may have a byte order mark. None for a line that is too long.
    """
    if content is None:
        return BadRow(line, "invalid_row", "the line is too long")
    row = parsed_line(content.removeprefix(BOM) if line == 1 else content, parse_unique_json)
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


def parsed_line(content: bytes, parse: Callable[[str], Any] = json.loads) -> Any:
    """Return the parsed line, or a string that says what is wrong: the parser's own errors hold the whole line."""
    try:
        parsed = parse(content.decode())
    except UnicodeDecodeError:
        return "the line is not UTF-8"
    except json.JSONDecodeError as error:
        return f"the line is not JSON: character {error.pos + 1}"
    except RepeatedNameError:
        return "the line has the same name twice in one object"
    except (ValueError, RecursionError):  # an integer of too many digits; nesting
        return TOO_DEEP
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
    """Return the output's row for an answer; if the answer cannot be written as JSON, the row for an error."""
    metadata = response.get("_metadata")
    request_id = metadata.get("payload_id") if isinstance(metadata, dict) else None
    content = {"status_code": 200, "request_id": request_id, "body": response}
    try:
        return _encoded(row.line, row.custom_id, content, None)
    except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
        pass
    return failed(row.line, row.custom_id, UNWRITABLE)


def tokens_of(response: ChatCompletionResponse) -> tuple[int, int]:
    """Return the tokens of the prompt and of the answer, as the router counts them; 0 for an unknown count."""
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    return count(usage.get("prompt_tokens")) or 0, count(usage.get("completion_tokens")) or 0


def failed(line: int, custom_id: str | None, error: Exception) -> bytes:
    """Return the output's row for an error, with the server's own words if it sent any."""
    code, message = code_of(error), _message(error)
    response = None
    if isinstance(error, APIError):
        named = named_in(error.error_details)
        body = {"error": {"message": message, "type": code, "param": None, "code": None, **named}}
        response = {"status_code": error.status_code, "request_id": None, "body": body}
    return _encoded(line, custom_id, response, {"code": code, "message": message, "line": line})


def whole_row(line: bytes) -> tuple[bytes, Mark] | None:
    """Return a line of an output in the form that this module writes, and its mark; None if it is not a whole row.

    JSON tools that rewrote the output may have changed spaces and order, written text that is not ASCII, added a byte
    order mark, or omitted the last line end. A part of a row is not JSON, so whole rows are found without the line end.
    """
    mark = read_mark(line)
    if mark is not None and line.find(FIRST_BYTES, 1) < 0:
        return line, mark
    bare = line.removeprefix(BOM).strip()
    row = parsed_line(bare)  # refuses two rows in one line, even if one was cut: JSON escapes quotes within its text
    if not isinstance(row, dict) or not {"id", "error"} <= row.keys():
        return None
    mark = read_mark(bare + b"\n")
    if mark is not None:
        return bare + b"\n", mark
    between = {name: value for name, value in row.items() if name not in ("id", "error")}
    try:
        written = _one_line({"id": row["id"], **between, "error": row["error"]})
    except (ValueError, RecursionError):  # Python reads deeper than it writes
        return None
    mark = read_mark(written)
    return None if mark is None else (written, mark)


def is_remnant(line: bytes) -> bool:
    """Return whether a last line, which is not a whole row, may be what a kill or a power loss left of one.

    Such a remnant is the beginning of one row, perhaps with zeros in place of a block that never reached the disk. Any
    other line was made by somebody else: rows whose line ends a tool removed, for example.
    """
    left = line.strip(b"\0")
    begins_as_a_row = left[: len(FIRST_BYTES)] == FIRST_BYTES[: len(left)]
    return begins_as_a_row and not line.endswith(b"\n") and line.count(FIRST_BYTES) <= 1


def read_mark(row: bytes) -> Mark | None:
    """Return the mark of a line of the output; None if the line is not a whole row."""
    return mark_at_ends(row) if row.isascii() and b"\0" not in row else None


def mark_at_ends(row: bytes | memoryview) -> Mark | None:
    """Return what `read_mark` returns, for a line that is known to be ASCII."""
    begin = _BEGIN.match(row)
    if begin is None or row[-len(_END) :] != _END:
        return None
    return Mark(int(begin[1]), not is_success(row), begin[2] is not None)


def is_success(row: bytes | memoryview) -> bool:
    """Return whether a whole row of the output holds an answer."""
    return row[-len(_END_OF_SUCCESS) :] == _END_OF_SUCCESS


def _encoded(line: int, custom_id: str | None, response: Any, error: Any) -> bytes:
    row = {"id": f"batch_req_{line}", "custom_id": custom_id, "response": response, "error": error}
    return _one_line(row)


def _one_line(row: Mapping[str, Any]) -> bytes:
    return ascii_json(row, separators=(",", ":")).encode("ascii") + b"\n"


def code_of(error: Exception) -> str:
    """Return a name for an error in OpenAI's style: `rate_limit_error`."""
    if isinstance(error, BadRow):
        return error.code
    if isinstance(error, APIConnectionError):
        return "timeout" if error.timed_out else "connection_error"
    if isinstance(error, (ValueError, TypeError)):
        return "invalid_request"
    return _WORD.sub("_", type(error).__name__.replace("API", "Api")).lower()


def _message(error: Exception) -> str:
    """Return an error's message if nomyo wrote it, so that it shows no content; else the name of its class."""
    return str(error) if isinstance(error, (NomyoError, ValueError, TypeError)) else type(error).__name__
