"""The table of translations, which readers can look into, too: `translations.json`.

A request has `given` (beside a model and an input of "Hi") and the `chat` that is sealed, or how it is refused. An
answer has the `completion`, what was asked for in its `request`, and the fields of its `response`; `*` stands for any
ID.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nomyo._api_form import MalformedRequestError, UnfitAnswerError
from nomyo.openai_form.responses.events import events_of
from nomyo.openai_form.responses.form import ResponsesForm
from nomyo.openai_form.responses.request import ResponsesRequest

TABLE = json.loads((Path(__file__).parent / "translations.json").read_text(encoding="utf-8"))
HEAD = {"id": "c", "object": "chat.completion", "created": 1_700_000_000, "model": "m"}
FORM = ResponsesForm()


def named(kind: str, *fields: str) -> list[Any]:
    rows = [row for row in TABLE[kind] if all(field in row for field in fields)]
    return [pytest.param(row, id=row["name"]) for row in rows]


def read(given: dict[str, Any]) -> ResponsesRequest:
    return FORM.read(json.dumps({"model": "m", "input": "Hi", **given}).encode(), [])


def answered(row: dict[str, Any]) -> Any:
    answer = FORM.answer({**HEAD, **row["completion"]}, read(row.get("request", {})))
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def without_ids(value: Any, expected: Any) -> Any:
    """Return a value with a star for each ID that may be any."""
    if isinstance(value, dict) and isinstance(expected, dict):
        return {name: without_ids(each, expected.get(name)) for name, each in value.items()}
    if isinstance(value, list) and isinstance(expected, list) and len(value) == len(expected):
        return [without_ids(*pair) for pair in zip(value, expected, strict=True)]
    return "*" if expected == "*" and isinstance(value, str) and value else value


def test_table_is_large() -> None:
    assert min(len(TABLE[kind]) for kind in ("requests", "answers")) >= 60
    for rows in TABLE.values():
        names = [row["name"] for row in rows]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("row", named("requests", "chat"))
def test_request_becomes_a_chat(row: dict[str, Any]) -> None:
    said = {"messages": [{"role": "user", "content": "Hi"}]}

    assert read(row["given"]).payload == {"model": "m", **said, **row["chat"]}


@pytest.mark.parametrize("row", named("requests", "refused"))
def test_request_is_refused_with_the_path_of_its_fault(row: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequestError) as raised:
        read(row["given"])

    assert raised.value.param == row["refused"]["param"]
    assert row["refused"]["words"] in str(raised.value)


@pytest.mark.parametrize("row", named("answers", "response"))
def test_answer_becomes_a_response(row: dict[str, Any]) -> None:
    response = answered(row)

    expected = row["response"]
    assert without_ids({name: response[name] for name in expected}, expected) == expected


@pytest.mark.parametrize("row", named("answers", "unfit"))
def test_answer_that_is_not_clear_is_none(row: dict[str, Any]) -> None:
    with pytest.raises(UnfitAnswerError, match=row["unfit"]):
        answered(row)


@pytest.mark.parametrize("row", named("answers", "response"))
def test_events_tell_each_item_and_end_with_the_whole(row: dict[str, Any]) -> None:
    response = answered(row)
    events = list(events_of(response, count()))

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1] == {
        "type": f"response.{response['status']}",
        "sequence_number": len(events) - 1,
        "response": response,
    }
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == response["output"]
    for place, item in enumerate(response["output"]):
        assert told(events, place) == said_in(item)


def told(events: list[dict[str, Any]], place: int) -> str:
    of_item = [event for event in events if event.get("output_index") == place]
    assert of_item[0]["type"] == "response.output_item.added"
    assert of_item[-1]["type"] == "response.output_item.done"
    return "".join(event["delta"] for event in of_item if event["type"].endswith(".delta"))


def said_in(item: dict[str, Any]) -> str:
    parts = item.get("content", [item])
    names = ("text", "refusal", "arguments", "input")
    return "".join(part[name] for part in parts for name in names if name in part)
