"""JSON to and from the arena, held against Python's own `json` in both directions."""

from __future__ import annotations

import json
import math
import random
import struct
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from by_hand import Owner
from nomyo import SecurityError, _core
from process import output_of

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | UNICODE
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(UNICODE, inner, max_size=5),
    max_leaves=30,
)
PAYLOADS = st.dictionaries(UNICODE, VALUES, min_size=1, max_size=5)


class Json:
    """Writes and reads JSON by way of packages, whose other half is `cryptography`."""

    def __init__(self, key: _core.PrivateKey) -> None:
        self.key = key
        self.public_key = key.public_key
        self.owner = Owner(key)

    def write(self, payload: Any, **options: Any) -> str:
        return self.owner.open(_core.seal(payload, self.public_key, **options)).decode()

    def read(self, plaintext: str | bytes, *types: type[dict[str, Any]]) -> Any:
        encoded = plaintext.encode() if isinstance(plaintext, str) else plaintext
        return _core.open_package(self.owner.seal(encoded), self.key, *types)[0]


@pytest.fixture(scope="module")
def native(client_key: _core.PrivateKey) -> Json:
    return Json(client_key)


@pytest.fixture
def any_digits() -> Iterator[None]:
    """Lets Python's own json have integers of any size."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


def dumps(payload: Any) -> str:
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def same(left: Any, right: Any) -> bool:
    """Equal in every bit and type: -0.0 is not 0.0, True is not 1."""
    return repr(left) == repr(right)


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


# Writing


@settings(max_examples=300)
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


@settings(max_examples=500)
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
    [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**18, -(10**19), 10**5000, -(7**9000)],
    ids=int.bit_length,
)
def test_integers_of_any_size_go_through(native: Json, any_digits: None, value: int) -> None:
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
        with pytest.raises(ValueError, match="surrogate"):
            native.write({"text": kind + "\ud800"})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for_is_refused(native: Json, value: float) -> None:
    with pytest.raises(ValueError, match=r"^temperature: JSON has no NaN and no infinity$"):
        native.write({"temperature": value})
    with pytest.raises(ValueError, match=r"^metadata\[<key 0>\]: JSON has no NaN"):
        native.write({"metadata": {value: 1}})


@pytest.mark.parametrize(
    "value", [b"secret", {1}, object(), 1j, range(3), Json], ids=lambda value: type(value).__name__
)
def test_what_is_no_json_type_is_a_type_error_with_its_path(native: Json, value: object) -> None:
    with pytest.raises(
        TypeError, match=rf"^messages\[1\]\.content: {type(value).__name__} is not a JSON type"
    ) as caught:
        native.write({"messages": [{}, {"content": value}]})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", [b"secret", (1, 2), 1j])
def test_key_that_json_does_not_know_is_a_type_error(native: Json, key: object) -> None:
    with pytest.raises(TypeError, match=r"^metadata\[<key 1>\]: a key must be str, int, float, bool or None, not"):
        native.write({"metadata": {"first": 1, key: 2}})


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"a": {"b": [[], [0, "\ud800"]]}}, "a.b[1][1]"),
        ({"tools": [{"function": {"parameters": {"My secret": "\ud800"}}}]}, "tools[0].function.parameters[<key 0>]"),
        ({"a": {"1a": ("\ud800",)}}, "a[<key 0>][0]"),
        ({"x" * 64: "\ud800"}, "x" * 64),
        ({"ok": 1, "x" * 65: "\ud800"}, "[<key 1>]"),
        ({"": "\ud800"}, "[<key 0>]"),
        ({1: "\ud800"}, "[<key 0>]"),
        ({"größe": "\ud800"}, "[<key 0>]"),
        ({"a": {"secret\udfff": 1}}, "a[<key 0>]"),
    ],
)
def test_path_names_fields_and_never_content(native: Json, payload: dict[Any, Any], path: str) -> None:
    with pytest.raises(ValueError) as caught:
        native.write(payload)
    assert str(caught.value) == f"{path}: a lone surrogate has no UTF-8 form"


def test_error_of_a_surrogate_holds_nothing_of_the_text(native: Json) -> None:
    payload = {"text": "a secret \ud83d in 漢字"}
    try:
        raise KeyError("an exception that is being handled")
    except KeyError:
        with pytest.raises(ValueError) as caught:
            native.write(payload)
    error = caught.value
    assert type(error) is ValueError
    assert error.__context__ is None
    assert error.__cause__ is None
    assert "secret" not in repr(error)
    assert not hasattr(error, "object")


def test_container_that_contains_itself_is_refused(native: Json) -> None:
    circle: dict[str, Any] = {"text": "x" * 1000}
    circle["inner"] = {"list": [circle]}
    with pytest.raises(ValueError, match=r"^inner\.list\[0\]: it contains itself$"):
        native.write(circle)


def test_container_may_stand_twice_beside_itself(native: Json) -> None:
    shared = {"a": [1]}
    payload = {"left": shared, "right": [shared, shared]}
    assert native.write(payload) == dumps(payload)


def nested(levels: int) -> Any:
    value: Any = "innermost"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_nesting_goes_through_to_200(native: Json) -> None:
    payload = {"deep": nested(200)}
    assert native.write(payload) == dumps(payload)
    assert native.read(dumps(payload)) == payload


@pytest.mark.parametrize("levels", [201, 5000])
def test_deeper_nesting_is_refused_in_both_directions(native: Json, levels: int) -> None:
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        native.write({"deep": nested(levels)})
    with pytest.raises(SecurityError):
        native.read('{"a":' * levels + "[]" + "}" * levels)


def test_limit_counts_bytes_of_json(native: Json) -> None:
    payload = {"text": 'é"' * 100_000}
    size = len(dumps(payload).encode())
    assert native.write(payload, limit_bytes=size) == dumps(payload)
    with pytest.raises(ValueError, match=f": here the payload grows beyond {size - 1} bytes of JSON$"):
        native.write(payload, limit_bytes=size - 1)


def test_default_limit_is_ten_mebibytes(native: Json) -> None:
    text = "x" * (10 * 1024 * 1024 - len('{"t":""}'))
    assert len(native.write({"t": text})) == 10 * 1024 * 1024
    with pytest.raises(ValueError, match="beyond 10485760 bytes"):
        native.write({"t": text + "x"})


def test_huge_integer_is_refused_before_it_is_converted(native: Json) -> None:
    with pytest.raises(ValueError, match="beyond 1000 bytes"):
        native.write({"n": 1 << 80_000_000}, limit_bytes=1000)


@pytest.mark.parametrize("payload", [None, [], "{}", [("a", 1)], 5])
def test_payload_that_is_no_dict_is_a_type_error(native: Json, payload: object) -> None:
    with pytest.raises(TypeError, match="a payload is a dict"):
        native.write(payload)


def test_empty_payload_is_a_value_error(native: Json) -> None:
    with pytest.raises(ValueError, match="empty"):
        native.write({})


def test_error_in_items_of_a_subclass_comes_through(native: Json) -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise LookupError("mine")

    class Odd(dict[str, Any]):
        def items(self) -> Any:
            return [1]

    with pytest.raises(LookupError, match="mine"):
        native.write({"a": Broken(b=1)})
    with pytest.raises(ValueError, match=r"^a: items\(\) of the dict must give pairs"):
        native.write({"a": Odd(b=1)})


def test_payload_that_changes_meanwhile_never_crashes(native: Json) -> None:
    shared: dict[str, Any] = {"list": ["x" * 100_000] * 20}
    stop = threading.Event()

    def change() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            shared[f"key{count % 7}"] = "y" * 70_000
            shared["list"] = [*shared["list"][: count % 20], "é" * 70_000]
            shared.pop(f"key{(count * 3) % 7}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(100):
            try:
                json.loads(native.write(shared))
            except RuntimeError as error:
                assert "changed while it was being sealed" in str(error)  # noqa: PT017
    finally:
        stop.set()
        thread.join()


def test_check_raises_what_sealing_would_raise(native: Json) -> None:
    text = 'é"漢' * 100_000
    fine = {"text": text, "n": [1, 2.5, 10**40, None, True], "buffer": _core.SecureBuffer(text.encode())}
    size = len(native.write(fine).encode())
    _core.check_payload(fine, limit_bytes=size)
    wrong: list[tuple[Any, int]] = [
        (fine, size - 1),
        ({"a": ["\ud800"]}, 100),
        ({"a": {1}}, 100),
        ({}, 100),
        ([], 100),
        ({"a": math.nan}, 100),
    ]
    for payload, limit_bytes in wrong:
        with pytest.raises((TypeError, ValueError)) as sealing:
            native.write(payload, limit_bytes=limit_bytes)
        with pytest.raises(type(sealing.value)) as checking:
            _core.check_payload(payload, limit_bytes=limit_bytes)
        assert str(checking.value) == str(sealing.value)


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
    assert output_of(program).startswith("messages[0].content: made before fork and used in the child")


# Reading


@settings(max_examples=300)
@given(PAYLOADS, st.booleans(), st.sampled_from([None, 2, "\t"]))
@example({"\x00": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")}, True, None)
def test_object_is_read_as_json_loads_reads_it(
    native: Json, payload: dict[str, Any], ascii_only: bool, indent: Any
) -> None:
    text = json.dumps(payload, ensure_ascii=ascii_only, indent=indent)
    assert same(native.read(text), json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9\u6F22\ud83c\udf89"}',
        r'{"a":"\ud83c"}',
        r'{"a":"\udf89\ud83c"}',
        r'{"a":"\ud83cx\udf89"}',
        r'{"a":"\ud83c\u0041"}',
        r'{"a":"\ud83c\ud83c\udf89"}',
        r'{"a":"é\ud800"}',
        r'{"\ud800":1}',
        r'{"\u0061":1,"a":2}',
        r'{"a":"\u0000","\u0000":1}',
        '{"a":1,"b":2,"a":3}',
        ' \t\r\n{ "a" : [ ] , "b" : { } , "c" : [ 1 , 2 ] }\n ',
        '{"content":{"choices":[{"message":{"role":"r"}}]}}',
        '{"a":"\x7f","b":"\u2028\u2029\ufeff\uffff"}',
        '{"a":"é","b":"ÿ","c":"Ā","d":"𐀀","e":"\U0010ffff","f":"éé","g":"aĀ","h":"a𐀀"}',
        '{"a":[0,-0,1,-1,0.0,-0.0,1.5,1e5,1E+5,1e-5,-1.25e2,0e0,1e400,-1e400,1e-400]}',
        '{"a":[123456789012345678,1234567890123456789,-9223372036854775808,9223372036854775808,-99999999999999999999]}',
        '{"a":[0.1,1.7976931348623157e308,2.2250738585072011e-308,4.9e-324,9007199254740993.0]}',
        '{"a":' + "0.1" + "0" * 2000 + "1}",
        '{"a":[true,false,null]}',
        "{}",
    ],
)
def test_notable_texts_are_read_as_json_loads_reads_them(native: Json, text: str) -> None:
    assert same(native.read(text), json.loads(text))


@settings(max_examples=500)
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_numbers_are_read_as_json_loads_reads_them(native: Json, number: str) -> None:
    assert same(native.read(f'{{"a":{number}}}'), json.loads(f'{{"a":{number}}}'))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b" ",
        b"[]",
        b"1",
        b'"a"',
        b"null",
        b"{",
        b"{}x",
        b"{}{}",
        b"{}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b'{,"a":1}',
        b'{"a" 1}',
        b'{"a":1 "b":2}',
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b'{"a":[1,]}',
        b'{"a":[,1]}',
        b'{"a":[1 2]}',
        b'{"a":[1}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":nul}',
        b'{"a":True}',
        b'{"a":01}',
        b'{"a":-}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":1e}',
        b'{"a":1e+}',
        b'{"a":0x1}',
        b'{"a":1_0}',
        b'{"a":"',
        b'{"a":"\\',
        b'{"a":"\\"',
        b'{"a":"\\x41"}',
        b'{"a":"\\u12"}',
        b'{"a":"\\u12g4"}',
        b'{"a":"\\u+123"}',
        b'{"a":"\\ud800\\u"}',
        b'{"a":"\n"}',
        b'{"a":"\x1f"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc3"}',
        b'{"a":1}/**/',
        b"\x0b{}",
        b"\xc2\xa0{}",
        '{"a":"x"}'.encode("utf-16"),
    ],
)
def test_what_is_not_json_raises_the_one_opaque_error(native: Json, plaintext: bytes) -> None:
    with pytest.raises(SecurityError) as damaged:
        _core.open_package(b"{}", native.key)
    with pytest.raises(SecurityError) as caught:
        native.read(plaintext)
    assert str(caught.value) == str(damaged.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@settings(max_examples=500)
@given(PAYLOADS, st.data())
def test_damaged_json_is_read_as_json_loads_reads_it_or_refused(
    native: Json, payload: dict[str, Any], data: st.DataObject
) -> None:
    text = bytearray(json.dumps(payload, ensure_ascii=data.draw(st.booleans())).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(text) - 1))
        text[position] = data.draw(st.sampled_from(b'"\\{}[],:.0eE-+nutf \n\x00\xc3\x80'))
    try:
        expected = json.loads(text.decode(), parse_constant=lambda name: [][len(name)])
    except (ValueError, IndexError):
        expected = None
    if not isinstance(expected, dict):
        with pytest.raises(SecurityError):
            native.read(bytes(text))
        return
    assert same(native.read(bytes(text)), expected)


def test_integers_beyond_a_million_digits_are_refused(native: Json, any_digits: None) -> None:
    longest = "9" * 1_000_000
    assert native.read(f'{{"a":-{longest}}}') == {"a": 1 - 10**1_000_000}
    with pytest.raises(SecurityError):
        native.read(f'{{"a":{longest}0}}')


def test_objects_are_instances_of_the_given_type(native: Json) -> None:
    class Response(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            raise AssertionError("passed over, as json.loads would build the dict first")

    response = native.read('{"a":{"b":[{"c":1}]},"d":1}', Response)
    assert type(response) is type(response["a"]) is type(response["a"]["b"][0]) is Response
    assert response == {"a": {"b": [{"c": 1}]}, "d": 1}


def test_object_type_must_be_a_dict(native: Json) -> None:
    class NeedsArguments(dict[str, Any]):
        def __init__(self, needed: int) -> None:
            raise AssertionError(needed)

    class MakesOther(dict[str, Any]):
        def __new__(cls) -> Any:
            return []

    with pytest.raises(TypeError, match="subclass of dict"):
        native.read("{}", list)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.read("{}", NeedsArguments)
    with pytest.raises(TypeError, match="make dicts"):
        native.read("{}", MakesOther)


def test_strings_that_were_read_are_sound(native: Json) -> None:
    """Equality, hash, slicing and encoding rely on the width that a string was made with."""
    letters = random.Random(1)
    for alphabet in ("aé", "aéĀ漢", "aé漢🎉", "éÿ", "漢字", "🎉"):
        text = "".join(letters.choices(alphabet, k=1000))
        read = native.read(dumps({"t": text}))["t"]
        assert read == text
        assert hash(read) == hash(text)
        assert sys.getsizeof(read) == sys.getsizeof("".join(list(text)))
        assert read[::-1] == text[::-1]
        assert read.encode() == text.encode()
