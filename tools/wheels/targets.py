"""The machines that get a wheel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A machine: the compiler's name for it, and the tag of its wheels (PEP 600, PEP 656)."""

    triple: str
    tag: str

    @property
    def machine(self) -> str:
        """The processor."""
        return self.triple.partition("-")[0]

    @property
    def arm(self) -> bool:
        """Whether this machine runs it in an emulator alone."""
        return self.machine == "aarch64"

    @property
    def musl(self) -> bool:
        """Whether its C library is musl."""
        return self.triple.endswith("musl")


GLIBC = "2.17"

# 2.17 is the oldest glibc that Rust's own library runs on, and AWS-LC asks for no newer one (docs/decisions.md).
_ALL = (
    Target("x86_64-unknown-linux-gnu", f"manylinux_{GLIBC.replace('.', '_')}"),
    Target("x86_64-unknown-linux-musl", "musllinux_1_2"),
    Target("aarch64-unknown-linux-gnu", f"manylinux_{GLIBC.replace('.', '_')}"),
    Target("aarch64-unknown-linux-musl", "musllinux_1_2"),
)

TARGETS = {f"{target.tag}_{target.machine}": target for target in _ALL}
