"""Non-finite numbers in an answer: `-1e400` reads as one, and routers in Python write NaN; others get null."""

from __future__ import annotations

import ast
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo._finite_json import ascii_json, finite_pieces, utf8_json, with_nulls
from nomyo.batch.records import Row, answered, read_mark
from nomyo.responses import ChatCompletionResponse
from support.chat_process import ask_by
from support.faults import FaultyRouter
from support.odd_answers import answer_with
from support.proxied import Proxy, chat
from support.sdk import Sdk
from support.twins import Twin

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
# As a router in Python may seal it: the text has the numbers as JSON that reads as none.
ANSWER = (
    '{"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "finish_reason":'
    ' "stop", "message": {"role": "assistant", "content": "NaN and \\"-Infinity\\" are words"}, "logprobs": {"content":'
    ' [{"token": "a", "logprob": -1e400}, {"token": "b", "logprob": Infinity}, {"token": "c", "logprob": -1.5},'
    ' {"token": "d", "logprob": NaN}]}}]}'
)
LOGPROBS = [None, None, -1.5, None]


def strictly(text: str | bytes) -> Any:
    """Parse JSON as other languages do."""

    def refuse(name: str) -> float:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def logprobs_of(choice: Any) -> list[Any]:
    return [entry["logprob"] for entry in choice["logprobs"]["content"]]


def test_client_opens_them_as_python_does(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    answer_with(faulty_router, ANSWER)
    response = twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, model="m", messages=HELLO)
    *numbers, last = logprobs_of(response.choices[0])
    assert numbers == [-math.inf, math.inf, -1.5]
    assert math.isnan(last)


def test_proxy_writes_null(proxy: Proxy, faulty_router: FaultyRouter) -> None:
    answer_with(faulty_router, ANSWER)
    whole = proxy.post(chat())
    assert logprobs_of(strictly(whole.content)["choices"][0]) == LOGPROBS
    streamed = proxy.post(chat(stream=True))
    events = [line.removeprefix("data: ") for line in streamed.text.split("\n\n")[:-2]]
    choices = [choice for event in events for choice in strictly(event)["choices"]]
    assert [logprobs_of(choice) for choice in choices if choice.get("logprobs")] == [LOGPROBS]


@pytest.mark.parametrize("stream", [False, True])
def test_sdk_reads_none(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, stream: bool) -> None:
    answer_with(faulty_router, ANSWER)
    client = sdk.client(faulty_router.url, key_dir=key_directory)
    request: dict[str, Any] = {"model": "m", "messages": HELLO}
    answers = sdk.chunks(client, **request) if stream else [sdk.call(client.chat.completions.create, **request)]
    logprobs = [choice.logprobs for answer in answers for choice in answer.choices if choice.logprobs]
    assert [[entry.logprob for entry in told.content] for told in logprobs] == [LOGPROBS]


@pytest.mark.parametrize("source", ["argument", "secret file"])
def test_chat_prints_null(source: str, faulty_router: FaultyRouter, tmp_path: Path) -> None:
    answer_with(faulty_router, ANSWER)
    done = ask_by(source, "hello", tmp_path, "--base-url", faulty_router.url, "--allow-http", "--json")
    assert done.returncode == 0, done.stderr
    assert logprobs_of(strictly(done.stdout)["choices"][0]) == LOGPROBS


def test_row_of_a_batch_holds_null_and_is_no_failure() -> None:
    answer = ChatCompletionResponse(json.loads(ANSWER), usage=math.nan)
    row = answered(Row(3, "a", {}), answer)
    mark = read_mark(row)
    assert mark is not None
    assert not mark.failed
    body = strictly(row)["response"]["body"]
    assert (logprobs_of(body["choices"][0]), body["usage"]) == (LOGPROBS, None)


def test_nothing_but_the_number_changes() -> None:
    value = {"a": [1, -0.0, 1e308, math.inf, {"b": math.nan, "c": "é\ud800\u2028\U0001f600"}], "d": (True, None)}
    as_read = {"a": [1, -0.0, 1e308, None, {"b": None, "c": "é\ud800\u2028\U0001f600"}], "d": [True, None]}
    assert strictly(ascii_json(value)) == as_read
    written = utf8_json(value)
    assert strictly(written) == as_read
    assert (b"\\ud800" in written, "é".encode() in written, len(written.decode().splitlines())) == (True, True, 1)
    assert value["a"][3] == math.inf  # the caller's own


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{"a": NaN, "b": [Infinity, -Infinity, 1]}', '{"a": null, "b": [null, null, 1]}'),
        ('{"a": "NaN, \\" -Infinity 1e999", "NaN": 1e999}', '{"a": "NaN, \\" -Infinity 1e999", "NaN": null}'),
        (f'{{"a": {"9" * 250}e99, "b": {"9" * 250}.5E+99}}', '{"a": null, "b": null}'),
        (f'{{"a": {"9" * 400}.0, "b": -{"9" * 400}e-1}}', '{"a": null, "b": null}'),
        (f'{{"a": {"9" * 400}e-399, "b": {"9" * 250}e9, "c": {"9" * 400}, "d": 1e5, "e": 0.5}}',) * 2,
        ('{"a": -1E+0400, "b": 1e-999, "c": 1e+0000000001, "d": 1e300}',) * 2,
        (f'{{"a": {"9" * 400}.5, "b": {"9" * 400}}}', f'{{"a": null, "b": {"9" * 400}}}'),
    ],
)
def test_text_in_locked_memory_is_written_with_nulls(text: str, written: str) -> None:
    expected = written.replace("-1E+0400", "null")
    assert b"".join(bytes(piece) for piece in finite_pieces(memoryview(text.encode()))).decode() == expected


def test_no_module_writes_json_that_others_cannot_read() -> None:
    package = Path(nomyo.__file__).parent
    read_by_ourselves = {"batch/ray/rows.py"}
    bare = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("json.dumps", "json.dump"):
                continue
            if not any(ast.unparse(each) == "allow_nan=False" for each in node.keywords):
                bare.add(str(path.relative_to(package)))
    assert bare == read_by_ourselves


def test_any_number_is_left_or_null_as_python_reads_it() -> None:
    """By texts of a fixed seed: the pieces are JSON, and differ where Python reads no finite number alone."""
    chance = random.Random(11)

    def digits(most: int) -> str:
        return "".join(chance.choices("0123456789", k=chance.choice((1, 2, 3, most))))

    def number() -> str:
        whole = chance.choice(("0", chance.choice("123456789") + digits(400)))
        fraction = chance.choice(("", f".{digits(400)}"))
        exponent = chance.choice(("", chance.choice("eE") + chance.choice(("", "+", "-")) + digits(4)))
        return chance.choice(("", "-")) + whole + fraction + exponent

    def value(depth: int) -> str:
        kinds: list[Callable[[], str]] = [
            number,
            lambda: chance.choice(("NaN", "Infinity", "-Infinity", "null", "true")),
        ]
        kinds += [lambda: json.dumps(chance.choice((f'\\"{number()}', "NaN, \\", f"{number()} 1e999"))), number]
        if depth:
            kinds += [lambda: f"[{value(depth - 1)}, {value(depth - 1)}]", lambda: f'{{"1e999":{value(depth - 1)}}}']
        return chance.choice(kinds)()

    for text in [f'{{"a":0.{"3" * 320}e5}}', f'{{"a":1{"0" * 320}e-400}}', *(value(3) for _ in range(3000))]:
        written = b"".join(bytes(piece) for piece in finite_pieces(memoryview(text.encode())))
        assert strictly(written) == with_nulls(json.loads(text)), text
