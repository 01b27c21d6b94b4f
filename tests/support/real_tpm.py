"""A TPM 2.0 of swtpm, and quotes that tpm2-tools make with it."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RealTpm:
    """A running TPM, without a resource manager."""

    port: int
    directory: Path

    @property
    def address(self) -> str:
        return f"swtpm:127.0.0.1:{self.port}"

    def tool(self, *command: str) -> str:
        """Run one of tpm2-tools; return what it prints."""
        environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:host=127.0.0.1,port={self.port}"}
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def make_endorsement_key(self) -> None:
        self.tool("tpm2_createek", "-c", "ek.ctx", "-G", "ecc", "-u", "ek.pub")
        self.tool("tpm2_flushcontext", "-t")

    def extend(self, index: int, text: bytes) -> None:
        digests = ",".join(f"{name}={hashlib.new(name, text).hexdigest()}" for name in ("sha256", "sha384"))
        self.tool("tpm2_pcrextend", f"{index}:{digests}")

    def quote(self, payload_id: str, *, kind: str, scheme: str, hash_name: str, pcrs: str) -> dict[str, Any]:
        """Return `tpm_attestation`, with a new key."""
        key = ("-G", kind, "-g", hash_name, "-s", scheme)
        self.tool("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", *key, "-u", "ak.pub", "-f", "tss", "-n", "ak.name")
        self.tool("tpm2_flushcontext", "-t")
        data = hashlib.sha256(payload_id.encode()).hexdigest()[:32]
        how = ("-q", data, "-g", hash_name, f"--scheme={scheme}", "-l", pcrs)
        self.tool("tpm2_quote", "-c", "ak.ctx", *how, "-m", "quote", "-s", "signature", "-o", "pcrs")
        self.tool("tpm2_flushcontext", "-t")
        return {
            "is_available": True,
            "pcr_banks": pcrs,
            "pcr_values": self.values(pcrs),
            "quote_b64": self._base64("quote"),
            "signature_b64": self._base64("signature"),
            "aik_pubkey_b64": self._base64("ak.pub"),
        }

    def check(self, payload_id: str, hash_name: str) -> None:
        """Have tpm2_checkquote judge the last quote."""
        data = hashlib.sha256(payload_id.encode()).hexdigest()[:32]
        files = ("-u", "ak.pub", "-m", "quote", "-s", "signature", "-f", "pcrs")
        self.tool("tpm2_checkquote", *files, "-g", hash_name, "-q", data)

    def values(self, pcrs: str) -> dict[str, dict[str, str]]:
        """Read PCRs, by bank and index."""
        values: dict[str, dict[str, str]] = {}
        bank = ""
        for line in self.tool("tpm2_pcrread", pcrs).splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if value:
                values[bank][name] = value.removeprefix("0x").lower()
            else:
                bank = name
                values[bank] = {}
        return values

    def _base64(self, name: str) -> str:
        return base64.b64encode((self.directory / name).read_bytes()).decode()


@contextmanager
def running_tpm(directory: Path) -> Iterator[RealTpm]:
    """Run swtpm until the block ends; PCR 0 and 7 have values."""
    state = directory / "state"
    state.mkdir()
    port = _port_before_a_free_one()
    server = f"type=tcp,bindaddr=127.0.0.1,port={port}"
    control = f"type=tcp,bindaddr=127.0.0.1,port={port + 1}"
    flags = ("--flags", "not-need-init,startup-clear")
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--server", server, "--ctrl", control, *flags]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_it_listens(port + 1)
            tpm = RealTpm(port, directory)
            tpm.extend(0, b"firmware")
            tpm.extend(7, b"boot")
            yield tpm
        finally:
            process.kill()


def _port_before_a_free_one() -> int:
    """Return a free port after which another is free: tpm2-tools take the next one for control."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("swtpm does not listen")
