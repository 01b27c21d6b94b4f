"""Makes a stream of chunks from a whole chat completion, for clients that ask for `"stream": true`.

The stream is well formed but not incremental, because an answer is opened only after its tag has been checked. These
rules let clients rebuild the answer, the OpenAI SDK's `accumulate_delta` above all:

- Every field of a message is in deltas of its own, and in one delta alone if it is no text: clients join strings,
  level by level, and know no order of lists without `index`.
- Reasoning comes before content. The finish reason comes last, alone with an empty delta. For its reader, a stream
  without one has not ended, so an answer without a finish reason gets the one that fits its content.
- An entry's place in a list is its index if the server's `index` does not tell the entries apart: Ollama wrote 0 into
  each tool call, others write null. Clients join entries with the same `index`, and put the first choice at 0.
- Lines stay below 64 KiB, because line readers refuse long ones (Go's `bufio.Scanner` from 64 KiB on, aiohttp's from
  128 KiB on). Values that clients do not join are in one line, however long: lists except those of `logprobs`, and the
  fields of the answer beside its choices.
- Content and the arguments of calls are strings in a delta, whatever form the server gives them. Malformed calls,
  functions and log probabilities are left out, because a client that joins them fails at them, as the SDK does.
- Choices follow each other by index.

A stream repeats its head in each chunk, and whoever makes the answer decides how long the head is and how many chunks
there are. Three rules keep the whole stream within a small multiple of the answer:

- Long fields of the head are only in the first chunk. Text below long names is not cut.
- Small chunks of their own are made until the frames around them have taken `FRAMES_BYTES`. That is enough for some
  thousand chunks; the parts that follow share chunks.
- There are at most `MAX_CHOICES` choices, because each takes more bytes in the stream than an empty one in the answer.

Real answers are within these bounds, which change nothing in their streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from .._api_form import UnfitAnswerError
from .._finite_json import utf8_json

Fields = dict[str, Any]

# A character takes at most 6 bytes in JSON (an escaped control character), so a piece has at most 24 KiB.
PIECE_CHARACTERS: Final = 4096
RUN_BYTES: Final = 24 * 1024
HEAD_FIELD_BYTES: Final = 512
"""The longest JSON of a field that every chunk repeats. The longest real value is a model that is named by a path."""
FRAMES_BYTES: Final = 256 * 1024
"""The total of the frames around parts of the answer that have a chunk of their own."""
NAMES_CHARACTERS: Final = 128
"""The longest total of the field names around a piece of text, which are repeated around each piece."""
MAX_CHOICES: Final = 1024
"""The most choices of a stream. OpenAI's `n` is at most 128."""
_AROUND_PART: Final = 'data: ,"choices":[{"index":1000,"delta":{},"finish_reason":null}]\n\n'
_PART_FRAME_BYTES: Final = len('{"index":0,"delta":{},"finish_reason":null}')
_IN_EVERY_CHUNK: Final = ("id", "created", "model", "service_tier", "system_fingerprint")
_NOT_IN_CHUNKS: Final = ("choices", "object", "usage")
_OF_A_PART: Final = ("index", "message", "delta", "logprobs")


class UnstreamableError(UnfitAnswerError):
    """An answer cannot be a stream. The message shows no content."""


def chunks_of(response: Mapping[str, Any], include_usage: bool) -> Iterator[Fields]:
    """Yield the chunks of a chat completion.

    Args:
        response: A whole chat completion; it is not changed. Its other fields (`_metadata`) are in the first chunk.
        include_usage: As in `stream_options`: whether a last chunk without choices gives the usage.

    Raises:
        UnstreamableError: The answer has more than `MAX_CHOICES` choices; raised before the first chunk.
        ValueError: As from `utf8_json`.
    """
    choices = _choices(response)
    head: Fields = {name: response[name] for name in _IN_EVERY_CHUNK if name in response and _is_short(response[name])}
    further = {name: value for name, value in response.items() if name not in (*head, *_NOT_IN_CHUNKS)}
    head["object"] = "chat.completion.chunk"
    unused = {"usage": None} if include_usage else {}
    parts = ({"index": index, **part} for index, choice in choices for part in _parts(choice))
    for group in _grouped(parts, len(utf8_json(head)) + len(_AROUND_PART)):
        yield head | further | {"choices": group} | unused
        further = {}
    if include_usage:
        yield head | further | {"choices": [], "usage": response.get("usage")}
    elif not choices:
        yield head | further | {"choices": []}


def _is_short(value: Any) -> bool:
    return len(utf8_json(value)) <= HEAD_FIELD_BYTES


def _grouped(parts: Iterator[Fields], frame_bytes: int) -> Iterator[list[Fields]]:
    """Yield the parts of all choices by chunk: one part each until `FRAMES_BYTES` are used, then `RUN_BYTES`."""
    for part in islice(parts, FRAMES_BYTES // frame_bytes):
        yield [part]
    run: list[Fields] = []
    run_bytes = 0
    for part in parts:
        part_bytes = len(utf8_json(part))
        around_bytes = _PART_FRAME_BYTES if run and run[-1]["index"] == part["index"] else 0
        if run and run_bytes + part_bytes <= RUN_BYTES and _merge_into(run, part):
            run_bytes += part_bytes - around_bytes
            continue
        if run:
            yield run
        run, run_bytes = [part], part_bytes
    if run:
        yield run


def _merge_into(run: list[Fields], part: Fields) -> bool:
    """Merge a part into a run, and change the run's parts. Return False if clients would then read something else."""
    last = run[-1]
    if last["index"] != part["index"]:
        run.append(part)
        return True
    if "logprobs" in last and "logprobs" in part:
        return False
    delta = last["delta"]
    if not all(_can_join(delta.get(name), value) for name, value in part["delta"].items()):
        return False
    for name, value in part["delta"].items():
        if delta.get(name) is None:
            delta[name] = value
        else:
            delta[name] += value
    last.update(part, delta=delta)
    return True


def _can_join(known: Any, further: Any) -> bool:
    """Return whether two values of a field can be in one delta: texts are joined, tool calls have their index."""
    if isinstance(known, list):  # no other list is in more than one delta
        return bool(known[-1]["index"] < further[0]["index"])
    return known is None or (isinstance(known, str) and isinstance(further, str))


def _choices(response: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the choices with their indices: the server's own if they are 0, 1, 2, ..., else their places."""
    choices = response.get("choices")
    found = [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []
    if len(found) > MAX_CHOICES:
        raise UnstreamableError(f"the router's answer has {len(found)} choices: a stream has {MAX_CHOICES} at most")
    given = [choice.get("index") for choice in found]
    numbers = [number for number in given if isinstance(number, (int, float)) and not isinstance(number, bool)]
    if len(numbers) < len(given) or sorted(numbers) != list(range(len(found))):
        numbers = list(range(len(found)))
    return sorted(((int(number), choice) for number, choice in zip(numbers, found, strict=True)), key=_index)


def _index(choice: tuple[int, Mapping[str, Any]]) -> int:
    return choice[0]


def _parts(choice: Mapping[str, Any]) -> Iterator[Fields]:
    """Yield one choice in parts: its deltas, then its finish reason."""
    message = choice.get("message", choice.get("delta"))
    message = message if isinstance(message, Mapping) else {}
    logprobs = [{"logprobs": piece} for piece in _logprobs_pieces(choice["logprobs"])] if "logprobs" in choice else []
    logprobs.reverse()
    for delta in _deltas(message):
        extra = logprobs.pop() if logprobs and delta.get("content") else {}
        yield {"delta": delta, "finish_reason": None} | extra
    while logprobs:
        yield {"delta": {}, "finish_reason": None} | logprobs.pop()
    rest = {name: value for name, value in choice.items() if name not in _OF_A_PART}
    yield {"delta": {}, **rest, "finish_reason": choice.get("finish_reason") or _reason_to_finish(message)}


def _reason_to_finish(message: Mapping[str, Any]) -> str:
    return next((name for name in ("tool_calls", "function_call") if message.get(name)), "stop")


def _deltas(message: Mapping[str, Any]) -> Iterator[Fields]:
    message = {**message, "content": as_text(message.get("content"))}
    yield {"role": message.get("role") or "assistant", "content": "" if isinstance(message["content"], str) else None}
    for name in sorted(message, key=lambda name: not name.startswith("reasoning")):
        value = message[name]
        if name == "role" or value is None:
            continue
        if name == "tool_calls":
            yield from _tool_call_deltas(value if isinstance(value, list) else [])
        elif name == "function_call" and isinstance(value, Mapping):
            yield from _named(name, _function(value), NAMES_CHARACTERS)
        else:
            yield from _named(name, _placed(value), NAMES_CHARACTERS)


def _tool_call_deltas(calls: list[Any]) -> Iterator[Fields]:
    for place, call in enumerate(filter(_is_call, calls)):
        named = {name: value for name, value in _call(call).items() if name != "index"}
        for part in _fragments(named, NAMES_CHARACTERS):
            yield {"tool_calls": [{**part, "index": place}]}


def _is_call(call: Any) -> bool:
    if not isinstance(call, Mapping):
        return False
    function = call.get("function", {})
    return isinstance(function, Mapping) or (function is None and call.get("type") == "custom")


def _call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool call with what clients need to rebuild it: a type, and arguments that are a string."""
    if not isinstance(call.get("function"), Mapping):
        return call
    return {**call, "type": call.get("type") or "function", "function": _function(call["function"])}


def _function(function: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = function.get("arguments")
    return {**function, "arguments": utf8_json(arguments).decode()} if isinstance(arguments, Mapping) else function


def as_text(content: Any) -> Any:
    """Return content that consists only of text parts as one text, because clients join content as strings."""
    if not isinstance(content, list) or not content:
        return content
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    strings = [text for text in texts if isinstance(text, str)]
    return "".join(strings) if len(strings) == len(content) else content


def _placed(value: Any) -> Any:
    """Return a list whose entries have an `index` with indices that differ: ascending, or else their places."""
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        return value
    indices = [entry["index"] for entry in value if "index" in entry]
    ascend = all(type(index) is int and index >= place for place, index in enumerate(indices))
    if not indices or (len(indices) == len(value) and ascend and indices == sorted(set(indices))):
        return value
    return [{**entry, "index": place} for place, entry in enumerate(value)]


def _named(name: str, value: Any, room: int) -> Iterator[Fields]:
    """Yield the parts of a field, each under the field's name."""
    return ({name: part} for part in _cut(name, value, room))


def _cut(name: str, value: Any, room: int) -> Iterator[Any]:
    """Yield the parts of a field's value; only one if the names around text need more characters than `room`."""
    return _fragments(value, room - len(name)) if len(name) <= room else iter([value])


def _fragments(value: Any, room: int) -> Iterator[Any]:
    """Yield a value in parts; joining their texts, level by level, gives the value again."""
    if isinstance(value, str):
        yield from _pieces(value)
    elif isinstance(value, Mapping):
        cut = {name: _begun(name, each, room) for name, each in value.items()}
        yield {name: next(parts) for name, parts in cut.items()}
        yield from ({name: part} for name, parts in cut.items() for part in parts)
    else:
        yield value


def _begun(name: str, value: Any, room: int) -> Iterator[Any]:
    """Yield the parts of a field. A long text begins with an empty part, so that all fields can begin in one line."""
    if isinstance(value, str) and len(value) > PIECE_CHARACTERS and len(name) <= room:
        yield ""
    yield from _cut(name, value, room)


def _pieces(text: str) -> Iterator[str]:
    """Cut a text into pieces, at least one."""
    return (text[start : start + PIECE_CHARACTERS] for start in range(0, max(len(text), 1), PIECE_CHARACTERS))


def _logprobs_pieces(logprobs: Any) -> Iterator[Any]:
    """Yield log probabilities in pieces, whose lists clients append to each other."""
    runs = {
        name: list(_runs(value))
        for name, value in _fields(logprobs).items()
        if isinstance(value, list) and len(name) <= NAMES_CHARACTERS
    }
    long = {name: each for name, each in runs.items() if len(each) > 1}
    if not long:
        yield logprobs if isinstance(logprobs, Mapping) else None
        return
    yield {**logprobs, **{name: [] for name in long}}
    yield from ({name: run} for name, each in long.items() for run in each)


def _fields(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _runs(entries: list[Any]) -> Iterator[list[Any]]:
    """Cut a list into runs of bounded JSON. An entry is never cut."""
    run: list[Any] = []
    size_bytes = 0
    for entry in entries:
        entry_bytes = len(utf8_json(entry))
        if run and size_bytes + entry_bytes > RUN_BYTES:
            yield run
            run, size_bytes = [], 0
        run.append(entry)
        size_bytes += entry_bytes
    if run:
        yield run
