"""How a router's TPM is named, and what of it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nomyo.serve.router import TpmConfig
from nomyo.serve.router.tpm import Tpm, TpmError


@pytest.mark.parametrize(
    ("address", "tcti"),
    [("/dev/tpmrm0", "device:/dev/tpmrm0"), ("swtpm:127.0.0.1:2321", "swtpm:host=127.0.0.1,port=2321")],
)
def test_address_is_passed_on_in_the_form_of_the_tools(address: str, tcti: str) -> None:
    assert TpmConfig(address).tcti == tcti


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"address": "tpm0"}, "the TPM must be a device or swtpm:HOST:PORT, not 'tpm0'"),
        ({"address": "swtpm:a,b:1"}, "the TPM must be a device"),
        ({"address": "swtpm:host:0"}, "the TPM must be a device"),
        ({"pcrs": ""}, "PCRs are selected as in"),
        ({"pcrs": "sha256:24"}, "PCRs are selected as in"),
        ({"pcrs": "sha1:0"}, "PCRs are selected as in"),
        ({"pcrs": "sha256:0,0"}, "PCRs are selected as in"),
        ({"pcrs": "sha256:0+sha256:1"}, "PCRs are selected as in"),
        ({"pcrs": "sha256:0 sha384:1"}, "PCRs are selected as in"),
        ({"key": "dsa"}, "the TPM's key must be ecc or rsa, not 'dsa'"),
    ],
)
def test_what_no_tpm_has_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TpmConfig(**{"address": "/dev/tpm0", **wrong})


def test_router_without_the_programs_of_its_tpm_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(TpmError, match="needs the programs of tpm2-tools: `apt install tpm2-tools`"):
        Tpm(TpmConfig("/dev/tpmrm0"))
