"""The memory API: measured protection, the caller's buffer locked and wiped on every way out."""

from __future__ import annotations

import asyncio
import ctypes
import logging
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import SecureBuffer, SecureByteContext
from nomyo.serve.router.running import RunningRouter
from support.process import locked_kib_at, output_of, run_python, under_memlock_limit
from support.twins import Twin

SECRET = b"the patient's record"
PAGE = 4096


def address_of(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


@pytest.fixture(autouse=True)
def _enabled_afterwards() -> Any:
    yield
    nomyo.enable_secure_memory()


class TestProtectionInfo:
    def test_reads_in_every_spelling(self) -> None:
        info = nomyo.get_memory_protection_info()

        assert info.can_lock is info["can_lock"] is info["canLock"] is info["has_memory_locking"] is True
        assert info.is_platform_secure is info["is_platform_secure"] is info["isPlatformSecure"] is True
        assert info.method == info["method"] == "mlock"
        assert isinstance(info.details, str)
        assert info["details"] == info.details
        assert info["enabled"] is info["has_secure_zeroing"] is info["supports_full_protection"] is True
        assert info["protection_level"] == "full"
        assert info["platform"] == "linux"
        assert info["page_size"] == PAGE
        assert len(info) == len(list(info)) == len(dict(info))
        assert nomyo.getMemoryProtectionInfo() == info
        with pytest.raises(KeyError):
            info["unknown"]

    def test_disabled_memory_protects_nothing(self) -> None:
        nomyo.disableSecureMemory()
        info = nomyo.get_memory_protection_info()
        nomyo.enableSecureMemory()

        assert (info.method, info.is_platform_secure) == ("none", False)
        assert nomyo.get_memory_protection_info().method == "mlock"

    @pytest.mark.parametrize("limit_kib", [0, 64, 316, 320, 8192])
    def test_lock_is_really_tried_under_the_present_limit(self, limit_kib: int) -> None:
        program = (
            "import nomyo\n"
            "info = nomyo.get_memory_protection_info()\n"
            "print(info.can_lock, info.method, info.is_platform_secure, info['protection_level'])"
        )
        output = output_of(program, before=under_memlock_limit(limit_kib * 1024))

        expected = {
            0: "False zero-only False zeroing_only",
            64: "True mlock False zeroing_only",  # a page can be locked, but not all that a request needs
            316: "True mlock False zeroing_only",
            320: "True mlock True full",
            8192: "True mlock True full",
        }[limit_kib]
        assert output.strip() == expected

    def test_limit_lowered_while_running_is_seen(self) -> None:
        program = (
            "import nomyo, resource\n"
            "before = nomyo.get_memory_protection_info().can_lock\n"
            "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))\n"
            "print(before, nomyo.get_memory_protection_info().can_lock)"
        )
        assert output_of(program, before=under_memlock_limit(8 * 1024 * 1024)).strip() == "True False"

    def test_limit_raised_after_the_import_is_not_blamed(self) -> None:
        program = (
            "import nomyo, resource\n"
            "resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 * 2**20, 8 * 2**20))\n"
            "nomyo.SyncSecureChatCompletion(secure_memory='require', key_dir=None)"
        )
        words = [*under_memlock_limit(0)[:-1], f"--memlock={64 * 1024}:{8 * 2**20}"]
        finished = run_python(program, before=words)
        assert "too small for the working memory when nomyo was imported" in finished.stderr
        assert "8192 KiB" not in finished.stderr


class TestSecureMemoryOption:
    PROGRAM = (
        "import sys, warnings, nomyo\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    for _ in range(2):\n"
        "        nomyo.SyncSecureChatCompletion(api_key='', secure_memory=eval(sys.argv[1]), key_dir=None).dispose()\n"
        "assert all(w.filename == '<string>' for w in caught), 'a warning points at the program'\n"
        "print(*(str(w.message).partition(':')[0] for w in caught), sep='|')"
    )

    @pytest.mark.parametrize(
        ("option", "warned"), [("True", "memory cannot be locked under a limit of 0 KiB"), ("False", "")]
    )
    def test_what_cannot_be_locked_is_warned_of_once(self, option: str, warned: str) -> None:
        output = output_of(self.PROGRAM, option, before=under_memlock_limit(0)).strip()
        assert output.startswith(warned)
        assert "|" not in output
        assert bool(output) == bool(warned)


class TestSecureByteContext:
    def test_callers_own_buffer_is_locked_and_wiped(self) -> None:
        buffer = bytearray(SECRET * 100_000)  # large enough for a mapping of its own
        context = SecureByteContext(buffer)
        assert locked_kib_at(address_of(buffer)) == 0

        with context as data:
            assert data is buffer
            assert context.locked
            assert locked_kib_at(address_of(buffer)) >= len(buffer) // 1024
            assert bytes(data[: len(SECRET)]) == SECRET

        assert buffer == bytes(len(SECRET) * 100_000)
        assert not context.locked
        assert locked_kib_at(address_of(buffer)) == 0

    @pytest.mark.parametrize("make", [bytearray, lambda b: memoryview(bytearray(b)), SecureBuffer])
    def test_every_writable_buffer_will_do(self, make: Any) -> None:
        buffer = make(SECRET)
        with SecureByteContext(buffer) as data:
            assert bytes(data) == SECRET
        assert bytes(buffer) == bytes(len(SECRET))

    @pytest.mark.parametrize("buffer", [b"immutable", memoryview(b"immutable"), "text", None, 7])
    def test_what_cannot_be_wiped_is_a_type_error_that_says_what_can(self, buffer: Any) -> None:
        with pytest.raises(TypeError, match="use a bytearray or a SecureBuffer"):
            SecureByteContext(buffer)

    def test_generator_is_refused(self) -> None:
        with pytest.raises(TypeError, match="generator"):
            SecureByteContext(bytearray(SECRET)).use(lambda data: (yield data))

    def test_wiped_after_an_exception(self) -> None:
        buffer = bytearray(SECRET)
        with pytest.raises(ZeroDivisionError), SecureByteContext(buffer):
            _ = 1 / 0
        assert buffer == bytes(len(SECRET))

    def test_size_cannot_change_meanwhile(self) -> None:
        buffer = bytearray(SECRET)
        with SecureByteContext(buffer) as data, pytest.raises(BufferError):
            data.extend(b"more")
        buffer.extend(b"more")

    def test_use_returns_the_value_of_a_plain_function(self) -> None:
        buffer = bytearray(SECRET)
        assert SecureByteContext(buffer).use(len) == len(SECRET)
        assert buffer == bytes(len(SECRET))

    def test_use_wipes_after_an_exception(self) -> None:
        buffer = bytearray(SECRET)
        with pytest.raises(KeyError):
            SecureByteContext(buffer).use(lambda data: dict[bytes, int]()[bytes(data)])
        assert buffer == bytes(len(SECRET))

    @pytest.mark.parametrize("as_lambda", [False, True])
    def test_use_returns_an_awaitable_of_an_async_function(self, as_lambda: bool) -> None:
        buffer = bytearray(SECRET)

        async def read(data: bytearray) -> bytes:
            await asyncio.sleep(0)
            return bytes(data)

        async def main() -> None:
            context = SecureByteContext(buffer)
            pending = context.use((lambda data: read(data)) if as_lambda else read)
            assert context.locked
            assert buffer == SECRET
            assert await pending == SECRET
            assert buffer == bytes(len(SECRET))
            assert not context.locked

        asyncio.run(main())

    @pytest.mark.parametrize("as_lambda", [False, True])
    @pytest.mark.parametrize("steps_before_cancelling", [0, 1, 2])
    def test_use_wipes_when_its_task_is_cancelled(self, steps_before_cancelling: int, as_lambda: bool) -> None:
        buffer = bytearray(SECRET)

        async def wait(data: bytearray) -> None:
            await asyncio.sleep(60)

        async def main() -> None:
            context = SecureByteContext(buffer)
            task = asyncio.create_task(context.use((lambda data: wait(data)) if as_lambda else wait))
            for _ in range(steps_before_cancelling):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
            assert buffer == bytes(len(SECRET))

        asyncio.run(main())

    def test_use_wipes_when_its_awaitable_is_dropped(self) -> None:
        buffer = bytearray(SECRET)

        async def read(data: bytearray) -> bytes:
            return bytes(data)

        pending = SecureByteContext(buffer).use(read)
        pending.close()
        del pending
        assert buffer == bytes(len(SECRET))

    @pytest.mark.parametrize(("use_secure", "enabled"), [(False, True), (None, False)])
    def test_left_alone_where_told_so(self, use_secure: bool | None, enabled: bool) -> None:
        if not enabled:
            nomyo.disable_secure_memory()
        buffer = bytearray(SECRET)
        context = SecureByteContext(buffer, use_secure)
        with context:
            assert not context.locked
        assert buffer == SECRET

    def test_switch_leaves_a_context_alone_that_was_made_before(self) -> None:
        buffer, other = bytearray(SECRET), bytearray(SECRET)
        made_while_enabled = SecureByteContext(buffer)
        nomyo.disable_secure_memory()
        made_while_disabled = SecureByteContext(other)
        nomyo.enable_secure_memory()

        with made_while_disabled:
            assert not made_while_disabled.locked
        nomyo.disable_secure_memory()
        with made_while_enabled:
            assert made_while_enabled.locked

        assert (bytes(buffer), bytes(other)) == (bytes(len(SECRET)), SECRET)

    def test_switch_leaves_clients_alone_that_were_made_before(
        self, twin: Twin, router: RunningRouter, key_directory: Path
    ) -> None:
        clients = [
            twin.chat(router.url, key_dir=key_directory, secure_memory=secure) for secure in (True, False, "require")
        ]
        request = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}

        nomyo.disable_secure_memory()

        assert [client._client.settings.secure_memory for client in clients] == [True, False, "require"]
        for client in clients:
            with twin.call(client.create_secure, request).content as content:
                assert content.locked
                assert bytes(content) == b"Hello"

    def test_explicit_choice_wins_over_the_switch(self) -> None:
        nomyo.disable_secure_memory()
        buffer = bytearray(SECRET)
        with SecureByteContext(buffer, True) as data:
            assert data == SECRET
        assert buffer == bytes(len(SECRET))

    def test_context_cannot_be_entered_twice_at_once(self) -> None:
        context = SecureByteContext(bytearray(SECRET))
        with context, pytest.raises(RuntimeError, match="entered"):
            context.__enter__()
        with context:
            pass

    def test_two_contexts_on_one_page_unlock_it_with_the_last(self) -> None:
        both = bytearray(PAGE * 500)
        first, second = memoryview(both)[PAGE : PAGE + 8], memoryview(both)[PAGE + 16 : PAGE + 24]
        here = address_of(both) + PAGE + 8
        with SecureByteContext(first):
            with SecureByteContext(second):
                assert locked_kib_at(here) > 0
            assert locked_kib_at(here) > 0
        assert locked_kib_at(here) == 0


class TestReferenceNames:
    def test_secure_bytearray_holds_a_copy_and_wipes_the_source(self) -> None:
        source = bytearray(SECRET)
        with nomyo.secure_bytearray(source) as buffer:
            assert source == bytes(len(SECRET))
            assert bytes(buffer) == SECRET
            assert bytes(buffer.data) == SECRET
            assert buffer.size == len(buffer) == len(SECRET)
            assert buffer.locked
            assert isinstance(buffer.address, int)

    def test_secure_bytearray_without_lock(self) -> None:
        with nomyo.secure_bytearray(SECRET, lock=False) as buffer:
            assert not buffer.locked
            assert buffer.lock() is True
            assert buffer.locked

    def test_secure_bytes_warns_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "nomyo"), nomyo.secure_bytes(SECRET) as buffer:
            assert bytes(buffer) == SECRET
        assert "cannot be wiped" in caplog.text
        assert SECRET.decode() not in caplog.text

    def test_wiped_after_an_exception(self) -> None:
        with pytest.raises(ZeroDivisionError), nomyo.secure_bytearray(bytearray(SECRET)) as buffer:
            _ = 1 / 0
        assert buffer.closed
