"""Reads the memory of another process, or a core file, and says where parts of secrets lie in it.

The search itself leaves nothing in what it reads: it runs in a process of its own, and refuses to read that one, where
the needles lie. Neither a needle nor a find shows its content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ahocorasick_rs import BytesAhoCorasick, Implementation
from elftools.elf.elffile import ELFFile

PAGE_BYTES = os.sysconf("SC_PAGESIZE")
CHUNK_BYTES = 8 * 1024 * 1024
# Pages of the kernel's own that cannot be read through /proc/PID/mem, or are not the process's.
UNREADABLE = ("[vvar]", "[vvar_vclock]", "[vvar_dvar]", "[vsyscall]")
# What the kernel calls pages of memfd_secret(2). Nobody else can read them, and the search tests that.
HIDDEN = "/secretmem (deleted)"
# Bits 62 and 63 of an entry of /proc/PID/pagemap: in swap, in RAM (Documentation/admin-guide/mm/pagemap.rst).
PRESENT_BITS = 0b11 << 62
# Bit 58: a guard page (madvise(2), MADV_GUARD_INSTALL). It holds nothing, and it stands among the readable pages of its
# mapping, but reading it fails with EIO. glibc 2.42 and later guard the stack of each thread with one.
GUARD_BIT = 1 << 58
# A process has one or two of them for each thread. A search in which more of the pages are guards proves nothing.
MOST_GUARDS = 0.05
# Parts of one secret that lie no farther apart are counted as one place: texts have a needle every 32 characters.
GAP_BYTES = 256


@dataclass(frozen=True)
class Needle:
    """A distinctive piece of a secret, in one of the forms that it may take."""

    secret: str
    form: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Find:
    """A needle at an address; `place` names the mapping."""

    secret: str
    form: str
    address: int
    place: str
    locked: bool

    def __str__(self) -> str:
        return f"{self.secret} ({self.form}) at {self.address:#x} in {self.place}{', locked' if self.locked else ''}"


@dataclass(frozen=True)
class Mapping:
    """A line of /proc/PID/smaps; locked where the kernel keeps it in RAM (`lo` among its flags)."""

    start: int
    end: int
    name: str
    locked: bool


class Scanner:
    """Searches for many needles at once, some 1 GB a second."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        self.hidden_pages = 0
        """How many pages of the process were hidden: every one was tried, and refused."""
        self._needles = list({needle.content: needle for needle in needles}.values())
        assert self._needles, "there is nothing to search for"
        assert min(len(needle.content) for needle in self._needles) >= 8, "so short a needle turns up by chance"
        self._overlap_bytes = max(len(needle.content) for needle in self._needles) - 1
        self._automaton = BytesAhoCorasick(
            [needle.content for needle in self._needles], implementation=Implementation.DFA
        )

    def process(self, pid: int) -> list[Find]:
        """Search every page that a process has in RAM or swap, whatever its protection."""
        assert pid != os.getpid(), "the needles themselves lie here"
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            return [
                find
                for mapping, start, end in ResidentPages(pid).ranges()
                for find in self._range(memory.fileno(), start, end, mapping)
            ]

    def core_file(self, path: Path) -> list[Find]:
        """Search the memory in a core file."""
        with path.open("rb") as file:
            segments = list(ELFFile(file).iter_segments("PT_LOAD"))
            return [
                Find(needle.secret, needle.form, segment["p_vaddr"] + offset, "core file", False)
                for segment in segments
                for needle, offset in self.content(segment.data())
            ]

    def content(self, content: bytes) -> Iterator[tuple[Needle, int]]:
        """Search bytes: each needle that is found, and where."""
        for index, offset, _ in self._automaton.find_matches_as_indexes(content, overlapping=True):
            yield self._needles[index], offset

    def _range(self, memory: int, start: int, end: int, mapping: Mapping) -> Iterator[Find]:
        if mapping.name == HIDDEN:
            self.hidden_pages += refused_pages(memory, start, end)
            return
        for at in range(start, end, CHUNK_BYTES):
            content = read_whole(memory, at, min(at + CHUNK_BYTES + self._overlap_bytes, end), mapping)
            for needle, offset in self.content(content):
                # What begins in the overlap is the next chunk's.
                if offset < CHUNK_BYTES:
                    yield Find(needle.secret, needle.form, at + offset, mapping.name, mapping.locked)


class ResidentPages:
    """The pages that a process has in RAM or swap: what was never touched holds nothing.

    Guard pages cannot be read. They are stepped over, and counted: a search that reads next to nothing fails.
    """

    def __init__(self, pid: int) -> None:
        self.readable = 0
        self.guards = 0
        self._pid = pid

    def ranges(self) -> Iterator[tuple[Mapping, int, int]]:
        """Yield what can be read, range by range: the mapping, the first address, and the one behind the last."""
        with open(f"/proc/{self._pid}/pagemap", "rb", buffering=0) as pagemap:
            for mapping in mappings_of(self._pid):
                for start, end in self._ranges_of(pagemap.fileno(), mapping):
                    yield mapping, start, end
        pages = self.readable + self.guards
        assert self.guards < MOST_GUARDS * pages, f"{self.guards} of {pages} pages are guard pages, and were not read"

    def _ranges_of(self, pagemap: int, mapping: Mapping) -> Iterator[tuple[int, int]]:
        first, last = mapping.start // PAGE_BYTES, mapping.end // PAGE_BYTES
        start = None
        for page, entry in enumerate(memoryview(os.pread(pagemap, (last - first) * 8, first * 8)).cast("Q"), first):
            if entry & GUARD_BIT:
                self.guards += 1
            elif entry & PRESENT_BITS:
                self.readable += 1
                start = page if start is None else start
                continue
            if start is not None:
                yield start * PAGE_BYTES, page * PAGE_BYTES
                start = None
        if start is not None:
            yield start * PAGE_BYTES, last * PAGE_BYTES


def read_whole(memory: int, start: int, end: int, mapping: Mapping) -> bytes:
    """Return a part of a mapping from an open /proc/PID/mem, all of it."""
    content = os.pread(memory, end - start, start)
    assert len(content) == end - start, f"{mapping.name} could be read in part only"
    return content


def refused_pages(memory: int, start: int, end: int) -> int:
    """Try to read every page of a part from an open /proc/PID/mem; each must be refused. Return how many there were."""
    pages = range(start, end, PAGE_BYTES)
    for page in pages:
        with suppress(OSError):
            os.pread(memory, 1, page)
            raise AssertionError("a hidden page could be read")
    return len(pages)


def mappings_of(pid: int) -> list[Mapping]:
    """Return the mappings of a process that can be read."""
    mappings = []
    text = Path(f"/proc/{pid}/smaps").read_text(errors="replace")
    header = r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+ *(.*)$"
    for block in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.MULTILINE)[1:]:
        bounds = re.match(header, block, flags=re.MULTILINE)
        flags = re.search(r"^VmFlags: (.*)$", block, flags=re.MULTILINE)
        assert bounds is not None
        assert flags is not None
        start, end, name = int(bounds[1], 16), int(bounds[2], 16), bounds[3] or "anonymous memory"
        if name not in UNREADABLE:
            mappings.append(Mapping(start, end, name, "lo" in flags[1].split()))
    return mappings


def count_places(finds: Iterable[Find]) -> int:
    """Count where finds lie: those of one secret close together are one place."""
    count = 0
    last: dict[str, int] = {}
    for find in sorted(finds, key=lambda find: find.address):
        count += find.address - last.get(find.secret, -GAP_BYTES) >= GAP_BYTES
        last[find.secret] = find.address
    return count


def outside(finds: Iterable[Find], kept: Sequence[range] = ()) -> list[Find]:
    """Return the finds that are neither in locked memory nor within one of the objects that a program keeps."""
    return [find for find in finds if not find.locked and not any(find.address in place for place in kept)]
