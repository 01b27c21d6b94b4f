"""JSON that is sealed is written as Python's own `json` writes it."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomyo import _core
from support.examples import examples
from support.native_json import PAYLOADS, SCALARS, Json, dumps, same
from support.process import output_of


class Colour(StrEnum):
    RED = "rot"


class Size(IntEnum):
    LARGE = 3


class Str(str):
    def __str__(self) -> str:
        return "another text"

    def isascii(self) -> bool:
        return True


class Int(int):
    def __repr__(self) -> str:
        return "another number"


class Float(float):
    def __repr__(self) -> str:
        return "another number"


class Dict(dict[str, Any]):
    pass


class List(list[Any]):
    pass


@examples(300)
@given(PAYLOADS)
def test_payload_is_written_as_json_dumps_writes_it(native: Json, payload: dict[str, Any]) -> None:
    assert native.write(payload) == dumps(payload)


@given(
    st.dictionaries(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        SCALARS,
        min_size=1,
    )
)
def test_keys_are_coerced_as_json_dumps_coerces_them(native: Json, payload: dict[Any, Any]) -> None:
    assert native.write(payload) == dumps(payload)


@examples(500)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=50, max_size=200))
def test_floats_are_written_as_repr_writes_them(native: Json, patterns: list[int]) -> None:
    doubles = [struct.unpack("d", struct.pack("Q", pattern))[0] for pattern in patterns]
    payload = {"floats": [double for double in doubles if math.isfinite(double)]}
    assert native.write(payload) == dumps(payload)


@pytest.mark.parametrize(
    "value",
    [
        0.0,
        -0.0,
        1e16,
        9999999999999998.0,
        1e-4,
        9.999e-05,
        5e-324,
        sys.float_info.max,
        sys.float_info.min,
        2.0**-25,
        0.1,
        1e22,
        1e23,
        181787880464312.625,
        2.0**-44,
        2.0**53,
        -123456.789e-300,
    ],
)
def test_notable_floats_are_written_as_repr_writes_them(native: Json, value: float) -> None:
    assert native.write({"x": value}) == dumps({"x": value})
    assert same(native.read(dumps({"x": value})), {"x": value})


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        2**64,
        10**18,
        -(10**19),
        10**4299,
        10**4300 - 1,
        -(10**4300) + 1,
        -(7**5000),
    ],
    ids=int.bit_length,
)
def test_integers_go_through_as_far_as_python_prints_them(native: Json, value: int) -> None:
    assert native.write({"n": value, "list": [value]}) == dumps({"n": value, "list": [value]})
    assert same(native.read(dumps({"n": value})), {"n": value})


def test_subclasses_are_written_by_value(native: Json) -> None:
    payload = {
        "subclasses": [
            Colour.RED,
            Size.LARGE,
            Str("déjà \n"),
            Int(7),
            Int(2**80),
            Float(2.5),
            List([1]),
            (1, 2),
            Dict(a=1),
        ],
        Str("key"): 1,
        Colour.RED: 2,
        Int(5): 3,
        Size.LARGE: 4,
        Float(1.5): 5,
    }
    assert native.write(payload) == dumps(payload)


def test_dict_subclass_is_written_in_its_own_order(native: Json) -> None:
    ordered = OrderedDict(a=1, b=2, c=3)
    ordered.move_to_end("a")
    assert native.write(ordered) == dumps(ordered) == '{"b":2,"c":3,"a":1}'


def test_every_character_is_escaped_as_json_dumps_escapes_it(native: Json) -> None:
    everything = "".join(chr(point) for point in range(0x11000) if not 0xD800 <= point < 0xE000)
    for shift in range(9):
        payload = {"ascii": "x" * shift + everything[:128], "all": "x" * shift + everything}
        assert native.write(payload) == dumps(payload)


@pytest.mark.parametrize(
    "length", [0, 1, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097, 32767, 32768, 32769, 65535, 65536, 1_000_001]
)
@pytest.mark.parametrize("character", ["x", '"', "\x01", "é", "漢", "🎉"])
def test_strings_of_every_size_go_through(native: Json, length: int, character: str) -> None:
    payload = {"text": character * length, "after": 1}
    text = dumps(payload)
    assert native.write(payload) == text
    assert native.read(text) == payload


def test_strings_are_cut_nowhere_by_the_window(native: Json) -> None:
    for start in range(32 * 1024 - 20, 32 * 1024 + 4):
        payload = {"text": "x" * start + 'é"\\🎉\n\x00' * 3}
        assert native.write(payload) == dumps(payload)


@pytest.mark.parametrize("width", ["", "é", "漢", "🎉"])
@pytest.mark.parametrize("odd", ['"', "\\", "\n", "\x1f", "\x7f", "\x80", "ÿ", "Ā", "\u7fff", "\u8000", "\uffff", "🎉"])
def test_odd_character_anywhere_in_plain_text_goes_through(native: Json, width: str, odd: str) -> None:
    """Text is looked at sixteen characters at a time."""
    texts = ["x" * start + odd * count + "y" * 17 + width for start in range(35) for count in (1, 2, 17)]
    texts += ["x" * start + odd for start in range(35)]
    text = dumps({"texts": texts})
    assert native.write({"texts": texts}) == text
    assert native.read(text) == {"texts": texts}


def test_lone_surrogate_anywhere_in_plain_text_is_read(native: Json) -> None:
    texts = ["x" * start + "\ud800" + rest for start in range(35) for rest in ("", "y" * 17, "é\udfff", "🎉")]
    assert native.read(json.dumps({"texts": texts})) == {"texts": texts}


@pytest.mark.parametrize("last", ["é", "漢", "🎉"])
@pytest.mark.parametrize("length", [2, 3, 100, 4095, 4096, 4097, 20_000, 70_000])
def test_text_goes_through_however_python_stores_it(native: Json, last: str, length: int) -> None:
    text = 'abc "é" 123\n' * (length // 12) + "x" * (length % 12) + last
    kinds = [text, Str(text), sys.intern(text + "!"), last * length, last + "\0" * length]
    assert json.loads(native.write({"texts": kinds})) == {"texts": kinds}
    for kind in kinds:
        assert json.loads(native.write({"text": kind + "\ud800"})) == {"text": kind + "\ud800"}


@pytest.mark.parametrize("width", ["", "é", "漢", "🎉"])
def test_lone_surrogate_is_written_as_its_escape_as_json_dumps_does(native: Json, width: str) -> None:
    """An answer may bring one (half of a pair that a token limit cut), and goes back with the conversation."""
    for text in ("\ud800", "\udfff", "\ud83c\udf89", *("x" * start + "\udabc" + "y" * 17 for start in range(35))):
        payload = {"text": text + width, text + width: [width + text]}
        written = native.write(payload)
        assert json.loads(written) == json.loads(json.dumps(payload))
        assert native.write({"text": "\udabc" + width}) == f'{{"text":"\\udabc{width}"}}'
        assert native.read(written) == json.loads(written)


def test_container_that_contains_itself_is_refused(native: Json) -> None:
    circle: dict[str, Any] = {"text": "x" * 1000}
    circle["inner"] = {"list": [circle]}
    with pytest.raises(ValueError, match=r"^inner\.list\[0\]: it contains itself$"):
        native.write(circle)


# SecureBuffer in a payload


@pytest.mark.parametrize("size", [0, 1, 4094, 4095, 4096, 4097, 8191, 100_000])
def test_secure_buffer_stands_for_a_string(native: Json, size: int) -> None:
    text = ('ab"\\\né漢🎉\x00' * size)[:size]
    payload = {"messages": [{"content": _core.SecureBuffer(text.encode())}], "after": 1}
    assert native.write(payload) == dumps({"messages": [{"content": text}], "after": 1})


@pytest.mark.parametrize(
    "content", [b"\xff", b"abc\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"x" * 4095 + b"\xc3x", b"x" * 4096 + b"\xe6\xbc"]
)
def test_secure_buffer_that_is_not_utf8_is_a_value_error(native: Json, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^messages\[0\]\.content: the SecureBuffer does not hold UTF-8 text$"):
        native.write({"messages": [{"content": _core.SecureBuffer(content)}]})


def test_closed_secure_buffer_is_a_value_error(native: Json) -> None:
    buffer = _core.SecureBuffer(b"text")
    buffer.close()
    payload = {"messages": [{}, {}, {}, {"content": buffer}]}
    for refuse in (native.write, _core.check_payload):
        with pytest.raises(ValueError, match=r"^messages\[3\]\.content: the SecureBuffer is closed$") as raised:
            refuse(payload)
        assert raised.value.__context__ is None


def test_secure_buffer_of_the_parent_is_refused_in_a_forked_child() -> None:
    program = (
        "import os\n"
        "from nomyo import SecurityError, _core\n"
        "payload = {'messages': [{'content': _core.SecureBuffer(b'text')}]}\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        _core.check_payload(payload)\n"
        "    except SecurityError as error:\n"
        "        print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    refusal = "messages[0].content: a key or SecureBuffer that was made before fork cannot be used in the child"
    assert output_of(program).startswith(refusal)
