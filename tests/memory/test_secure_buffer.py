"""SecureBuffer: what it holds, what it gives away, and when it lets go."""

from __future__ import annotations

import array
import copy
import gc
import json
import logging
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomyo import SecureBuffer, _core

SECRET = b"a secret of 24 bytes \x00\xff!"


@given(st.binary(max_size=10_000))
def test_buffer_holds_what_it_was_made_of(content: bytes) -> None:
    with SecureBuffer(content) as buffer:
        assert bytes(buffer) == bytes(memoryview(buffer)) == bytes(buffer.data) == content
        assert len(buffer) == buffer.size == len(content)


@pytest.mark.parametrize("size", [0, 1, 31, 4096, 4097, 1_000_000])
def test_buffer_made_of_a_size_holds_zeros(size: int) -> None:
    with SecureBuffer(size) as buffer:
        assert bytes(buffer) == bytes(size)
        assert bytes(buffer.data) == bytes(size)
        buffer.wipe()


@pytest.mark.parametrize(
    "source",
    [bytearray(SECRET), memoryview(bytearray(SECRET)), array.array("B", SECRET), SecureBuffer(SECRET)],
    ids=type,
)
def test_writable_source_is_wiped(source: Any) -> None:
    buffer = SecureBuffer(source)
    assert bytes(buffer) == SECRET
    assert bytes(source) == bytes(len(SECRET))


@pytest.mark.parametrize("source", [SECRET, memoryview(SECRET), memoryview(bytearray(SECRET)).toreadonly()], ids=type)
def test_read_only_source_stays(source: Any) -> None:
    buffer = SecureBuffer(source)
    assert bytes(buffer) == bytes(source) == SECRET


@pytest.mark.parametrize("source", ["text", None, 1.5, [1, 2], object()])
def test_what_is_no_bytes_and_no_size_is_a_type_error(source: Any) -> None:
    with pytest.raises(TypeError, match="bytes-like data or a size") as caught:
        SecureBuffer(source)
    assert "text" not in str(caught.value)


def test_size_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        SecureBuffer(-1)
    with pytest.raises(OverflowError):
        SecureBuffer(2**64)
    with pytest.raises(MemoryError):
        SecureBuffer(2**62)


def test_source_with_gaps_is_refused() -> None:
    with pytest.raises(BufferError):
        SecureBuffer(memoryview(bytearray(10))[::2])


def test_views_write_through() -> None:
    buffer = SecureBuffer(4)
    view = buffer.data
    assert not view.readonly
    assert (view.format, view.itemsize, view.ndim, view.shape, view.obj) == ("B", 1, 1, (4,), buffer)
    view[:] = b"abcd"
    assert bytes(buffer) == b"abcd"
    memoryview(buffer)[0] = 0x7A
    assert bytes(view) == b"zbcd"


def test_content_can_be_read_into(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    buffer = SecureBuffer(len(SECRET))
    with path.open("rb", buffering=0) as file:
        assert file.readinto(buffer) == len(SECRET)
    assert bytes(buffer) == SECRET


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000])
def test_file_is_read_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "record.txt"
    path.write_bytes(SECRET * size)
    assert SecureBuffer.from_file(path) == SecureBuffer.from_file(str(path)) == SECRET * size


def test_file_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        SecureBuffer.from_file(missing)
    assert caught.value.filename == str(missing)
    assert caught.value.errno == 2
    with pytest.raises(IsADirectoryError):
        SecureBuffer.from_file(tmp_path)


def test_address_is_where_the_content_lies() -> None:
    import ctypes

    buffer = SecureBuffer(SECRET)
    with buffer.unlocked():
        assert ctypes.string_at(buffer.address, len(buffer)) == SECRET


def test_lock_and_unlock_tell_whether_they_worked() -> None:
    buffer = SecureBuffer(SECRET)
    assert buffer.lock() is buffer.locked
    assert buffer.unlock()
    assert not buffer.locked
    assert repr(buffer) == str(buffer) == f"{buffer}" == "<SecureBuffer 24 bytes, not locked>"
    if buffer.lock():
        assert repr(buffer) == "<SecureBuffer 24 bytes, locked>"


@pytest.mark.parametrize("erase", [SecureBuffer.wipe, SecureBuffer.zero])
def test_wiping_overwrites_the_content_and_keeps_the_buffer(erase: Callable[[SecureBuffer], None]) -> None:
    buffer = SecureBuffer(SECRET)
    view = buffer.data
    erase(buffer)
    assert bytes(view) == bytes(buffer) == bytes(len(SECRET))
    assert not buffer.closed


# Comparing


@pytest.mark.parametrize("other", [bytes, bytearray, memoryview, SecureBuffer])
def test_equality_is_of_content(other: Callable[[bytes], Any]) -> None:
    buffer = SecureBuffer(SECRET)
    assert buffer == other(SECRET)
    assert other(SECRET) == buffer
    assert buffer != other(SECRET[:-1])
    assert buffer != other(SECRET[:-1] + b"?")
    assert buffer == buffer
    assert SecureBuffer(0) == other(b"")


@pytest.mark.parametrize("other", ["text", 24, None, [1]])
def test_nothing_else_is_equal(other: object) -> None:
    assert SecureBuffer(SECRET) != other
    assert SecureBuffer(SECRET).__eq__(other) is NotImplemented
    with pytest.raises(TypeError):
        assert SecureBuffer(SECRET) < other  # type: ignore[operator]


def test_buffer_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(SecureBuffer(SECRET))


# Giving nothing away


def test_content_shows_nowhere() -> None:
    buffer = SecureBuffer(b"canary")
    for text in (repr(buffer), str(buffer), f"{buffer}", repr(buffer.data), repr([buffer])):
        assert "canary" not in text
    with pytest.raises(TypeError):
        format(buffer, ">20")


def test_content_shows_in_no_traceback_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    buffer = SecureBuffer(b"canary")
    try:
        assert buffer == b"another", f"{buffer} {buffer!r}"
    except AssertionError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "SecureBuffer 6 bytes" in shown
    assert "canary" not in shown
    logging.getLogger("test").warning("%s %r %s", buffer, buffer, {"record": buffer})
    assert "canary" not in caplog.text
    with pytest.raises(TypeError):
        json.dumps({"record": buffer})
    assert not hasattr(buffer, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_buffer_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        pickle.dumps(SecureBuffer(SECRET), protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda buffer: buffer.__reduce__()])
def test_buffer_cannot_be_copied(duplicate: Callable[[SecureBuffer], object]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(SecureBuffer(SECRET))


def test_class_is_final() -> None:
    with pytest.raises(TypeError):
        type("Sub", (SecureBuffer,), {})


# Letting go


def test_every_use_after_close_is_a_value_error() -> None:
    buffer = SecureBuffer(SECRET)
    buffer.close()
    uses: list[Callable[[], object]] = [
        lambda: bytes(buffer),
        lambda: len(buffer),
        lambda: buffer.data,
        lambda: memoryview(buffer),
        lambda: buffer.size,
        lambda: buffer.address,
        lambda: buffer == SECRET,
        lambda: buffer == buffer,
        lambda: SecureBuffer(buffer),
        buffer.lock,
        buffer.unlock,
        buffer.protect,
        buffer.unlocked().__enter__,
        buffer.__enter__,
    ]
    for use in uses:
        with pytest.raises(ValueError, match="the SecureBuffer is closed"):
            use()
    assert buffer.closed
    assert not buffer.locked
    assert repr(buffer) == "<SecureBuffer closed>"
    buffer.close()
    buffer.wipe()
    buffer.zero()


def test_close_while_a_view_is_held_wipes_and_is_refused() -> None:
    buffer = SecureBuffer(SECRET)
    view = buffer.data[4:]
    with pytest.raises(BufferError, match="a view of it is still held"):
        buffer.close()
    assert not buffer.closed
    assert bytes(view) == bytes(len(SECRET) - 4)
    view.release()
    buffer.close()
    assert buffer.closed


def test_with_wipes_and_closes() -> None:
    buffer = SecureBuffer(SECRET)
    buffer.unlock()
    with buffer:
        assert buffer.locked is _core.can_lock()
    assert buffer.closed


def test_with_closes_when_the_body_raises() -> None:
    with pytest.raises(KeyError), SecureBuffer(SECRET) as buffer:
        raise KeyError
    assert buffer.closed


def test_with_a_view_held_wipes_and_raises_buffer_error() -> None:
    with pytest.raises(BufferError), SecureBuffer(SECRET) as buffer:
        view = buffer.data
    assert bytes(view) == bytes(len(SECRET))


def test_exception_of_the_body_is_not_replaced_by_a_held_view() -> None:
    views: list[memoryview] = []

    def hold_and_raise(view: memoryview) -> None:
        views.append(view)
        raise KeyError

    with pytest.raises(KeyError), SecureBuffer(SECRET) as buffer:
        hold_and_raise(buffer.data)
    assert bytes(views[0]) == bytes(len(SECRET))


def test_view_keeps_the_buffer_alive() -> None:
    view = SecureBuffer(SECRET).data
    gc.collect()
    assert bytes(view) == SECRET


def test_no_reference_is_lost_or_kept() -> None:
    buffer = SecureBuffer(SECRET)
    before = sys.getrefcount(buffer)
    for _ in range(100):
        bytes(buffer.data)
        bytes(memoryview(buffer))
        assert buffer == bytes(buffer)
        view = memoryview(buffer).cast("d")
        with pytest.raises(BufferError):
            buffer.close()
        del view
    assert sys.getrefcount(buffer) == before
    buffer.close()


def test_threads_that_use_and_close_at_once_never_crash(client_key: _core.PrivateKey) -> None:
    key = client_key.public_key

    def use(buffer: SecureBuffer, start: threading.Barrier) -> None:
        start.wait()
        try:
            while True:
                memoryview(buffer)[0] = 1
                assert len(bytes(buffer)) == 5000
                assert buffer != SECRET
                _core.seal({"record": buffer}, key)
                buffer.lock()
                buffer.unlock()
        except ValueError:
            return

    def close(buffer: SecureBuffer, start: threading.Barrier) -> None:
        start.wait()
        while not buffer.closed:
            try:
                buffer.close()
            except BufferError:
                continue

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            buffer, start = SecureBuffer(5000), threading.Barrier(4)
            threads = [threading.Thread(target=work, args=(buffer, start)) for work in (use, use, use, close)]
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():  # glibc before 2.41 loses a wake-up of the GIL's now and then (its bug 25847)
                    thread.join(1)
            assert buffer.closed
    finally:
        sys.setswitchinterval(switch)
