"""JSON that is opened is read as Python's own `json` reads it, or refused."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nomyo import SecurityError, _core
from support.examples import examples
from support.native_json import PAYLOADS, Json, dumps, same


@examples(300)
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
        r'{"a":"\u0000","\u0000":1}',
        ' \t\r\n{ "a" : [ ] , "b" : { } , "c" : [ 1 , 2 ] }\n ',
        '{"content":{"choices":[{"message":{"role":"r"}}]}}',
        '{"a":"\x7f","b":"\u2028\u2029\ufeff\uffff"}',
        '{"a":"é","b":"ÿ","c":"Ā","d":"𐀀","e":"\U0010ffff","f":"éé","g":"aĀ","h":"a𐀀"}',
        '{"a":[0,-0,1,-1,0.0,-0.0,1.5,1e5,1E+5,1e-5,-1.25e2,0e0,1e400,-1e400,1e-400]}',
        '{"a":[123456789012345678,1234567890123456789,-9223372036854775808,9223372036854775808,-99999999999999999999]}',
        '{"a":[0.1,1.7976931348623157e308,2.2250738585072011e-308,4.9e-324,9007199254740993.0]}',
        '{"a":' + "0.1" + "0" * 2000 + "1}",
        '{"a":[true,false,null]}',
        '{"a":[NaN,Infinity,-Infinity, NaN ],"b":NaN,"c":{"d":-Infinity},"e":Infinity}',
        '{"choices":[{"logprobs":{"content":[{"token":"a","logprob":-Infinity,"top_logprobs":[]}]}}]}',
        "{}",
    ],
)
def test_notable_texts_are_read_as_json_loads_reads_them(native: Json, text: str) -> None:
    assert same(native.read(text), json.loads(text))


@examples(500)
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
        b"NaN",
        b"-Infinity",
        b'{"a":-NaN}',
        b'{"a":+Infinity}',
        b'{"a":--Infinity}',
        b'{"a":nan}',
        b'{"a":inf}',
        b'{"a":-inf}',
        b'{"a":Inf}',
        b'{"a":infinity}',
        b'{"a":Infinit',
        b'{"a":-I}',
        b'{"a":N',
        b'{"a":NaN1}',
        b'{"a":NaNNaN}',
        b'{"a":Infinity5}',
        b'{"a":-Infinity.0}',
        b"{NaN:1}",
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
def test_what_is_not_json_behind_a_genuine_tag_says_so(native: Json, plaintext: bytes) -> None:
    with pytest.raises(
        SecurityError, match=r"^the package was opened, but what was sealed in it is not JSON"
    ) as caught:
        native.read(plaintext)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@examples(500)
@given(PAYLOADS, st.data())
def test_damaged_json_is_read_as_json_loads_reads_it_or_refused(
    native: Json, payload: dict[str, Any], data: st.DataObject
) -> None:
    text = bytearray(json.dumps(payload, ensure_ascii=data.draw(st.booleans())).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(text) - 1))
        text[position] = data.draw(st.sampled_from(b'"\\{}[],:.0eE-+nutfNaI \n\x00\xc3\x80'))
    agrees_with_json(native, bytes(text))


ENDINGS = st.sampled_from([b"", b"}", b"x", b" ", b"\x00", b",", b'"', b"{}", b"[[", b"\xc3", b"1", b"]}", b'\\"'])


@examples(500)
@given(PAYLOADS, st.integers(0, 3), ENDINGS)
def test_json_damaged_at_its_end_is_read_as_json_loads_reads_it_or_refused(
    native: Json, payload: dict[str, Any], cut: int, ending: bytes
) -> None:
    text = json.dumps(payload, ensure_ascii=False).encode()
    agrees_with_json(native, text[: len(text) - cut] + ending)


FIELDS = st.lists(st.tuples(st.sampled_from(["a", "b", "\\u0061", "é", "\\u00e9", "", "\\ud800"]), st.integers(0, 9)))


@examples(300)
@given(st.lists(FIELDS))
def test_repeated_fields_are_refused_as_a_strict_reader_refuses_them(native: Json, objects: list[Any]) -> None:
    written = ("{" + ",".join(f'"{name}":{value}' for name, value in fields) + "}" for fields in objects)
    agrees_with_json(native, f'{{"x":[{",".join(written)}]}}'.encode())


def agrees_with_json(native: Json, text: bytes) -> None:
    """Hold both ways to open an answer to Python's reader, told to be strict about names."""
    try:
        expected = json.loads(text.decode(), object_pairs_hook=without_repeated)
    except ValueError:
        expected = None
    package = native.owner.seal(text)
    if not isinstance(expected, dict):
        for open_one in (_core.open_package, _core.open_secret):
            with pytest.raises(SecurityError):
                open_one(package, native.key)
        return
    assert same(_core.open_package(package, native.key)[0], expected)
    assert bytes(_core.open_secret(package, native.key)[0]) == text


def without_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a field twice")
    return read


@pytest.mark.parametrize("digits", [4301, 5000, 1_000_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_integers_that_python_prints_no_more_are_refused_in_both_directions(
    native: Json, sign: str, digits: int
) -> None:
    with pytest.raises(SecurityError, match="4,300 digits"):
        native.read(f'{{"a":{sign}{"9" * digits}}}')
    number = 10 ** (digits - 1) * (-1 if sign else 1)
    for payload, path in (({"n": [number]}, r"n\[0\]"), ({"n": {number: 1}}, r"n\[<key 0>\]")):
        with pytest.raises(ValueError, match=f"^{path}: an integer has 4300 digits at most$"):
            native.write(payload)
        with pytest.raises(ValueError, match=f"^{path}: an integer has 4300 digits at most$"):
            _core.check_payload(payload)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"b":2,"a":3}',
        r'{"\u0061":1,"a":2}',
        r'{"\u0061":1,"\u0061":2}',
        '{"a":{"b":[{"c":1,"d":{},"c":1}]}}',
        r'{"é":1,"\u00e9":2}',
        r'{"🎉":1,"\ud83c\udf89":2}',
        r'{"\ud800":1,"\uD800":2}',
        '{"":1,"":2}',
        '{"a":1,' + ",".join(f'"b{n}":0' for n in range(1000)) + ',"a":2}',
    ],
)
def test_field_that_comes_twice_is_refused(native: Json, text: str) -> None:
    with pytest.raises(SecurityError, match="field twice"):
        native.read(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":{"a":{"a":1}},"b":{"a":[{"a":1},{"a":2}]}}',
        r'{"\ud800":1,"\ud801":2,"\ufffd":3}',
        '{"a":1,"A":2,"a ":3,"":4}',
        '{"e\u0301":1,"\u00e9":2}',
    ],
)
def test_names_that_differ_are_no_field_twice(native: Json, text: str) -> None:
    assert same(native.read(text), json.loads(text))


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
