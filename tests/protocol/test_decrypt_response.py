"""`decrypt_response` takes an answer in whatever holds bytes, and leaves it as it was."""

from __future__ import annotations

import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomyo import _core
from support.peer import seal_for
from support.twins import Twin

ID = "8c8e4a5e-52a5-4a3c-8ab6-0b1c9fa5d2c4"
ANSWER = {"id": "1", "choices": [{"message": {"role": "assistant", "content": "Grüße"}}]}


@pytest.fixture
def package(client_key: _core.PrivateKey) -> bytes:
    return seal_for(client_key.public_key.pem, ANSWER)


@pytest.mark.parametrize(
    "hold",
    [
        bytes,
        bytearray,
        memoryview,
        lambda raw: memoryview(bytearray(raw)),
        lambda raw: memoryview(b"before" + raw + b"behind")[6:-6],
        lambda raw: array.array("B", raw),
    ],
    ids=["bytes", "bytearray", "memoryview", "writable memoryview", "part of one", "array"],
)
def test_answer_opens_from_whatever_holds_bytes(
    twin: Twin, key_directory: Path, package: bytes, hold: Callable[[bytes], Any]
) -> None:
    client = twin.client("https://127.0.0.1:9", key_dir=key_directory)
    held = hold(package)

    response = twin.call(client.decrypt_response, held, ID)

    assert response.choices[0].message.content == "Grüße"
    assert response["_metadata"]["payload_id"] == ID
    assert bytes(held) == package


@pytest.mark.parametrize("held", ["a str", None, 5, {"a": 1}, ["bytes"]])
def test_anything_else_is_a_type_error(twin: Twin, key_directory: Path, held: Any) -> None:
    client = twin.client("https://127.0.0.1:9", key_dir=key_directory)

    with pytest.raises(TypeError):
        twin.call(client.decrypt_response, held, ID)
