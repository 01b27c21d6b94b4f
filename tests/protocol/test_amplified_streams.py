"""A stream is a small multiple of its answer, whatever the answer is made of, and nobody holds all of it at once."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from nomyo.openai_form.chunks import HEAD_FIELD_BYTES, MAX_CHOICES, RUN_BYTES, chunks_of
from nomyo.openai_form.event_stream import streamed
from support.amplified import (
    ANSWERS,
    LONG,
    MULTIPLE,
    message,
    most_bytes,
    stream_bytes,
    text_of,
    text_of_calls,
    with_head,
)
from support.amplified import CALLS as AMPLIFIED_CALLS
from support.faults import FaultyRouter
from support.joined_chunks import joined, parts_of
from support.odd_answers import HEAD, answer_in_turn, answer_with, completion
from support.process import output_of
from support.proxied import TOKEN, Proxy, chat, error_of, proxy_process
from support.sdk import Sdk
from support.waiting import until

STREAM = {"stream": True, "stream_options": {"include_usage": True}}
CALLS: list[dict[str, Any]] = [{"id": f"call_{i}", "type": "function", "function": {"name": "f"}} for i in range(3_000)]


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had at once."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def received(proxy: Proxy, most: int) -> tuple[int, bytes]:
    """Read a stream, up to a little more than `most` bytes; return how many came, and the last of them."""
    count, end = 0, b""
    headers = proxy.headers(content_type="application/json")
    with httpx.stream(
        "POST",
        f"{proxy.url}/v1/chat/completions",
        json=chat(**STREAM),
        headers=headers,
        timeout=120,
        trust_env=False,
    ) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_bytes():
            count += len(piece)
            end = (end + piece)[-100:]
            if count > most:
                break
    return count, end


@pytest.mark.parametrize("what", ANSWERS)
def test_stream_of_the_proxy_is_a_small_multiple_of_the_answer(
    proxy: Proxy, faulty_router: FaultyRouter, what: str
) -> None:
    text = text_of(what)
    answer_with(faulty_router, text)
    before = peak_bytes(proxy.process.pid)
    count, end = received(proxy, most_bytes(text))
    assert count <= most_bytes(text)
    assert end.endswith(b"data: [DONE]\n\n")
    assert peak_bytes(proxy.process.pid) - before < 24 * len(text) + 24 * 2**20


def steps_of_growth(call: str, *counts: int) -> list[int]:
    """Return how many bytes larger the stream of each number of calls is than that of the number before."""
    return [after - before for before, after in pairwise(stream_bytes(text_of_calls(call, count)) for count in counts)]


@pytest.mark.parametrize("call", AMPLIFIED_CALLS)
def test_stream_of_a_million_calls_is_a_small_multiple_too(call: str) -> None:
    """By its growth, which is that of the calls; `make soak` streams the million."""
    text = text_of_calls(call, 10_000)
    assert stream_bytes(text) <= most_bytes(text)
    first, second = steps_of_growth(call, 10_000, 20_000, 30_000)
    # An index has five digits there, and at most one more in a million.
    assert max(first, second) / 10_000 + 1 <= MULTIPLE * len(f"{call},")
    assert abs(first - second) <= 2 * RUN_BYTES  # a chunk more or less


@pytest.mark.parametrize("call", AMPLIFIED_CALLS)
def test_stream_whose_calls_share_no_chunks_would_be_seen(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nomyo.openai_form.chunks.FRAMES_BYTES", 2**60)
    (step,) = steps_of_growth(call, 100, 200)
    assert step / 100 > MULTIPLE * len(f"{call},")


def test_client_that_does_not_read_has_no_more_made_than_its_connection_holds(
    faulty_router: FaultyRouter, key_directory: Path
) -> None:
    answer_with(faulty_router, completion(message(tool_calls=[{}] * 400_000, content=LONG * 100)))
    body = json.dumps(chat(**STREAM)).encode()
    with proxy_process(faulty_router.url, key_directory) as proxy:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            connection.settimeout(120)
            connection.connect(("127.0.0.1", proxy.port))
            head = [
                "POST /v1/chat/completions HTTP/1.1",
                f"Host: 127.0.0.1:{proxy.port}",
                f"Authorization: Bearer {TOKEN}",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
            ]
            connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
            assert b" 200 " in connection.recv(100)
            assert proxy.get("/healthz").status_code == 200  # while the stream stands still
        until(lambda: "nomyo_proxy_in_flight 0.0" in proxy.get("/metrics").text)
        proxy.stop()
    assert "Traceback" not in proxy.stderr
    (made,) = (int(count) for count in re.findall(r"POST /v1/chat/completions 200 in=\d+ out=(\d+)", proxy.stderr))
    assert made < 6 * 2**20  # of 11 MB: the kernel holds up to 4 MiB of a connection (net.ipv4.tcp_wmem)


PROGRAM = """
import asyncio, json, re, sys, httpx
from pathlib import Path
from nomyo.transports import AsyncSecureTransport, SecureTransport

kind, url, keys = sys.argv[1:]
options = {"allow_http": True, "key_dir": keys}
body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "stream": True}
address = f"{url}/v1/chat/completions"

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def by_transport():
    with httpx.Client(transport=SecureTransport(url, **options), timeout=120) as client:
        with client.stream("POST", address, json=body) as answer:
            return sum(map(len, answer.iter_bytes()))

def by_async_transport():
    async def run():
        async with httpx.AsyncClient(transport=AsyncSecureTransport(url, **options), timeout=120) as client:
            async with client.stream("POST", address, json=body) as answer:
                return sum([len(piece) async for piece in answer.aiter_bytes()])
    return asyncio.run(run())

def by_sdk():
    from nomyo.openai import OpenAI
    with OpenAI(api_key="a", base_url=url, timeout=120, **options) as client:
        return sum(len(chunk.model_dump_json()) for chunk in client.chat.completions.create(**body))

read = {"sync": by_transport, "async": by_async_transport, "sdk": by_sdk}[kind]
read()
before = peak()
print(read(), peak() - before)
"""


@pytest.mark.parametrize("kind", ["sync", "async", "sdk"])
def test_stream_in_a_program_is_a_small_multiple_of_the_answer(
    faulty_router: FaultyRouter, key_directory: Path, kind: str
) -> None:
    text = text_of("a long id and many tool calls")
    # The first of its requests is for what a first request loads.
    answer_in_turn(faulty_router, [completion(message(content="a")), text])
    program = PROGRAM.replace("import asyncio", "import warnings; warnings.simplefilter('ignore')\nimport asyncio")
    count, growth = map(int, output_of(program, kind, faulty_router.url, str(key_directory)).split())
    assert count <= 3 * most_bytes(text)  # the SDK writes out what a chunk leaves out
    assert growth < 32 * 2**20


def test_answer_of_more_choices_than_any_service_gives_is_no_stream(
    proxy: Proxy, sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    answer_with(faulty_router, {**HEAD, "choices": [{}] * (MAX_CHOICES + 1)})
    answer = proxy.post(chat(**STREAM))
    assert error_of(answer) == (502, "server_error", "unwritable_answer")
    assert answer.headers["x-should-retry"] == "false"
    assert f"{MAX_CHOICES + 1} choices" in answer.json()["error"]["message"]
    assert len(proxy.post(chat()).json()["choices"]) == MAX_CHOICES + 1  # whole, it is what it is
    client = sdk.client(faulty_router.url, key_dir=key_directory)
    with pytest.raises(Exception, match=f"{MAX_CHOICES + 1} choices"):
        sdk.chunks(client, model="m", messages=[{"role": "user", "content": "a"}])


ROUND = {
    "tool calls": message(tool_calls=CALLS),
    "fields": {"role": "assistant", "content": "so", **{f"field {i}": {"a": i} for i in range(3_000)}},
    "texts": {"role": "assistant", "content": "so", **{f"field {i}": f"text {i}" for i in range(3_000)}},
    "all": {"role": "assistant", "content": LONG, "refusal": LONG, "tool_calls": CALLS, "audio": {"data": LONG}},
}


@pytest.mark.parametrize("what", ROUND)
def test_what_shares_chunks_is_put_together_as_it_was(what: str) -> None:
    chunks = list(chunks_of(completion(ROUND[what]), include_usage=False))
    rebuilt = joined(part["delta"] for part in parts_of(chunks))
    for call in rebuilt.get("tool_calls", ()):
        del call["index"]
    assert rebuilt == {name: value for name, value in ROUND[what].items() if value is not None or name == "content"}
    assert max(len(json.dumps(chunk)) for chunk in chunks) < 2 * RUN_BYTES
    assert len(chunks) < 2_000
    assert [part["finish_reason"] for part in parts_of(chunks)][-1] == "stop"
    assert all(len({choice["index"] for choice in chunk["choices"]}) == len(chunk["choices"]) for chunk in chunks)


def test_choices_that_share_chunks_are_put_together_as_they_were() -> None:
    texts = [{"role": "assistant", "content": f"text {i}"} for i in range(MAX_CHOICES)]
    chunks = list(chunks_of(completion(*texts), include_usage=False))
    rebuilt = [joined(part["delta"] for part in parts_of(chunks, index)) for index in range(MAX_CHOICES)]
    assert rebuilt == texts
    assert max(len(chunk["choices"]) for chunk in chunks) > 1


@pytest.mark.parametrize("what", ["tool calls", "all"])
def test_sdk_puts_together_what_shares_chunks(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    told: Mapping[str, Any] = {**ROUND[what], "tool_calls": CALLS[:400]}
    # With a head as long as chunks may have it, a hundred of them share the rest.
    answer_with(faulty_router, with_head({"id": LONG, **dict.fromkeys(("model", "service_tier"), "h" * 510)}, told))
    client = sdk.client(faulty_router.url, key_dir=key_directory)
    whole = sdk.put_together(client, model="m", messages=[{"role": "user", "content": "a"}]).to_dict()
    (choice,) = whole["choices"]
    assert whole["id"] == LONG
    assert [call["id"] for call in choice["message"]["tool_calls"]] == [call["id"] for call in CALLS[:400]]
    assert choice["message"].get("content") == told["content"]


def test_field_of_the_head_is_in_every_chunk_up_to_its_bound() -> None:
    short, long = "h" * (HEAD_FIELD_BYTES - 2), "h" * (HEAD_FIELD_BYTES - 1)
    first, *others = chunks_of({**completion(message(content=LONG)), "id": short, "model": long}, False)
    assert (first["id"], first["model"]) == (short, long)
    assert {chunk["id"] for chunk in others} == {short}
    assert not any("model" in chunk for chunk in others)


def test_stream_that_cannot_be_written_to_its_end_ends_with_an_error() -> None:
    told = message(content=LONG * 3, z=10**5_000)
    events = b"".join(streamed(completion(told), include_usage=False)).split(b"\n\n")
    assert json.loads(events[-2].removeprefix(b"data: "))["error"]["code"] == "unwritable_answer"
    with pytest.raises(ValueError, match="digits"):
        streamed(completion(message(z=10**5_000)), include_usage=False)
