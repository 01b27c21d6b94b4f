"""What JSON does not know, or no more of it than there may be, is refused with its path, and never crashes."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import Any

import pytest

from nomyo import SecurityError, _core
from support.native_json import Json, dumps, nested


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


def test_class_that_json_does_not_know_is_named_with_its_module(native: Json) -> None:
    """`float32 is not a JSON type: ..., float, ...` would read as a contradiction."""
    float32 = type("float32", (), {"__module__": "numpy"})
    with pytest.raises(TypeError, match=r"^logit_bias\[<key 0>\]: numpy\.float32 is not a JSON type: dict, list"):
        native.write({"logit_bias": {"5": float32()}})
    with pytest.raises(
        TypeError, match=r"^\[<key 0>\]: a key must be str, int, float, bool or None, not numpy\.float32"
    ):
        native.write({float32(): 1})
    with pytest.raises(TypeError, match=r"^a payload is a dict, not numpy\.float32$"):
        native.write(float32())


@pytest.mark.parametrize("key", [b"secret", (1, 2), 1j])
def test_key_that_json_does_not_know_is_a_type_error(native: Json, key: object) -> None:
    with pytest.raises(TypeError, match=r"^metadata\[<key 1>\]: a key must be str, int, float, bool or None, not"):
        native.write({"metadata": {"first": 1, key: 2}})


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"a": {"b": [[], [0, math.nan]]}}, "a.b[1][1]"),
        ({"tools": [{"function": {"parameters": {"My secret": math.nan}}}]}, "tools[0].function.parameters[<key 0>]"),
        ({"a": {"1a": (math.nan,)}}, "a[<key 0>][0]"),
        ({"x" * 64: math.nan}, "x" * 64),
        ({"ok": 1, "x" * 65: math.nan}, "[<key 1>]"),
        ({"": math.nan}, "[<key 0>]"),
        ({1: math.nan}, "[<key 0>]"),
        ({"größe": math.nan}, "[<key 0>]"),
        ({"a": {"secret\udfff": math.nan}}, "a[<key 0>]"),
        ({"a": {math.inf: 1}}, "a[<key 0>]"),
    ],
)
def test_path_names_fields_and_never_content(native: Json, payload: dict[Any, Any], path: str) -> None:
    with pytest.raises(ValueError) as caught:
        native.write(payload)
    assert str(caught.value) == f"{path}: JSON has no NaN and no infinity"


def test_error_of_a_value_holds_nothing_of_the_payload(native: Json) -> None:
    payload = {"text": "a secret in 漢字", "other": math.nan}
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


def test_container_may_stand_twice_beside_itself(native: Json) -> None:
    shared = {"a": [1]}
    payload = {"left": shared, "right": [shared, shared]}
    assert native.write(payload) == dumps(payload)


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
    before = time.process_time()
    with pytest.raises(ValueError, match="4300 digits at most"):
        native.write({"n": 1 << 80_000_000})
    assert time.process_time() - before < 1


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
