"""The router's TPM: quotes of its PCRs, by the programs of tpm2-tools.

For each request a key is made, and a quote with it whose qualifying data is the first 16 bytes of SHA-256 over the
payload ID. One request at a time uses the TPM. The programs get nothing of a request but that digest.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any, Final

from nomyo._warn import log_named
from nomyo.attestation.judge import qualifying_data
from nomyo.attestation.policy import BANKS
from nomyo.serve.router.config import TpmConfig

_log = log_named("nomyo.router")
_LONGEST_S: Final = 60
_SCHEMES: Final = {"ecc": ("ecc256", "ecdsa"), "rsa": ("rsa2048", "rsassa")}
_LONGEST_WORDS: Final = 200


class TpmError(Exception):
    """The TPM cannot be used; the message says why, with the words of tpm2-tools."""


class Tpm:
    """Makes quotes with a TPM 2.0.

    Args:
        config: Which TPM, which PCRs, and which kind of key.

    Raises:
        TpmError: tpm2-tools are not installed, or the TPM does not answer.
        OSError: There is no room for temporary files.
    """

    def __init__(self, config: TpmConfig) -> None:
        if shutil.which("tpm2_quote") is None:
            raise TpmError("--tpm needs the programs of tpm2-tools: `apt install tpm2-tools`, `dnf install tpm2-tools`")
        self._config = config
        self._environment = {**os.environ, "TPM2TOOLS_TCTI": config.tcti}
        self._lock = Lock()
        self._directory = Path(tempfile.mkdtemp(prefix="nomyo-tpm-"))
        fault = None
        try:
            self._call("tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub")
            self._flush()
        except TpmError as error:
            fault = str(error)
        except BaseException:
            self.close()
            raise
        if fault is not None:
            self.close()
            raise TpmError(_unusable(config.address, fault))

    def attestation(self, payload_id: str) -> dict[str, Any]:
        """Return `tpm_attestation` for a request; one that is not available if the TPM fails."""
        try:
            with self._lock:
                return self._quoted(qualifying_data(payload_id).hex())
        except (OSError, TpmError) as error:
            _log.warning("the TPM gave no quote: %s", error)
            return {"is_available": False}

    def close(self) -> None:
        """Remove the temporary files. Idempotent."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _quoted(self, data: str) -> dict[str, Any]:
        kind, scheme = _SCHEMES[self._config.key]
        key = ("-G", kind, "-g", "sha256", "-s", scheme)
        self._call("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", *key, "-u", "ak.pub", "-f", "tss", "-n", "ak.name")
        try:
            self._flush()
            pcrs = ("-l", self._config.pcrs, "-o", "pcrs", "-F", "values")
            self._call(
                "tpm2_quote", "-c", "ak.ctx", "-q", data, "-m", "quote", "-s", "signature", "-g", "sha256", *pcrs
            )
        finally:
            self._flush()
        return {
            "is_available": True,
            "pcr_banks": self._config.pcrs,
            "pcr_values": _values(self._config.pcrs, self._read("pcrs")),
            "quote_b64": base64.b64encode(self._read("quote")).decode(),
            "signature_b64": base64.b64encode(self._read("signature")).decode(),
            "aik_pubkey_b64": base64.b64encode(self._read("ak.pub")).decode(),
        }

    def _read(self, name: str) -> bytes:
        return (self._directory / name).read_bytes()

    def _flush(self) -> None:
        """Remove keys from the TPM: without a resource manager, it has room for three."""
        self._call("tpm2_flushcontext", "-t")

    def _call(self, program: str, *arguments: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - no argument comes from a request, but for hexadecimal digits
                [program, *arguments],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TpmError(f"{program} did not end within {_LONGEST_S} s") from None
        if done.returncode:
            raise TpmError(f"{program} failed: {_first_error(done.stderr)}")


def _unusable(address: str, fault: str) -> str:
    """Return what to do about a TPM that makes no key, and then the words of tpm2-tools."""
    if not address.startswith("/"):
        return f"no TPM answers at {address}: start swtpm there first (docs/attestation.md shows how); {fault}"
    if not os.path.exists(address):
        return f"this machine has no {address}: name its TPM 2.0, or use swtpm (docs/attestation.md); {fault}"
    return f"the TPM {address} cannot be used (may this user open it? on Debian, the group tss may); {fault}"


def _first_error(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["without a word"])[0][:_LONGEST_WORDS]


def _values(pcrs: str, content: bytes) -> dict[str, dict[str, str]]:
    """Return the values of PCRs, which tpm2_quote writes one behind the other, in the order of the selection."""
    values: dict[str, dict[str, str]] = {}
    for bank, indices in re.findall(r"(\w+):([\d,]+)", pcrs):
        size_bytes = BANKS[bank] // 2
        values[bank] = {}
        for index in sorted(indices.split(","), key=int):
            values[bank][index], content = content[:size_bytes].hex(), content[size_bytes:]
    return values
