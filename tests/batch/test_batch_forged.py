"""Rows that somebody else sealed: whoever has the public key can, and no more than a row must come out of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nomyo import BatchError, _core
from nomyo.batch import sealed
from support import peer
from support.batch_scene import open_command, opened

CANARY = "canary-prompt-91e7"


def forged(inside: bytes, archive_key: _core.PrivateKey, *, context: bytes | None = sealed.CONTEXT) -> bytes:
    package = peer.package_for(archive_key.public_key.pem, inside, context=context)
    return b'{"id":"batch_req_1","sealed":%b,"error":null}\n' % json.dumps(package).encode()


INSIDE = b'{"id":"batch_req_1","custom_id":"a","response":{},"error":null}\n'


def test_message_of_the_protocol_cannot_stand_in_the_place_of_a_row(
    output: Path, archive: Path, archive_key: _core.PrivateKey
) -> None:
    output.write_bytes(forged(INSIDE, archive_key))
    assert opened(output, archive) == [json.loads(INSIDE)]
    for context in (None, b"nomyo batch row 2"):
        output.write_bytes(forged(INSIDE, archive_key, context=context))
        with pytest.raises(BatchError, match="line 1 of the output"):
            opened(output, archive)


@pytest.mark.parametrize(
    "inside",
    [
        INSIDE.replace(b'"a"', b'"a",\n"b":1'),
        INSIDE + INSIDE,
        INSIDE[:-1],
        INSIDE.replace(b'"a"', '"\x9b"'.encode()),
        INSIDE.replace(b'"a"', b'"\x1b"'),
        INSIDE.replace(b'"custom_id"', b'"sealed"'),
        b"",
        b"\n",
    ],
    ids=repr,
)
def test_what_is_sealed_and_no_single_row_is_refused(
    inside: bytes, output: Path, archive: Path, archive_key: _core.PrivateKey
) -> None:
    output.write_bytes(forged(inside, archive_key))
    with pytest.raises(BatchError, match="not what was sealed"):
        opened(output, archive)


def test_command_prints_nothing_of_two_rows_in_one(output: Path, archive: Path, archive_key: _core.PrivateKey) -> None:
    output.write_bytes(forged(INSIDE + INSIDE, archive_key))
    done = open_command(output, "--key-dir", archive)
    assert (done.returncode, done.stdout) == (1, b"")


def test_what_is_no_json_is_told_without_showing_it(output: Path, archive: Path, archive_key: _core.PrivateKey) -> None:
    output.write_bytes(forged(INSIDE.replace(b'"a"', CANARY.encode()), archive_key))
    with pytest.raises(BatchError, match="not JSON") as caught:
        opened(output, archive)
    assert CANARY not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
