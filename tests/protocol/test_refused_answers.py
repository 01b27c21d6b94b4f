"""Answers that are refused by what stands at their end, or by how much there is of them, before any object is made.

What CPython frees it does not wipe, so an object made of an answer that is then refused would stay in ordinary memory.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomyo import SecurityError, _core
from support.broken_ends import ENDS, TOO_MANY, many
from support.by_hand import Owner
from support.faults import FaultyRouter
from support.odd_answers import answer_in_turn, completion
from support.process import output_of
from support.small_stacks import KIB, LEAST_KIB, says_too_small
from support.twins import Twin

WHOLE = json.dumps(completion({"role": "assistant", "content": "Hello"}, _metadata={"a": [{}, {}]}))
MESSAGES = [{"role": "user", "content": "x"}]
NOT_JSON = "^the package was opened, but what was sealed in it is not JSON"


class Counted(dict[str, Any]):
    """Counts its instances."""

    made = 0

    def __new__(cls, *args: Any) -> Counted:
        cls.made += 1
        return super().__new__(cls, *args)


@pytest.fixture(scope="module")
def owner(client_key: _core.PrivateKey) -> Owner:
    return Owner(client_key)


def refused_without_an_object(package: bytes, key: _core.PrivateKey) -> None:
    for open_one in (_core.open_package, _core.open_secret):
        Counted.made = 0
        with pytest.raises(SecurityError, match=NOT_JSON):
            open_one(package, key, Counted)
        assert Counted.made == 0, open_one


@pytest.mark.parametrize("end", ENDS)
def test_answer_that_breaks_at_its_end_becomes_no_object(owner: Owner, client_key: _core.PrivateKey, end: str) -> None:
    assert _core.open_package(owner.seal(WHOLE.encode()), client_key, Counted)[0] == json.loads(WHOLE)
    assert Counted.made > 0
    refused_without_an_object(owner.seal(ENDS[end](WHOLE).encode()), client_key)


@pytest.mark.parametrize("what", TOO_MANY)
def test_more_values_than_any_answer_has_become_no_object(
    owner: Owner, client_key: _core.PrivateKey, what: str
) -> None:
    value, count = TOO_MANY[what]
    refused_without_an_object(owner.seal(many(value, count).encode()), client_key)


def test_more_fields_than_any_answer_has_become_no_object(owner: Owner, client_key: _core.PrivateKey) -> None:
    fields = ",".join(f'"{number:x}":0' for number in range(4_900_000))
    refused_without_an_object(owner.seal(f'{{"v":{{{fields}}}}}'.encode()), client_key)


def test_largest_answer_that_a_service_could_give_is_opened(owner: Owner, client_key: _core.PrivateKey) -> None:
    """32,768 tokens, each with its log probability and those of 20 others: 5.5 million values."""
    alternative = '{"token":" the","logprob":-12.345678,"bytes":[32,116,104,101]}'
    token = f'{alternative[:-1]},"top_logprobs":[{",".join([alternative] * 20)}]}}'
    choice = f'{{"index":0,"message":{{"content":"x"}},"logprobs":{{"content":[{",".join([token] * 32_768)}]}}}}'
    opened = _core.open_package(owner.seal(f'{{"choices":[{choice}]}}'.encode()), client_key)[0]
    tokens = opened["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 32_768
    assert tokens[-1] == json.loads(token)


@pytest.mark.parametrize("text", [f'{{"n": {"9" * 4300}, "m": -{"9" * 4300}}}', '{"usage": {"n": [1e999999, -0]}}'])
def test_integers_that_python_prints_are_opened(owner: Owner, client_key: _core.PrivateKey, text: str) -> None:
    package = owner.seal(text.encode())
    assert repr(_core.open_package(package, client_key)[0]) == repr(json.loads(text))
    assert _core.open_secret(package, client_key)[2]["usage"] == json.loads(text).get("usage")


@pytest.mark.parametrize("number", ["0." + "1" * 10_000_000, "1" * 10_000_000 + ".0", "1e" + "9" * 10_000_000])
def test_floats_of_any_length_are_read_in_no_time(owner: Owner, client_key: _core.PrivateKey, number: str) -> None:
    opened = _core.open_package(owner.seal(f'{{"n":{number}}}'.encode()), client_key)[0]
    assert opened["n"] in (float("0." + "1" * 30), float("inf"))


@pytest.mark.parametrize("end", ENDS)
def test_refused_answer_is_an_error_for_its_request_alone(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, end: str
) -> None:
    broken = ENDS[end](WHOLE)
    answer_in_turn(faulty_router, [broken, broken, WHOLE])
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    for method in (chat.create, chat.create_secure):
        with pytest.raises(SecurityError, match=NOT_JSON) as raised:
            twin.call(method, model="m", messages=MESSAGES)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None
    assert twin.call(chat.create, model="m", messages=MESSAGES).choices[0].message.content == "Hello"


def test_answer_that_is_too_deep_for_the_stack_becomes_no_object(owner: Owner, client_key: _core.PrivateKey) -> None:
    deep = '{"a": [{"b": 1}], "usage": ' + '{"a":' * 198 + "1" + "}" * 199
    package = owner.seal(deep.encode())
    said: list[str] = []

    def open_both() -> None:
        for open_one in (_core.open_package, _core.open_secret):
            try:
                open_one(package, client_key, Counted)
            except (MemoryError, RecursionError) as error:
                said.append(f"{type(error).__name__}: {error}")

    Counted.made = 0
    for stack_kib in (LEAST_KIB, 64, 96):
        threading.stack_size(stack_kib * KIB)
        try:
            thread = threading.Thread(target=open_both)
            thread.start()
        finally:
            threading.stack_size(0)
        thread.join()
    assert [says_too_small(words) for words in said] == [True] * 6, said
    assert Counted.made == 0


TOKEN = '{"token":"the","logprob":-1.5,"bytes":[116,104,101]}'
ESCAPES = 22_000_000
LARGE: dict[
    str, Callable[[], str]
] = {  # a second's work each; made where it is needed, not in each process of the tests
    "twenty megabytes of log probabilities": lambda: f"[{','.join([TOKEN] * 380_000)}]",
    "a text of escapes": lambda: '"' + r"\n" * ESCAPES + '"',
    "a name of escapes": lambda: '{"' + r"\n" * ESCAPES + '":1}',
}


# Prints the longest stretch of the process's work between two turns of the loop's, in seconds of processor time:
# whatever thread did it counts, other programs do not. All threads share a processor: the loop's, which mostly sleeps,
# then has its turn before those that work, and other programs stop either all of them or none.
STRETCHES = """
import asyncio, json, os, random, sys, time, warnings
import nomyo

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, [random.choice([*os.sched_getaffinity(0)])])
url, key_directory, method, expected = sys.argv[1:]
warnings.simplefilter("ignore")
stretches_s = []

async def tick():
    while True:
        before = time.process_time()
        await asyncio.sleep(0.001)
        stretches_s.append(time.process_time() - before)

async def ask():
    async with nomyo.SecureChatCompletion(url, True, key_dir=key_directory) as chat:
        ticking = asyncio.create_task(tick())
        answer = await getattr(chat, method)(model="m", messages=[{"role": "user", "content": "x"}])
        ticking.cancel()
        return answer.usage

usage = asyncio.run(ask())
with open(expected) as file:
    assert usage == json.load(file)
print(max(stretches_s))
"""


@pytest.mark.parametrize("method", ["create", "create_secure"])
@pytest.mark.parametrize("what", LARGE)
def test_loop_is_free_while_a_large_answer_is_opened(
    faulty_router: FaultyRouter,
    key_directory: Path,
    client_key: _core.PrivateKey,
    what: str,
    method: str,
    tmp_path: Path,
) -> None:
    """In a process of its own: a garbage collection goes through all objects of a process, and stops its threads."""
    usage = LARGE[what]()
    text = f'{WHOLE[:-1]},"usage":{usage}}}'.replace('"usage": ', '"used": ')
    package = Owner(client_key).seal(text.encode())
    faulty_router.change = lambda _: package
    (tmp_path / "expected.json").write_text(usage)
    arguments = (faulty_router.url, str(key_directory), method, str(tmp_path / "expected.json"))
    assert float(output_of(STRETCHES, *arguments)) < 0.3
