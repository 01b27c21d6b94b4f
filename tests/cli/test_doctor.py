"""`nomyo doctor` says what is in force, and advises on every weakness that is there and on no other."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nomyo import _speed
from nomyo.cli import main
from nomyo.cli.doctor import command as doctor
from nomyo.cli.doctor import machine
from nomyo.cli.doctor.machine import CoreDumps, Crypto, Locking, Machine, Swap, SwapArea, Tracing
from support.process import LIMITED, as_ordinary_user, output_of, run_python, under_memlock_limit, unmeasured

MIB = 2**20
SOUND = Machine(
    Locking(True, "comfortable", True, 8 * MIB, 8 * MIB, 6 * MIB, 258048, 0, 2048, 258048),
    CoreDumps(False, 0, "unlimited", 1, "file", "core", True),
    Swap((SwapArea("/dev/dm-0", 2**30, "dm-crypt"), SwapArea("/dev/zram0", 2**30, "memory")), "unlimited", True),
    Tracing(False, True, 1),
    Crypto("AWS-LC 1", {"aes": True}, "software", None),
)
UNKNOWN = Machine(
    replace(SOUND.locking, soft_limit_bytes=None, hard_limit_bytes=None, process_locked_bytes=None),
    CoreDumps(None, None, None, None, None, None, None),
    Swap(None, None, None),
    Tracing(None, None, None),
    Crypto("AWS-LC 1", {}, None, None),
)
PLAIN_SWAP = SwapArea("/dev/sda2", 2**30, "unknown")


def changed(part: str, **facts: Any) -> Machine:
    return replace(SOUND, **{part: replace(getattr(SOUND, part), **facts)})


@pytest.mark.parametrize("found", [SOUND, UNKNOWN], ids=["sound", "unknown"])
def test_nothing_is_advised_where_no_weakness_is_known(found: Machine) -> None:
    assert doctor.advise(found) == []
    assert [*doctor.report(found)][-1] == "Nothing to advise."


def test_what_is_unknown_is_said() -> None:
    lines = "\n".join(doctor.report(UNKNOWN))
    for label in ("processor", "core dumps", "swap", "hibernation", "ptrace"):
        assert f"\n{label:14} unknown" in lines
    assert f"\n{'lock limit':14} unknown, hard limit unknown" in lines


@pytest.mark.parametrize(
    ("found", "weakness", "remedies", "not_said"),
    [
        (changed("locking", level="none", can_lock=False), "No memory", ["ulimit -l 8192", "320 KiB", "memlock="], []),
        (changed("locking", level="scarce"), "Keys can", ["LimitMEMLOCK=8M", "--ulimit memlock=8388608"], ["65536"]),
        (changed("locking", level="small"), "large answers", ["IPC_LOCK", "securityContext.capabilities.add"], []),
        (
            changed("locking", level="small", hard_limit_bytes=64 * 1024),
            "large answers",
            ["`USER - memlock 8192` in /etc/security/limits.conf"],
            [],
        ),
        (
            changed("locking", level="small", hard_limit_bytes="unlimited"),
            "large answers",
            ["ulimit -l 8192"],
            ["limits.conf"],
        ),
        (
            changed("core_dumps", possible=True),
            "A crash",
            ["harden_process()", "LimitCORE=0", "ulimit -c 0", "--ulimit core=0"],
            [],
        ),
        (
            changed("core_dumps", possible=True, destination="program"),
            "no limit stops what goes to a program",
            ["harden_process()"],
            ["LimitCORE", "ulimit"],
        ),
        (changed("core_dumps", locked_memory_left_out=False), "include locked memory", ["harden_process()"], []),
        (
            changed("tracing", by_same_user=True, yama_scope=0),
            "Any process of the same user",
            ["harden_process()", "kernel.yama.ptrace_scope=1"],
            [],
        ),
        (
            changed("tracing", by_same_user=True, yama=False, yama_scope=None),
            "Any process of the same user",
            ["harden_process()"],
            ["ptrace_scope"],
        ),
        (
            changed("swap", areas=(PLAIN_SWAP,), hibernation=False),
            "written to /dev/sda2",
            ["swapoff -a", "crypttab", "MemorySwapMax=0"],
            [],
        ),
        (
            changed("swap", areas=(PLAIN_SWAP,), group_limit_bytes=0),
            "Hibernation writes",
            ["systemctl mask hibernate.target"],
            ["swapoff"],
        ),
    ],
)
def test_each_weakness_has_its_remedies(
    found: Machine, weakness: str, remedies: list[str], not_said: list[str]
) -> None:
    (advice,) = doctor.advise(found)
    said = "\n".join(advice.remedies)
    assert weakness in advice.weakness
    for remedy in remedies:
        assert remedy in said
    for other in not_said:
        assert other not in said
    lines = [*doctor.report(found)]
    assert advice.weakness in lines
    assert all(f"  {remedy}" in lines for remedy in advice.remedies)
    assert all(len(line) <= 120 for line in lines[lines.index("") :])


@pytest.mark.parametrize(
    ("part", "facts", "line"),
    [
        ("locking", {"can_lock": False}, "memory lock    REFUSED"),
        ("locking", {"hidden": True}, "hidden memory  in force (tried just now): not even root can read it"),
        ("locking", {"hidden": True}, "hibernation    not possible while this process hides memory"),
        ("locking", {"hidden": False}, "hidden memory  off"),
        ("locking", {"hidden": False, "hiding_refused": True}, "hidden memory  REFUSED by the system"),
        ("locking", {"limit_applies": False}, "lock limit     8.0 MiB, hard limit 8.0 MiB; neither binds this process"),
        (
            "core_dumps",
            {"possible": True, "destination": "program", "pattern": "|/x"},
            "core dumps     written; to a prog",
        ),
        ("core_dumps", {"destination": "nowhere", "pattern": ""}, "core dumps     off; core_pattern is empty"),
        ("core_dumps", {"locked_memory_left_out": False}, "               locked memory is INCLUDED"),
        ("swap", {"areas": ()}, "swap           none"),
        ("swap", {}, "swap           /dev/dm-0, 1.0 GiB, encrypted (dm-crypt)"),
        ("swap", {}, "               /dev/zram0, 1.0 GiB, compressed memory (zram)"),
        ("swap", {"group_limit_bytes": 0}, "               this process's control group may use 0 KiB of it"),
        ("swap", {"hibernation": False}, "hibernation    not possible"),
        ("tracing", {}, "               kernel.yama.ptrace_scope is 1: descendants only"),
        ("tracing", {"yama_scope": None}, "               Yama's ptrace_scope is unknown"),
        ("tracing", {"yama_scope": None, "yama": False}, "               this kernel has no Yama"),
    ],
)
def test_facts_are_put_into_words(part: str, facts: dict[str, Any], line: str) -> None:
    assert f"\n{line}" in "\n".join(doctor.report(changed(part, **facts)))


KEYS = {
    "protection": {"method", "is_platform_secure"},
    "locking": {
        *("can_lock", "level", "limit_applies", "soft_limit_bytes", "hard_limit_bytes", "budget_bytes"),
        *("locked_bytes", "unlocked_bytes", "in_use_bytes", "process_locked_bytes", "hidden", "hiding_refused"),
    },
    "core_dumps": {
        *("possible", "soft_limit_bytes", "hard_limit_bytes", "dumpable", "destination", "pattern"),
        "locked_memory_left_out",
    },
    "swap": {"areas", "group_limit_bytes", "hibernation"},
    "tracing": {"by_same_user", "yama", "yama_scope"},
    "crypto": {"library", "cpu_features", "aes_gcm", "rsa"},
}


@pytest.mark.parametrize(
    ("there", "line"),
    [
        (set(), "asyncio runs our commands, asyncio TLS of async clients; the extra `speed` brings what is faster"),
        (
            {"aiofastnet"},
            "asyncio runs our commands, aiofastnet TLS of async clients; the extra `speed` brings what is faster",
        ),
        ({"aiofastnet", _speed.LOOP}, f"{_speed.LOOP} runs our commands, aiofastnet TLS of async clients"),
    ],
)
def test_it_tells_whether_the_extra_speed_is_there(there: set[str], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_speed, "find_spec", lambda name: name if name in there else None)
    assert f"speed          {line}" in list(doctor.report(SOUND))
    libraries = {"loop": _speed.LOOP, "tls": "aiofastnet"}
    told = {use: library if library in there else None for use, library in libraries.items()}
    assert doctor.as_json(SOUND)["speed"] == told


def test_json_has_the_same_facts_under_stable_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {name: set(printed[name]) for name in KEYS} == KEYS
    assert set(printed) == {*KEYS, "nomyo_version", "python_version", "platform", "speed", "advice"}
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert printed["locking"]["soft_limit_bytes"] == ("unlimited" if soft == resource.RLIM_INFINITY else soft)
    assert printed["core_dumps"]["dumpable"] == machine._core.dumpable()  # type: ignore[attr-defined]


def test_json_holds_areas_and_advice() -> None:
    printed = json.loads(json.dumps(doctor.as_json(changed("swap", areas=(PLAIN_SWAP,), hibernation=False))))
    assert printed["swap"]["areas"] == [{"name": "/dev/sda2", "size_bytes": 2**30, "medium": "unknown"}]
    (advice,) = printed["advice"]
    assert set(advice) == {"weakness", "remedies"}


@pytest.mark.parametrize(
    ("limit_kib", "level", "method"),
    [
        (0, "none", "zero-only"),
        (4, "scarce", "mlock"),
        (64, "scarce", "mlock"),
        (316, "scarce", "mlock"),
        (320, "small", "mlock"),
        (8192, "comfortable", "mlock"),
    ],
)
def test_each_limit_has_its_level(limit_kib: int, level: str, method: str) -> None:
    program = "import sys\nfrom nomyo.cli import main\nsys.exit(main(['doctor', '--json']))"
    printed = json.loads(output_of(program, before=under_memlock_limit(limit_kib * 1024)))
    locking = printed["locking"]
    assert (locking["level"], locking["limit_applies"], printed["protection"]["method"]) == (level, True, method)
    assert locking["can_lock"] is (limit_kib > 0)
    assert printed["core_dumps"]["locked_memory_left_out"] is True  # of what would be locked, if it could be
    assert locking["process_locked_bytes"] == locking["locked_bytes"] <= limit_kib * 1024
    assert any("ulimit -l" in remedy for advice in printed["advice"] for remedy in advice["remedies"]) is (
        limit_kib < 8192
    )


def test_advice_is_gone_where_it_was_followed() -> None:
    """A hardened process has neither dumps nor readers to be warned of."""
    program = "import nomyo, sys\nfrom nomyo.cli import main\n{}sys.exit(main(['doctor', '--json']))"
    raised = [*as_ordinary_user(), *LIMITED, "--core=1000000:1000000"]
    before = json.loads(output_of(program.format(""), before=raised))
    after = json.loads(output_of(program.format("nomyo.harden_process()\n"), before=raised))

    assert "harden_process" in str(before["advice"])
    assert "harden_process" not in str(after["advice"])
    assert (after["core_dumps"]["possible"], after["tracing"]["by_same_user"]) == (False, False)


@pytest.mark.parametrize("arguments", [["surplus"], ["--json", "surplus"], ["--jsn"]])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Usage: nomyo doctor [--self] [--json]")


def test_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: nomyo doctor [--self] [--json]")


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--help"]])
def test_reader_that_goes_away_causes_no_traceback(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "nomyo", "doctor", *arguments]
    finished = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (finished.returncode, finished.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--help"]])
def test_closed_output_causes_no_traceback(arguments: list[str]) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "nomyo", "doctor", *arguments]
    finished = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_it_is_quick_makes_no_client_and_leaves_nothing(tmp_path: Path) -> None:
    program = """
import sys
from nomyo.cli import main

calls = 0

def count(frame, event, argument):
    global calls
    calls += event == "call"

sys.setprofile(count)
main(["doctor"])
sys.setprofile(None)
assert not {"httpx", "aiohttp", "asyncio", "ssl", "nomyo.client"} & set(sys.modules)
print(calls, len(sys.modules))
"""
    finished = run_python(program, env=unmeasured())  # coverage imports a hundred modules of its own
    assert (finished.returncode, finished.stderr) == (0, "")
    calls, modules = map(int, finished.stdout.splitlines()[-1].split())
    assert calls < 30_000  # 13,200; to import asyncio would be 24,000 more
    assert modules < 180  # 139
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("platform_name", ["darwin", "win32"])
def test_systems_without_proc_are_reported_as_unknown(
    platform_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine._core, "dumpable", lambda: None)  # type: ignore[attr-defined]
    if platform_name == "win32":
        monkeypatch.setitem(sys.modules, "resource", None)
    survey = machine.survey
    monkeypatch.setattr(machine, "survey", lambda: survey(tmp_path))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.count("unknown") >= 5
