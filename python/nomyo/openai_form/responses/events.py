"""A whole response as the sequence of events of a stream.

The sequence is complete and well formed but not incremental, as the chunks of a chat completion are (`chunks`): each
item, and each of its parts, is begun, told piece by piece, and ended, and the whole response comes last. Source: the
types of OpenAI's SDK (`openai.types.responses`), whose accumulators read it in tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..chunks import PIECE_CHARACTERS

Event = dict[str, Any]

# For each type of part: its field of text, and the name of its events.
_PARTS: Final = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_CALLS: Final = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}


def events_of(response: Mapping[str, Any], numbers: Iterator[int]) -> Iterator[Event]:
    """Yield the events of a response.

    Args:
        response: A whole response, as from `response_of`; it is not changed.
        numbers: Gives each event its number.
    """
    for event in _sequence(response):
        yield {"type": event.pop("type"), "sequence_number": next(numbers), **event}


def _sequence(response: Mapping[str, Any]) -> Iterator[Event]:
    begun = {**response, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for place, item in enumerate(response["output"]):
        yield from _item_events(item, place)
    yield {"type": f"response.{response['status']}", "response": response}


def _item_events(item: Event, place: int) -> Iterator[Event]:
    where = {"item_id": item["id"], "output_index": place}
    text_field, name = _CALLS.get(item["type"], ("content", ""))
    begun = {**item, "status": "in_progress", text_field: "" if name else []}
    yield {"type": "response.output_item.added", "output_index": place, "item": begun}
    if name:
        yield from _call_events(item, text_field, name, where)
    else:
        for part_place, part in enumerate(item["content"]):
            yield from _part_events(part, {**where, "content_index": part_place})
    yield {"type": "response.output_item.done", "output_index": place, "item": item}


def _call_events(item: Event, text_field: str, name: str, where: Event) -> Iterator[Event]:
    text = item[text_field]
    for piece in _pieces(text):
        yield {"type": f"{name}.delta", **where, "delta": piece}
    named = {"name": item["name"]} if item["type"] == "function_call" else {}
    yield {"type": f"{name}.done", **where, **named, text_field: text}


def _part_events(part: Event, where: Event) -> Iterator[Event]:
    text_field, name = _PARTS[part["type"]]
    text = part[text_field]
    with_logprobs: Event = {"logprobs": []} if part["type"] == "output_text" else {}
    begun = {**part, text_field: "", **({"annotations": [], "logprobs": []} if with_logprobs else {})}
    yield {"type": "response.content_part.added", **where, "part": begun}
    for piece in _pieces(text):
        yield {"type": f"{name}.delta", **where, "delta": piece, **with_logprobs}
    for place, annotation in enumerate(part.get("annotations", ())):
        told = {"annotation_index": place, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **where, **told}
    whole = {"logprobs": part["logprobs"]} if with_logprobs else {}
    yield {"type": f"{name}.done", **where, text_field: text, **whole}
    yield {"type": "response.content_part.done", **where, "part": part}


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS))
