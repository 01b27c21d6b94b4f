"""Hidden memory: how it is asked for, what it tells of itself, and what happens if the system refuses it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nomyo.cli import main
from support.process import run_python, under_memlock_limit, unmeasured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd_secret is Linux's")

TESTS = str(Path(__file__).parents[1])
EPERM, ENOSYS = 1, 38
PROLOGUE = """
import json, os, sys, threading, time, warnings
from support.refused_calls import refuse
"""
TELL = """
def told():
    return [nomyo.get_memory_protection_info().hidden, nomyo._core.refused_calls()]
"""


def run(program: str, *, before: list[str] | None = None, **variables: str) -> list[str]:
    """Run a program in which warnings are errors, and return its lines."""
    environment = {**unmeasured(), "PYTHONPATH": TESTS, **variables}
    finished = run_python(PROLOGUE + program, env=environment, before=before or [])
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr
    return finished.stdout.splitlines()


def test_memory_is_hidden_when_asked_and_what_exists_moves() -> None:
    said = run(f"""
import nomyo
{TELL}
print(json.dumps(told()))
nomyo.harden_process()
print(json.dumps(told()))
buffer = nomyo.SecureBuffer(b"content")
key = nomyo._core.PrivateKey.generate(2048)
pem = bytes(key.to_pem())
nomyo.harden_process(hide_memory=True)
nomyo.harden_process(hide_memory=True)
assert buffer == b"content" and bytes(key.to_pem()) == pem
assert buffer.lock() and buffer.locked and not buffer.unlock() and buffer.locked
info = nomyo.get_memory_protection_info()
assert info["hidden"] is info.hidden and info.is_platform_secure
print(json.dumps(told()))
""")
    assert [json.loads(line) for line in said] == [[False, []], [False, []], [True, []]]


@pytest.mark.parametrize(("value", "hidden"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_variable_hides_memory_of_a_program_as_it_is(value: str, hidden: bool) -> None:
    program = f"import nomyo\n{TELL}\nprint(json.dumps(told()))"
    assert json.loads(run(program, NOMYO_HIDE_MEMORY=value)[0]) == [hidden, []]


def test_view_that_is_held_refuses_and_changes_nothing() -> None:
    run("""
import nomyo
buffer = nomyo.SecureBuffer(b"content")
with memoryview(buffer) as view:
    try:
        nomyo.harden_process(hide_memory=True)
    except nomyo.SecurityError as error:
        assert "release the views first" in str(error), error
    else:
        raise AssertionError("moved under a view")
    assert view == b"content" and not nomyo.get_memory_protection_info().hidden
nomyo.harden_process(hide_memory=True)
assert buffer == b"content" and nomyo.get_memory_protection_info().hidden
""")


# A thread that reads a file into locked memory, and waits for what the pipe does not give.
READING = """
import nomyo
read, write = os.pipe()
reader = threading.Thread(target=nomyo.SecureBuffer.from_file, args=[f"/dev/fd/{read}"])
reader.start()
call = ""
while not call.startswith("0 "):  # read(2): the reader waits for the pipe
    with open(f"/proc/self/task/{reader.native_id}/syscall") as file:
        call = file.read()
"""


def test_file_that_is_being_read_refuses() -> None:
    run(
        READING
        + """
try:
    nomyo.harden_process(hide_memory=True)
except nomyo.SecurityError as error:
    assert "file is read" in str(error), error
else:
    raise AssertionError("moved while a file was read")
os.close(write)
reader.join()
nomyo.harden_process(hide_memory=True)
"""
    )


def test_child_can_hide_while_a_thread_of_its_parent_reads_a_file() -> None:
    run(
        READING
        + """
child = os.fork()
if child == 0:
    try:
        nomyo.harden_process(hide_memory=True)
    finally:
        os._exit(0 if nomyo.get_memory_protection_info().hidden else 1)
status = os.waitpid(child, 0)[1]
os.close(write)
reader.join()
assert status == 0
"""
    )


REFUSED = f"""
import nomyo
{TELL}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    nomyo.harden_process(hide_memory=True)
    nomyo.harden_process(hide_memory=True)
    nomyo.SyncSecureCompletionClient("https://router.invalid", api_key="key").close()
print(json.dumps([str(warning.message) for warning in caught]))
print(json.dumps(told()))
assert nomyo.SecureBuffer(b"locked").locked
try:
    nomyo.SyncSecureCompletionClient("https://router.invalid", api_key="key", secure_memory="require")
except nomyo.SecurityError as error:
    print(error)
print(nomyo.get_memory_protection_info().details)
"""


@pytest.mark.parametrize(("errno", "why"), [(EPERM, "seccomp filter"), (ENOSYS, "Linux 5.14")])
def test_refusal_is_warned_of_once_and_required_memory_is_refused(errno: int, why: str) -> None:
    warned, told, required, details = run(f"refuse('memfd_secret', {errno})\n{REFUSED}")
    (warning,) = json.loads(warned)
    assert warning.startswith("memory stays locked, but root can read it: ")
    assert why in warning
    assert json.loads(told) == [False, ["memfd_secret"]]
    assert required.startswith('secure_memory="require": memory is locked, but not hidden as was asked for')
    assert "not hidden as was asked for" in details


def test_variable_warns_too_if_the_system_refuses() -> None:
    program = "refuse('memfd_secret')\nimport nomyo\n"
    finished = run_python(
        PROLOGUE + program, env={**unmeasured(), "PYTHONPATH": TESTS, "NOMYO_HIDE_MEMORY": "1"}, before=[]
    )
    assert finished.returncode == 1
    assert "UserWarning: memory stays locked, but root can read it" in finished.stderr


def test_limit_on_locked_memory_refuses_as_the_kernel_does() -> None:
    run(
        """
import nomyo
assert "RLIMIT_MEMLOCK" in nomyo._core.hide_memory()
assert not nomyo.get_memory_protection_info().hidden
""",
        before=[*under_memlock_limit(0)],
    )


def test_children_of_every_kind_work_and_hide_too() -> None:
    run("""
import multiprocessing, subprocess, nomyo
nomyo.harden_process(hide_memory=True)
buffer = nomyo.SecureBuffer(b"the parent's")

def work(number):
    try:
        bytes(buffer)
    except nomyo.SecurityError as error:
        assert "fork" in str(error)
        assert nomyo.SecureBuffer(b"own") == b"own"
        return nomyo.get_memory_protection_info().hidden

with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(work, range(4)) == [True] * 4
assert subprocess.run(["true"], preexec_fn=lambda: work(0)).returncode == 0
child = os.fork()
if child == 0:
    grandchild = os.fork()
    os._exit(0 if work(0) and (grandchild == 0 or os.waitpid(grandchild, 0)[1] == 0) else 1)
assert os.waitpid(child, 0)[1] == 0
assert buffer == b"the parent's"
""")


def test_threads_at_work_are_waited_for() -> None:
    run("""
import nomyo
PrivateKey = nomyo._core.PrivateKey
pem = bytes(PrivateKey.generate(2048).to_pem())
stop = threading.Event()
rounds = []

def work():
    while not stop.is_set():
        assert bytes(PrivateKey.from_pem(pem).to_pem()) == pem
        rounds.append(1)

def wait_for(count):
    while len(rounds) < count:
        time.sleep(0.001)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
wait_for(20)
nomyo.harden_process(hide_memory=True)
wait_for(len(rounds) + 20)
stop.set()
for thread in threads:
    thread.join()
assert nomyo.get_memory_protection_info().hidden
""")


def test_machine_cannot_hibernate_meanwhile() -> None:
    """Linux, kernel/power/hibernate.c: `hibernation_available` is false while `secretmem_active` (mm/secretmem.c).

    That is so while a file of memfd_secret(2) is open or mapped anywhere; `disk_show` then tells "[disabled]". Where
    there is no hibernation, sysfs has no such file, and only the mapping can be seen.
    """
    (mapped, disk) = run("""
import nomyo
nomyo.harden_process(hide_memory=True)
with open("/proc/self/maps") as maps:
    print("/secretmem" in maps.read())
print(open("/sys/power/disk").read() if os.path.exists("/sys/power/disk") else "[disabled]")
""")
    assert (mapped, disk) == ("True", "[disabled]")


@pytest.mark.parametrize("command", ["chat", "batch", "proxy"])
def test_command_has_the_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--hide-memory" in capsys.readouterr().out


def test_command_hides_memory_and_says_so_if_the_system_refuses() -> None:
    program = """
from nomyo.cli.command_app import harden
from nomyo import _core
harden("nomyo chat", hide_memory=True)
print(_core.memory_is_hidden())
"""
    assert run(program) == ["True"]
    refused = run_python(f"{PROLOGUE}refuse('memfd_secret')\n{program}", env={**unmeasured(), "PYTHONPATH": TESTS})
    assert refused.stdout == "False\n"
    assert refused.stderr.startswith("nomyo chat: warning: memory stays locked, but root can read it: ")
