"""Facts about the machine are read as the kernel writes them, and are unknown where it does not tell."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from nomyo import SecureBuffer, SecureByteContext
from nomyo.cli.doctor import machine
from nomyo.cli.doctor.machine import SwapArea

SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def write(root: Path, **files: str) -> Path:
    """Write files below a root; `__` stands for `/`, and `_M_` for the numbers of the device that the root lies on."""
    device = root.stat().st_dev
    for name, content in files.items():
        path = root / name.replace("_M_", f"{os.major(device)}:{os.minor(device)}").replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def areas(root: Path) -> tuple[SwapArea, ...] | None:
    return machine.swap(root).areas


class TestSwap:
    def test_none_is_told_from_unknown(self, tmp_path: Path) -> None:
        assert areas(tmp_path) is None
        assert areas(write(tmp_path, proc__swaps=SWAPS)) == ()

    def test_partition_is_not_known_to_be_encrypted(self, tmp_path: Path) -> None:
        write(tmp_path, proc__swaps=SWAPS + "/dev/sda2  partition  2048  0  -2", sys__class__block__sda2__size="4096")
        assert areas(tmp_path) == (SwapArea("/dev/sda2", 2048 * 1024, "unknown"),)
        assert machine.swap(tmp_path).in_clear == areas(tmp_path)

    @pytest.mark.parametrize(("uuid", "medium"), [("CRYPT-PLAIN-swap", "dm-crypt"), ("LVM-abc", "unknown")])
    def test_mapped_device_is_encrypted_where_dm_crypt_says_so(self, tmp_path: Path, uuid: str, medium: str) -> None:
        write(tmp_path, proc__swaps=SWAPS + "/dev/dm-0 partition 8 0 -2")
        (tmp_path / "sys/class/block/dm-0/dm").mkdir(parents=True)
        (tmp_path / "sys/class/block/dm-0/dm/uuid").write_text(f"{uuid}\n")
        assert [area.medium for area in areas(tmp_path) or ()] == [medium]
        assert bool(machine.swap(tmp_path).in_clear) is (medium == "unknown")

    @pytest.mark.parametrize(
        ("uuids", "medium"),
        [
            (("CRYPT-LUKS2-a",), "dm-crypt"),
            (("CRYPT-LUKS2-a", "CRYPT-LUKS2-b"), "dm-crypt"),
            (("CRYPT-a", "LVM-b"), "unknown"),
        ],
    )
    def test_volume_is_encrypted_where_all_below_it_is(
        self, tmp_path: Path, uuids: tuple[str, ...], medium: str
    ) -> None:
        write(tmp_path, proc__swaps=SWAPS + "/dev/dm-9 partition 8 0 -2")
        for number, uuid in enumerate(uuids):
            below = tmp_path / f"sys/class/block/dm-9/slaves/dm-{number}/dm"
            below.mkdir(parents=True)
            (below / "uuid").write_text(uuid)
        assert [area.medium for area in areas(tmp_path) or ()] == [medium]

    def test_name_in_dev_mapper_leads_to_the_kernels_name(self, tmp_path: Path) -> None:
        write(tmp_path, proc__swaps=SWAPS + "/dev/mapper/swap partition 8 0 -2")
        uuid = tmp_path / "sys/class/block/dm-3/dm/uuid"
        uuid.parent.mkdir(parents=True)
        uuid.write_text("CRYPT-PLAIN-swap")
        (tmp_path / "dev/mapper").mkdir(parents=True)
        (tmp_path / "dev/mapper/swap").symlink_to("../dm-3")
        assert [area.medium for area in areas(tmp_path) or ()] == ["dm-crypt"]

    @pytest.mark.parametrize(
        ("backing", "medium"),
        [(None, "memory"), ("none", "memory"), ("/dev/sda3", "unknown"), ("/dev/dm-1", "dm-crypt")],
    )
    def test_zram_is_memory_unless_a_disk_backs_it(self, tmp_path: Path, backing: str | None, medium: str) -> None:
        write(tmp_path, proc__swaps=SWAPS + "/dev/zram0 partition 8 0 100", sys__class__block__zram0__size="8")
        if backing:
            write(tmp_path, sys__class__block__zram0__backing_dev=backing)
        uuid = tmp_path / "sys/class/block/dm-1/dm/uuid"
        uuid.parent.mkdir(parents=True)
        uuid.write_text("CRYPT-LUKS2-a")
        assert [area.medium for area in areas(tmp_path) or ()] == [medium]

    def test_file_is_as_encrypted_as_the_device_it_lies_on(self, tmp_path: Path) -> None:
        write(tmp_path, proc__swaps=SWAPS + r"/a\040swap\134file file 8 0 -2", **{"a swap\\file": ""})
        assert areas(tmp_path) == (SwapArea("/a swap\\file", 8192, "unknown"),)
        write(tmp_path, sys__dev__block___M___dm__uuid="CRYPT-LUKS2-a")
        assert areas(tmp_path) == (SwapArea("/a swap\\file", 8192, "dm-crypt"),)

    def test_file_out_of_sight_is_unknown(self, tmp_path: Path) -> None:
        write(tmp_path, proc__swaps=SWAPS + "/swapfile file 8 0 -2", sys__dev__block___M___dm__uuid="CRYPT-LUKS2-a")
        assert [area.medium for area in areas(tmp_path) or ()] == ["unknown"]

    @pytest.mark.parametrize(
        ("own", "parent", "limit"),
        [
            ("max", "max", "unlimited"),
            ("0", "max", 0),
            ("max", "4096", 4096),
            ("8192", "4096", 4096),
            (None, None, None),
        ],
    )
    def test_least_limit_of_the_control_groups_counts(
        self, tmp_path: Path, own: str | None, parent: str | None, limit: object
    ) -> None:
        write(tmp_path, proc__self__cgroup="1:cpu:/\n0::/a/b")
        if own and parent:
            write(tmp_path, sys__fs__cgroup__a__b__memory_swap_max=own, sys__fs__cgroup__a__memory_swap_max=parent)
            for group in ("a", "a/b"):
                written = tmp_path / "sys/fs/cgroup" / group / "memory_swap_max"
                written.rename(written.with_name("memory.swap.max"))
        assert machine.swap(tmp_path).group_limit_bytes == limit

    @pytest.mark.parametrize(
        ("states", "possible"), [("freeze mem disk", True), ("freeze mem", False), ("", False), (None, None)]
    )
    def test_hibernation(self, tmp_path: Path, states: str | None, possible: bool | None) -> None:
        if states is not None:
            write(tmp_path, sys__power__state=states)
        assert machine.swap(tmp_path).hibernation is possible


class TestCoreDumps:
    @pytest.mark.parametrize(
        ("pattern", "uses_pid", "destination"),
        [
            ("core", "1", "file"),
            ("/var/crash/core.%p", "0", "file"),
            ("|/usr/lib/systemd/systemd-coredump %P", "1", "program"),
            ("@/run/coredump.socket", "1", "socket"),
            ("", "1", "file"),
            ("", "0", "nowhere"),
        ],
    )
    def test_destination_is_where_core_pattern_sends_it(
        self, tmp_path: Path, pattern: str, uses_pid: str, destination: str
    ) -> None:
        assert machine.core_dumps(tmp_path).destination is None
        write(tmp_path, proc__sys__kernel__core_pattern=pattern, proc__sys__kernel__core_uses_pid=uses_pid)
        found = machine.core_dumps(tmp_path)
        assert (found.destination, found.pattern) == (destination, pattern)

    @pytest.mark.parametrize(
        ("destination", "limit", "dumpable", "possible"),
        [
            ("file", 0, 1, False),
            ("file", 4096, 1, True),
            ("file", "unlimited", 2, True),
            ("file", None, 1, None),
            ("program", 0, 1, True),  # the limit is for files
            ("socket", 0, 1, True),
            ("program", 0, 0, False),
            ("nowhere", "unlimited", 1, False),
            (None, "unlimited", 1, None),
            (None, "unlimited", 0, False),
            ("file", "unlimited", None, True),
        ],
    )
    def test_dump_is_possible_where_neither_limit_nor_flag_stops_it(
        self, destination: machine.Destination, limit: machine.Limit, dumpable: int | None, possible: bool | None
    ) -> None:
        assert machine.dumps_possible(destination, limit, dumpable) is possible

    def test_locked_memory_is_seen_to_be_left_out(self) -> None:
        with SecureBuffer(10_000):
            assert machine.locked_memory_left_out() is True

    def test_locked_memory_of_others_is_seen_to_be_included(self) -> None:
        with SecureByteContext(bytearray(100_000)) as buffer:
            assert len(buffer) == 100_000
            assert machine.locked_memory_left_out() is False
        assert machine.locked_memory_left_out() is True

    @pytest.mark.parametrize(
        ("flags", "left_out"), [("rd wr mr lo dd", True), ("rd wr mr lo", False), ("rd wr mr dd", None)]
    )
    def test_flags_of_locked_mappings_decide(self, tmp_path: Path, flags: str, left_out: bool | None) -> None:
        assert machine.locked_memory_left_out(tmp_path) is None
        write(tmp_path, proc__self__smaps=f"1000-2000 rw-p 00000000 00:00 0\nSize: 4 kB\nVmFlags: {flags} ")
        assert machine.locked_memory_left_out(tmp_path) is left_out


class TestTracing:
    @pytest.mark.parametrize(
        ("yama", "scope", "dumpable", "traced"),
        [
            (True, 0, 1, True),
            (True, 1, 1, False),
            (True, 3, 1, False),
            (False, None, 1, True),
            (False, None, 0, False),
            (False, None, 2, False),
            (True, None, 1, None),
            (None, None, 1, None),
            (None, None, 0, False),
            (False, None, None, None),
        ],
    )
    def test_same_user_reads_where_neither_yama_nor_the_flag_stops_it(
        self, yama: bool | None, scope: int | None, dumpable: int | None, traced: bool | None
    ) -> None:
        assert machine.traced_by_same_user(yama, scope, dumpable) is traced

    def test_absence_of_yama_is_told_from_settings_that_are_hidden(self, tmp_path: Path) -> None:
        assert machine.tracing(tmp_path).yama is None
        (tmp_path / "proc/sys/kernel").mkdir(parents=True)
        assert machine.tracing(tmp_path).yama is False
        write(tmp_path, proc__sys__kernel__yama__ptrace_scope="1")
        found = machine.tracing(tmp_path)
        assert (found.yama, found.yama_scope, found.by_same_user) == (True, 1, False)


class TestLocking:
    @pytest.mark.parametrize(
        ("can_lock", "budget_kib", "level"),
        [
            (False, 8192, "none"),
            (True, 56, "scarce"),
            (True, 279, "scarce"),
            (True, 280, "small"),
            (True, 6143, "small"),
            (True, 6144, "comfortable"),
        ],
    )
    def test_level_says_how_far_it_goes(self, can_lock: bool, budget_kib: int, level: str) -> None:
        assert machine.lock_level(can_lock, budget_kib * 1024) == level

    def test_use_is_the_kernels_figure(self, tmp_path: Path) -> None:
        assert machine.locking(tmp_path).process_locked_bytes is None
        write(tmp_path, proc__self__status="Name:\tpython\nVmLck:\t     252 kB\nVmPin:\t       0 kB")
        assert machine.locking(tmp_path).process_locked_bytes == 252 * 1024


class TestCrypto:
    X86 = ("aes", "pclmulqdq", "vaes", "vpclmulqdq", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl")
    X86_RSA = ("avx512ifma", "bmi1", "bmi2", "adx")

    @pytest.mark.parametrize(
        ("without", "aes_gcm", "rsa"),
        [
            ((), "VAES with AVX-512", "AVX-512 IFMA"),
            (("avx512vl",), "AES-NI with PCLMULQDQ", "MULX with ADX"),
            (("vaes", "avx512ifma"), "AES-NI with PCLMULQDQ", "MULX with ADX"),
            (("pclmulqdq", "avx512f", "bmi2"), "software", "plain x86-64"),
        ],
    )
    def test_code_for_x86_is_named(self, without: tuple[str, ...], aes_gcm: str, rsa: str) -> None:
        features = {name: name not in without for name in (*self.X86, *self.X86_RSA)}
        assert (machine.aes_gcm_code(features), machine.rsa_code(features)) == (aes_gcm, rsa)

    def test_other_processors(self) -> None:
        arm = {"aes": True, "pmull": True, "sha2": True, "sha3": False}
        assert (machine.aes_gcm_code(arm), machine.rsa_code(arm)) == ("AES and PMULL instructions", None)
        assert machine.aes_gcm_code({**arm, "pmull": False}) == "software"
        assert (machine.aes_gcm_code({}), machine.rsa_code({})) == (None, None)

    @pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="asks Linux")
    def test_features_are_those_that_linux_sees(self) -> None:
        cpuinfo = Path("/proc/cpuinfo").read_text().split()
        features = machine.crypto().cpu_features
        for name, has in features.items():
            assert has is (name in cpuinfo), name
        assert features


def test_survey_of_a_system_that_tells_nothing_knows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(machine._core, "dumpable", lambda: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(machine._core, "cpu_features", dict)  # type: ignore[attr-defined]
    found = machine.survey(tmp_path)
    assert dataclasses.asdict(found.swap) == {"areas": None, "group_limit_bytes": None, "hibernation": None}
    assert set(dataclasses.astuple(found.core_dumps)) == {None}
    assert set(dataclasses.astuple(found.tracing)) == {None}
    assert (found.locking.soft_limit_bytes, found.locking.hard_limit_bytes) == (None, None)
    assert (found.crypto.aes_gcm, found.crypto.rsa) == (None, None)


def test_survey_of_this_machine_is_what_is_in_force() -> None:
    found = machine.survey()
    assert found.locking.can_lock is True
    assert found.core_dumps.locked_memory_left_out is True
    assert found.crypto.library.startswith("AWS-LC")
