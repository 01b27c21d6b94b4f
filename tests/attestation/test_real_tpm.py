"""Quotes of a TPM (swtpm), made by tpm2-tools: we and they agree; and a router that attests with it."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from nomyo import AttestationError
from nomyo.attestation.judge import judge
from nomyo.attestation.policy import read_policy
from nomyo.serve.router import Router, RouterConfig, RunningRouter, TpmConfig
from nomyo.serve.router.tpm import TpmError
from support.real_tpm import RealTpm, running_tpm
from support.twins import Twin

pytestmark = pytest.mark.outside("swtpm and tpm2-tools")

PAYLOAD_ID = "00000000-0000-4000-8000-00000000000a"
MESSAGES: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTpm]:
    with running_tpm(tmp_path_factory.mktemp("tpm")) as running:
        running.make_endorsement_key()
        yield running


@pytest.mark.parametrize(
    ("kind", "scheme", "hash_name", "pcrs"),
    [
        ("rsa2048", "rsassa", "sha256", "sha256:0,7,10"),
        ("rsa2048", "rsapss", "sha384", "sha384:7+sha256:0,7"),
        ("ecc256", "ecdsa", "sha256", "sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23"),
        ("ecc256", "ecdsa", "sha384", "sha384:0,23"),
        ("ecc384", "ecdsa", "sha384", "sha256:7"),
    ],
)
def test_quote_that_the_tools_accept_is_accepted(
    tpm: RealTpm, kind: str, scheme: str, hash_name: str, pcrs: str
) -> None:
    attestation = tpm.quote(PAYLOAD_ID, kind=kind, scheme=scheme, hash_name=hash_name, pcrs=pcrs)

    if scheme == "rsapss":  # which tpm2_checkquote 5.4 cannot check
        check_pss(attestation)
    else:
        tpm.check(PAYLOAD_ID, hash_name)
    assert judge(attestation, PAYLOAD_ID).verdict == "unpinned"
    assert judge(attestation, PAYLOAD_ID, read_policy({"pcrs": tpm.values(pcrs)})).verdict == "as-pinned"
    assert judge(attestation, PAYLOAD_ID[:-1] + "b").verdict == "invalid"


def check_pss(attestation: dict[str, Any]) -> None:
    """Have Python's `cryptography` judge the signature."""
    modulus = base64.b64decode(attestation["aik_pubkey_b64"])[-256:]
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "big")).public_key()
    signature = base64.b64decode(attestation["signature_b64"])[6:]
    pss = padding.PSS(padding.MGF1(hashes.SHA384()), padding.PSS.AUTO)
    key.verify(signature, base64.b64decode(attestation["quote_b64"]), pss, hashes.SHA384())


@pytest.mark.parametrize("key", ["ecc", "rsa"])
def test_router_attests_with_its_tpm(tpm: RealTpm, twin: Twin, key_directory: Path, key: str) -> None:
    pcrs = "sha384:7+sha256:10,7,0"
    policy = {"pcrs": tpm.values("sha256:0,7")}
    with RunningRouter(RouterConfig(key_bits=2048, tpm=TpmConfig(tpm.address, pcrs, key))) as router:
        chat = twin.chat(router.url, key_dir=key_directory, attestation="require", attestation_policy=policy)

        found = [twin.call(chat.create, model="m", messages=MESSAGES).attestation for _ in range(2)]

        assert [each.verdict for each in found] == ["as-pinned"] * 2
        assert found[0].pcrs == tpm.values(pcrs)
        assert found[0].key_fingerprint != found[1].key_fingerprint
        other = {"pcrs": {"sha256": {"7": "00" * 32}}}
        strict = twin.chat(router.url, key_dir=key_directory, attestation="require", attestation_policy=other)
        with pytest.raises(AttestationError, match="PCR 7 of sha256 is none of the policy's values"):
            twin.call(strict.attest)


def test_tpm_that_fails_later_ends_no_request(tmp_path: Path, twin: Twin, key_directory: Path) -> None:
    with running_tpm(tmp_path) as tpm:
        router = Router(RouterConfig(key_bits=2048, tpm=TpmConfig(tpm.address)))
    with RunningRouter(router=router) as running:
        chat = twin.chat(running.url, key_dir=key_directory)
        answer = twin.call(chat.create, model="m", messages=MESSAGES)

    assert answer.attestation.verdict == "absent"
    assert answer.attestation.reasons == ["the router says that it has no TPM (is_available is false)"]


def test_router_without_its_tpm_does_not_start(unused_port: int) -> None:
    with pytest.raises(TpmError, match=r"no TPM answers at swtpm:.*: start swtpm there first .*tpm2_createek failed: "):
        Router(RouterConfig(key_bits=2048, tpm=TpmConfig(f"swtpm:127.0.0.1:{unused_port}")))

    command = [sys.executable, "-m", "nomyo", "router", "--port", "0", "--tpm", f"swtpm:127.0.0.1:{unused_port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("nomyo router: no TPM answers at swtpm:127.0.0.1:")
