"""Whatever bytes come from outside: each reader gives a value, or the error that it documents, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nomyo
from nomyo._api_form import MalformedRequestError
from nomyo.anthropic_form.messages_form import MessagesForm
from nomyo.attestation.judge import judge
from nomyo.attestation.policy import read_policy
from nomyo.batch.governor import Limits
from nomyo.batch.governor.ledger import Ledger
from nomyo.batch.header import is_foreign, sealed_for
from nomyo.batch.output_reader import opened_rows
from nomyo.batch.records import read_row
from nomyo.exchange.error_body import error_details, message_in
from nomyo.exchange.redaction import Redaction
from nomyo.exchange.retries import in_seconds, parse_retry_after
from nomyo.openai_form.chat_form import ChatForm
from nomyo.openai_form.responses.form import ResponsesForm
from nomyo.serve.proxy.host_header import parse_host
from nomyo.trust.audit_log import KIND
from nomyo.trust.chain import verified
from nomyo.trust.key_file import read_known
from support.examples import examples

Read = Callable[[bytes, Path], object]


@dataclass(frozen=True)
class Reader:
    """A function that reads bytes (or a file with them), and what it may raise."""

    read: Read
    may_raise: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


def _form(form: Any) -> Read:
    return lambda content, _: form.read(content, ())


def _file(read: Callable[[Path], object]) -> Read:
    def from_file(content: bytes, path: Path) -> object:
        path.write_bytes(content)
        path.chmod(0o600)
        return read(path)

    return from_file


def _attestation(content: bytes, _: Path) -> object:
    return judge(json.loads(content), "00000000-0000-4000-8000-000000000001")


def _ledger(content: bytes, _: Path) -> object:
    return Ledger.parse(content, "boot", Limits(), now_ns=10**9)


def _error(content: bytes, _: Path) -> object:
    redaction = Redaction({"the-api-key-itself": "[api key]"})
    return message_in(error_details(content, redaction), redaction)


def _header_values(content: bytes, _: Path) -> object:
    text = content.decode("latin-1")  # as HTTP libraries hand out headers
    return parse_retry_after(text), in_seconds(text, text), parse_host(text)


def _row(content: bytes, _: Path) -> object:
    return read_row(1, content)


def _output(content: bytes, _: Path) -> object:
    return list(opened_rows(io.BytesIO(content), None))


def _chain(content: bytes, path: Path) -> object:
    return list(verified(io.BytesIO(content), path, KIND))


def _header(path: Path) -> object:
    return is_foreign(path.read_bytes()), sealed_for(path.with_name(path.name.removesuffix(".batch")))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "x"}]}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
CHAT = {"model": "m", "messages": MESSAGES, "tools": TOOLS, "stream": True, "security_tier": "high"}
RESPONSES = {
    "model": "m",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {}}],
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
}
ANTHROPIC = {
    "model": "m",
    "max_tokens": 9,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
}
ROW = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
HEADER = {"format": 1, "ordered": True}
OUTPUT = {"id": "line-1", "custom_id": "1", "response": {"status_code": 200, "body": {}}, "error": None}
QUOTE = {
    "is_available": True,
    "pcr_banks": "sha256:0,7",
    "pcr_values": {"sha256": {"0": "00" * 32, "7": "11" * 32}},
    "quote_b64": "/1RDR4AY",
    "signature_b64": "AAA=",
    "aik_pubkey_b64": "AAA=",
}
KEY = {"fingerprint": "SHA256:" + "A" * 43, "since": "2026-12-01T00:00:00Z", "judged": "first-use"}
KNOWN = {"version": 1, "routers": {"a:443": {"key": KEY, "added": [KEY], "refused": None, "last": KEY}}}
CHAINED = b'{"a":1}'
CHAIN = hashlib.sha256(hashlib.sha256(b"nomyo audit 1").hexdigest().encode() + CHAINED).hexdigest()
POLICY = b'least = "as-pinned"\nkeys = ["SHA256:' + b"A" * 43 + b'"]\n[pcrs.sha256]\n0 = ["' + b"00" * 32 + b'"]\n'
LEDGER = Ledger.parse(None, "boot", Limits(), now_ns=10**9).dump()

READERS = {
    "chat completions": Reader(_form(ChatForm()), (MalformedRequestError,), (_json(CHAT),)),
    "Responses": Reader(_form(ResponsesForm()), (MalformedRequestError,), (_json(RESPONSES),)),
    "Messages": Reader(_form(MessagesForm()), (MalformedRequestError,), (_json(ANTHROPIC),)),
    "a row of a batch": Reader(_row, (), (_json(ROW),)),
    "a batch's output": Reader(_output, (ValueError,), (_json(OUTPUT) + b"\n",)),
    "a batch's header": Reader(
        _file(_header), (), (b'{"format": 1, "ordered": true, "sealed_for": null}', b'{"format": 1, "ordered": true}')
    ),
    "the governor's books": Reader(_ledger, (), (LEDGER,)),
    "an error's body": Reader(_error, (), (b'{"error": {"message": "no", "type": "x"}}', b"<html><h1>502</h1>")),
    "headers": Reader(_header_values, (), (b"120", b"Tue, 01 Dec 2026 00:00:00 GMT", b"[::1]:80", b"localhost:12435")),
    "a chained file": Reader(_chain, (nomyo.SecurityError,), (CHAINED[:-1] + b',"chain":"%s"}\n' % CHAIN.encode(),)),
    "known routers": Reader(_file(read_known), (nomyo.SecurityError,), (_json(KNOWN),)),
    "a policy": Reader(_file(lambda path: read_policy(os.fspath(path))), (ValueError,), (POLICY,)),
    "an attestation": Reader(_attestation, (json.JSONDecodeError, UnicodeDecodeError, RecursionError), (_json(QUOTE),)),
}

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


def _edited(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed with pieces cut out, repeated, or replaced."""
    place = st.integers(0, len(seed))
    pieces = st.binary(max_size=6) | st.sampled_from([b"null", b"{}", b"[]", b'"', b"-1", b"1e999", b"\\ud800", b"\n"])
    edit = st.tuples(place, place, pieces)

    def edited(edits: list[tuple[int, int, bytes]]) -> bytes:
        content = seed
        for begin, end, piece in edits:
            content = content[:begin] + piece + content[max(begin, end) :]
        return content

    return st.lists(edit, max_size=3).map(edited)


def _retyped(seed: bytes) -> st.SearchStrategy[bytes]:
    """A JSON seed, one value of which is another: what a program of another version would send."""
    try:
        value = json.loads(seed)
    except ValueError:
        return st.just(seed)
    odd = st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
    )
    places = list(_places(value))
    return st.builds(lambda place, new: _json(_replaced(value, place, new)), st.sampled_from(places), odd)


def _places(value: Any, above: tuple[Any, ...] = ()) -> Any:
    yield above
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from _places(inner, (*above, name))


def _replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copied = value.copy()
    copied[place[0]] = _replaced(value[place[0]], place[1:], new)
    return copied


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_give_a_value_or_the_documented_error(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    edited = [strategy for seed in reader.seeds for strategy in (_edited(seed), _retyped(seed))]

    @settings(examples(500), suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=64), *edited))
    def read(content: bytes) -> None:
        with contextlib.suppress(*reader.may_raise):
            reader.read(content, tmp_path / "out.batch")

    read()
    for seed in reader.seeds:
        reader.read(seed, tmp_path / "out.batch")
