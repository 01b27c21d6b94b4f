"""Without CAP_IPC_LOCK, under every limit of locked memory: everything works, and every report is true.

Each test is a program of its own under `ulimit -l`, since the limit is read once; `kernel.py` holds what nomyo says of
memory against VmLck, and against every mapping's `Locked` figure and `lo` flag.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from nomyo.memory import MIN_LIMIT_BYTES
from nomyo.serve.router.running import RunningRouter
from support.process import run_python, under_memlock_limit

KIB = 1024
LIMITS = [pytest.param(limit_kib * KIB, id=f"{limit_kib}KiB") for limit_kib in (0, 64, 256, 320, 8192)]
# As the machine has it: none for root, whom no limit binds.
ALL_LIMITS = [*LIMITS, pytest.param(None, id="as-it-is")]
every_limit = pytest.mark.parametrize("limit_bytes", ALL_LIMITS)

PROLOGUE = """
import asyncio, os, sys, threading, time, warnings
from pathlib import Path
warnings.filterwarnings("ignore", "the router is spoken to over plain HTTP")
import nomyo
from nomyo import SecureBuffer, SecureByteContext, _core
from support.kernel import *
LIMIT = eval(sys.argv[1])
"""


def start(program: str, limit_bytes: int | None, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program under a limit."""
    words = [] if limit_bytes is None else under_memlock_limit(limit_bytes)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return run_python(PROLOGUE + program, repr(limit_bytes), *map(str, arguments), before=words, env=env)


def run(program: str, limit_bytes: int | None, *arguments: object) -> str:
    """Run a program under a limit; it must succeed without a warning."""
    finished = start(program, limit_bytes, *arguments)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr
    return finished.stdout


@every_limit
@pytest.mark.slow("draws key pairs, and encrypts them with 600,000 rounds")
def test_keys_are_made_written_read_and_wiped(limit_bytes: int | None, tmp_path: Path) -> None:
    program = """
assert_reports_are_true()
for bits in (2048, 4096):
    directory = Path(sys.argv[2]) / str(bits)
    with watched(LIMIT):
        key = _core.PrivateKey.generate(bits)
        with key.to_pem() as pem, key.to_pem("a password") as sealed:
            assert_reports_are_true([pem, sealed])
            assert _core.PrivateKey.from_pem(pem).public_key == key.public_key
            assert _core.PrivateKey.from_pem(sealed, "a password").public_key == key.public_key
        _core.write_key_directory(directory, key, "a password")
        again, new, condition, plain = _core.open_key_directory(directory, bits, "a password")
        assert (again.public_key, new, condition.too_open, plain) == (key.public_key, False, [], None)
    assert_reports_are_true()
    key.wipe()
    again.wipe()
    assert_reports_are_true()
"""
    run(program, limit_bytes, tmp_path)


REQUESTS = """
def ask(call, content):
    return call(model="m", messages=[{"role": "user", "content": content}]).choices[0].message.content

def questions():
    yield "Hello", "Hello"
    yield "caf\\xe9 \\u20ac" * 20_000, "caf\\xe9 \\u20ac" * 20_000
    yield "x" * (10 * 2**20 - 1000), "x" * (10 * 2**20 - 1000)  # 10 MiB is the most

def use(call):
    for content, answer in questions():
        with watched(LIMIT):
            assert ask(call, content) == answer
        assert_reports_are_true()
    with SecureBuffer(bytearray(b"the record")) as record, SecureBuffer(20_000) as large:
        large.data[:] = b"y" * 20_000
        with watched(LIMIT):
            assert ask(call, record) == "the record"
            assert ask(call, large) == "y" * 20_000
        assert_reports_are_true([record, large])
"""


@every_limit
def test_requests_are_sealed_and_answers_opened(limit_bytes: int | None, router: RunningRouter) -> None:
    program = """
assert_reports_are_true()
with nomyo.SyncSecureChatCompletion(sys.argv[2], True, key_dir=None, secure_memory=False) as client:
    use(client.create)
assert_reports_are_true()
"""
    run(REQUESTS + program, limit_bytes, router.url)


@every_limit
def test_requests_of_an_event_loop_at_once(limit_bytes: int | None, router: RunningRouter, key_directory: Path) -> None:
    program = """
async def main():
    texts = [f"message {i} " * 10_000 for i in range(24)]
    options = {"key_dir": sys.argv[3], "secure_memory": False}
    async with nomyo.SecureChatCompletion(sys.argv[2], True, **options) as client:
        asked = [client.create(model="m", messages=[{"role": "user", "content": text}]) for text in texts]
        with watched(LIMIT):
            answers = await asyncio.gather(*asked)
    assert [answer.choices[0].message.content for answer in answers] == texts
asyncio.run(main())
assert_reports_are_true()
"""
    run(program, limit_bytes, router.url, key_directory)


@every_limit
def test_keys_rotate_beside_the_traffic(limit_bytes: int | None, router: RunningRouter, tmp_path: Path) -> None:
    program = """
public = Path(sys.argv[3]) / "public_key.pem"
options = {"key_size": 2048, "key_dir": sys.argv[3], "key_rotation_dir": sys.argv[3], "key_rotation_interval": 0.2}
payload = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
client = nomyo.SyncSecureCompletionClient(sys.argv[2], True, False, **options)
keys = set()
deadline = time.monotonic() + 60
with client, watched(LIMIT):
    while len(keys) < 3 and time.monotonic() < deadline:
        answer = client.send_secure_request(payload, "00000000-0000-4000-8000-000000000000")
        assert answer.choices[0].message.content == "Hello"
        keys.add(public.read_text())
assert len(keys) == 3
assert_reports_are_true()
"""
    run(program, limit_bytes, router.url, tmp_path / "keys")


@every_limit
def test_callers_own_memory_is_reported_as_it_is(limit_bytes: int | None) -> None:
    program = """
room = lambda pages: LIMIT is None or locked_bytes() + pages * PAGE <= LIMIT // PAGE * PAGE
for size in (1, PAGE - 16, PAGE, 3 * PAGE, 40 * PAGE):
    fits = room(-(-(size + 16) // PAGE))
    with SecureBuffer(size) as buffer:
        assert buffer.locked is fits, (size, fits)
        assert_reports_are_true([buffer])
        assert buffer.unlock() and not buffer.locked
        assert_reports_are_true([buffer])
        assert buffer.lock() is fits
        assert_reports_are_true([buffer])
    assert_reports_are_true()

# Large enough for a mapping of its own, and used up to page borders, so that the pages can be counted.
memory = bytearray(60 * PAGE)
import ctypes
skipped = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % PAGE
for pages in (1, 2, 50):
    view = memoryview(memory)[skipped : skipped + pages * PAGE]
    view[:6] = b"secret"
    fits = room(pages)
    context = SecureByteContext(view)
    with context:
        assert context.locked is fits, (pages, fits)
        assert_reports_are_true(others_bytes=pages * PAGE if fits else 0)
    assert bytes(view) == bytes(pages * PAGE)
    lock = _core.PageLock(view)
    assert lock.locked is fits
    assert_reports_are_true(others_bytes=pages * PAGE if fits else 0)
    lock.release()
    assert_reports_are_true()
"""
    run(program, limit_bytes)


@every_limit
def test_buffers_are_locked_as_long_as_there_is_room(limit_bytes: int | None) -> None:
    program = """
buffers = [SecureBuffer(100) for _ in range(90)]  # a page each
info = assert_reports_are_true(buffers)
locked = [buffer.locked for buffer in buffers]
assert locked == sorted(locked, reverse=True)
assert all(locked) is (LIMIT is None or LIMIT >= 2**20)
assert any(locked) is (LIMIT != 0)
if not all(locked):
    assert (info.can_lock, info.is_platform_secure) == (False, False)
    assert info.details.startswith("no more memory can be locked" if LIMIT else "memory cannot be locked")
for buffer in buffers:
    buffer.close()
assert_reports_are_true()
"""
    run(program, limit_bytes)


@every_limit
def test_forked_child_reports_its_own_memory(limit_bytes: int | None) -> None:
    program = """
key = _core.PrivateKey.generate(2048)
buffer = SecureBuffer(b"secret")
child = os.fork()
if not child:
    assert not buffer.locked
    status = _core.memory_status()
    assert locked_bytes() == status["locked_bytes"]
    assert sum(mapping.size_bytes for mapping in mappings() if mapping.locked) == status["locked_bytes"]
    assert (status["locked_bytes"] > 0) is (LIMIT != 0)
    with SecureBuffer(b"secret") as own:
        assert own.locked is (LIMIT != 0)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert_reports_are_true([buffer])
"""
    run(program, limit_bytes)


@every_limit
def test_answers_are_opened_into_buffers(limit_bytes: int | None, router: RunningRouter, key_directory: Path) -> None:
    program = """
options = {"key_dir": sys.argv[3], "secure_memory": False}
with nomyo.SyncSecureChatCompletion(sys.argv[2], True, **options) as client:
    for size in (10, 50_000, 3_000_000):
        with SecureBuffer(size) as record:
            record.data[:] = b"z" * size
            with watched(LIMIT):
                reply = client.create_secure(model="m", messages=[{"role": "user", "content": record}])
            with reply:
                assert reply.content == record
                assert_reports_are_true([record, reply.content, reply.json])
        assert_reports_are_true()
"""
    run(program, limit_bytes, router.url, key_directory)


OPTION = """
caught = []
for _ in range(2):
    with warnings.catch_warnings(record=True) as now:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "the router is spoken to over plain HTTP")
        options = {"secure_memory": eval(sys.argv[3]), "key_dir": sys.argv[4]}
        with nomyo.SyncSecureChatCompletion(sys.argv[2], True, **options) as client:
            answer = client.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content == "Hello"
    caught += [str(warning.message) for warning in now]
assert_reports_are_true()
print(*caught, sep="\\n")
"""


@pytest.mark.parametrize("limit_bytes", LIMITS)
@pytest.mark.parametrize("option", [True, False])
def test_warning_comes_once_where_it_is_due(
    limit_bytes: int, option: bool, router: RunningRouter, key_directory: Path
) -> None:
    said = run(OPTION, limit_bytes, router.url, option, key_directory).strip()
    due = option and limit_bytes < MIN_LIMIT_BYTES
    assert len(said.splitlines()) == due
    if due:
        assert f"a limit of {limit_bytes // KIB} KiB" in said


@pytest.mark.parametrize("limit_bytes", LIMITS)
def test_require_is_held_when_a_client_is_made(limit_bytes: int, router: RunningRouter, key_directory: Path) -> None:
    finished = start(OPTION, limit_bytes, router.url, "'require'", key_directory)
    if limit_bytes >= MIN_LIMIT_BYTES:
        assert (finished.returncode, finished.stdout.strip(), finished.stderr) == (0, "", "")
        return
    error = finished.stderr.splitlines()[-1]
    assert error.startswith('nomyo.errors.SecurityError: secure_memory="require": ')
    assert f"a limit of {limit_bytes // KIB} KiB" in error


REQUIRED = """
def ask(size):
    call = getattr(client, sys.argv[4])
    answer = call(model="m", messages=[{"role": "user", "content": "x" * size}])
    with answer if sys.argv[4] == "create_secure" else contextlib.nullcontext():
        return assert_reports_are_true([answer.content, answer.json] if sys.argv[4] == "create_secure" else [])

import contextlib
with nomyo.SyncSecureChatCompletion(sys.argv[2], True, key_dir=sys.argv[3], secure_memory="require") as client:
    with watched(LIMIT):
        for size in (10, int(sys.argv[5]), 10):
            assert ask(size).method == "mlock"
        try:
            ask(int(sys.argv[6]))
        except nomyo.SecurityError as error:
            assert "locked memory is required" in str(error), error
        else:
            raise AssertionError("an answer of this size does not fit")
    assert assert_reports_are_true().is_platform_secure
    assert _core.memory_status()["unlocked_bytes"] == 0
    ask(10)
"""


@pytest.mark.parametrize(
    ("limit_bytes", "method", "fits_bytes", "too_large_bytes"),
    [
        (320 * KIB, "create", 4_000, 100_000),
        (320 * KIB, "create_secure", 4_000, 100_000),
        (8192 * KIB, "create", 3_000_000, 9_000_000),
        (8192 * KIB, "create_secure", 1_000_000, 9_000_000),
    ],
)
def test_require_is_held_for_every_answer(
    limit_bytes: int, method: str, fits_bytes: int, too_large_bytes: int, router: RunningRouter, key_directory: Path
) -> None:
    run(REQUIRED, limit_bytes, router.url, key_directory, method, fits_bytes, too_large_bytes)
