"""What is found of an attestation: of real quotes, of altered ones, and of what is none."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from nomyo.attestation import CHECKS, VERDICTS, Attestation
from nomyo.attestation.judge import judge
from nomyo.attestation.policy import Policy, read_policy
from support.soft_tpm import PAYLOAD_ID, PCRS, RESTRICTED_SIGNING, SoftTpm, key_of

# Made by swtpm and tpm2-tools for PAYLOAD_ID, in the combinations that the names say.
REAL: Final[dict[str, dict[str, Any]]] = json.loads((Path(__file__).parent / "real_quotes.json").read_text())
WITHOUT_POLICY: Final = {"policy": None, "endorsement": None}


def checks(found: Attestation) -> dict[str, bool | None]:
    return {name: found[name] for name in CHECKS}


@pytest.mark.parametrize("name", REAL)
def test_real_quote_passes_every_check_that_needs_no_policy(name: str) -> None:
    found = judge(REAL[name], PAYLOAD_ID)

    assert found.verdict == "unpinned"
    assert checks(found) == {**dict.fromkeys(CHECKS, True), **WITHOUT_POLICY}
    assert [reason.partition(":")[0] for reason in found.reasons] == ["policy", "endorsement"]
    assert found.pcrs == REAL[name]["pcr_values"]


@pytest.mark.parametrize("name", REAL)
def test_real_quote_with_the_values_of_the_policy_is_as_pinned(name: str) -> None:
    policy = read_policy({"pcrs": {bank: dict(values) for bank, values in REAL[name]["pcr_values"].items()}})

    assert judge(REAL[name], PAYLOAD_ID, policy).verdict == "as-pinned"


@pytest.mark.parametrize("name", REAL)
def test_old_quote_is_invalid(name: str) -> None:
    found = judge(REAL[name], "00000000-0000-4000-8000-000000000002")

    assert (found.verdict, found.fresh, found.signature) == ("invalid", False, True)
    assert "fresh: it was made for another request" in found.reasons


@pytest.mark.parametrize("name", REAL)
def test_no_flipped_byte_of_a_real_quote_or_its_signature_is_accepted(name: str) -> None:
    """Of each byte one bit; `rust/core/tests/attestation.rs` flips them all."""
    for part in ("quote_b64", "signature_b64"):
        whole = base64.b64decode(REAL[name][part])
        for place in range(len(whole)):
            altered = bytearray(whole)
            altered[place] ^= 1 << place % 8
            found = judge({**REAL[name], part: base64.b64encode(altered).decode()}, PAYLOAD_ID)
            assert found.verdict == "invalid", (part, place)


@pytest.mark.parametrize(
    ("kind", "scheme", "hash_name"),
    [
        ("rsa", "rsassa", "sha256"),
        ("rsa", "rsapss", "sha384"),
        ("p256", "ecdsa", "sha256"),
        ("p256", "ecdsa", "sha384"),
        ("p384", "ecdsa", "sha384"),
    ],
)
def test_self_made_key_passes_too_for_anybody_can_make_one(kind: str, scheme: str, hash_name: str) -> None:
    tpm = SoftTpm(kind=kind, scheme=scheme, hash=hash_name)

    assert judge(tpm.attestation(), PAYLOAD_ID).verdict == "unpinned"
    assert judge(tpm.attestation(), PAYLOAD_ID, read_policy({"pcrs": PCRS})).verdict == "as-pinned"


def test_banks_may_be_given_in_another_order_than_the_quote_has() -> None:
    pcrs = {"sha384": {"7": "cc" * 48}, "sha256": {"0": "aa" * 32}}
    turned = dict(reversed(pcrs.items()))

    assert judge(SoftTpm(pcrs=pcrs, given=turned).attestation(), PAYLOAD_ID).verdict == "unpinned"


ONE_LESS: Final = {"sha256": {"0": "aa" * 32, "7": "bb" * 32}}
ONE_MORE: Final = {"sha256": {**PCRS["sha256"], "11": "00" * 32}}
OTHER_VALUE: Final = {"sha256": {**PCRS["sha256"], "7": "bc" + "bb" * 31}}
TWO_BANKS: Final = {**PCRS, "sha384": {"0": "00" * 48}}


@pytest.mark.parametrize(
    ("altered", "failed"),
    [
        ({"magic": 0xFF544348}, "quote"),
        ({"type": 0x8017}, "quote"),
        ({"qualifying_data": bytes(16)}, "fresh"),
        ({"qualifying_data": b""}, "fresh"),
        ({"signed_by": "rsa2"}, "signature"),
        ({"kind": "p256", "scheme": "ecdsa", "signed_by": "p256-2"}, "signature"),
        ({"change_quote": lambda quote: quote + b"\0"}, "quote"),
        ({"change_quote": lambda quote: quote[:-1]}, "quote"),
        ({"change_signature": lambda signature: signature + b"\0"}, "signature"),
        ({"change_signature": lambda signature: signature[:-1]}, "signature"),
        ({"change_signature": lambda signature: b"\0\x1a" + signature[2:]}, "signature"),
        ({"change_signature": lambda signature: b"\0\x16" + signature[2:]}, "signature"),
        ({"change_signature": lambda signature: signature[:2] + b"\0\x04" + signature[4:]}, "signature"),
        ({"change_public": lambda public: public + b"\0"}, "key_attributes"),
        ({"change_public": lambda public: public[:-1]}, "key_attributes"),
        ({"change_public": lambda public: public[:2] + b"\0\x08" + public[4:]}, "key_attributes"),
        *(({"attributes": RESTRICTED_SIGNING ^ 1 << bit}, "key_attributes") for bit in (1, 4, 5, 16, 17, 18)),
        ({"given": ONE_LESS}, "selection"),
        ({"given": ONE_MORE}, "selection"),
        ({"selected": ONE_LESS}, "selection"),
        ({"selected": ONE_MORE}, "selection"),
        ({"selected": TWO_BANKS}, "selection"),
        ({"selected": {"sha1": PCRS["sha256"]}}, "quote"),
        ({"selected": {}}, "selection"),
        ({"given": OTHER_VALUE}, "digest"),
        ({"digest": bytes(32)}, "digest"),
        ({"digest": b""}, "digest"),
    ],
)
def test_each_altered_field_is_refused_by_its_check_though_it_is_signed(altered: dict[str, Any], failed: str) -> None:
    found = judge(SoftTpm(**altered).attestation(), PAYLOAD_ID, read_policy({"pcrs": PCRS}))

    assert found.verdict == "invalid"
    assert found[failed] is False
    assert any(reason.startswith(f"{failed}: ") for reason in found.reasons)


WHOLE: Final = SoftTpm().attestation()


@pytest.mark.parametrize(
    ("altered", "verdict"),
    [
        ({"is_available": False}, "absent"),
        ({"is_available": "true"}, "invalid"),
        ({"is_available": 1}, "invalid"),
        ({"is_available": None}, "invalid"),
        ({"quote_b64": "A" * 10_000_000}, "invalid"),
        ({"quote_b64": ""}, "invalid"),
        ({"quote_b64": None}, "invalid"),
        ({"quote_b64": 7}, "invalid"),
        ({"quote_b64": "no base64!"}, "invalid"),
        ({"quote_b64": "ä"}, "invalid"),
        ({"quote_b64": WHOLE["quote_b64"] + "\n"}, "invalid"),
        ({"signature_b64": "=" * 8}, "invalid"),
        ({"aik_pubkey_b64": {}}, "invalid"),
        ({"pcr_values": None}, "invalid"),
        ({"pcr_values": []}, "invalid"),
        ({"pcr_values": {}}, "invalid"),
        ({"pcr_values": {"sha256": {}}}, "invalid"),
        ({"pcr_values": {"sha256": {"99": "00" * 32}}}, "invalid"),
        ({"pcr_values": {"sha256": {"-1": "00" * 32}}}, "invalid"),
        ({"pcr_values": {"sha256": {"00": "00" * 32}}}, "invalid"),
        ({"pcr_values": {"sha256": {"²": "00" * 32}}}, "invalid"),
        ({"pcr_values": {"sha256": {"0": "00" * 31}}}, "invalid"),
        ({"pcr_values": {"sha256": {"0": "0 " * 32}}}, "invalid"),
        ({"pcr_values": {"sha256": {"0": 0}}}, "invalid"),
        ({"pcr_values": {"sha3": {"0": "00" * 32}}}, "invalid"),
        ({"pcr_banks": "sha256:0,7,10+sha256:0"}, "invalid"),
        ({"pcr_banks": "sha256:0,7"}, "invalid"),
        ({"pcr_banks": ["sha256"]}, "invalid"),
        ({"pcr_banks": "x" * 100_000}, "invalid"),
        ({"aik_certificates_b64": "x"}, "invalid"),
        ({"aik_certificates_b64": [""] * 100}, "invalid"),
    ],
)
def test_what_has_not_the_documented_form_has_a_verdict_and_a_reason(altered: dict[str, Any], verdict: str) -> None:
    found = judge({**WHOLE, **altered}, PAYLOAD_ID)

    assert found.verdict == verdict
    assert checks(found) == dict.fromkeys(CHECKS)
    assert found.reasons
    assert len(found.reasons[0]) < 200


@pytest.mark.parametrize(("given", "verdict"), [(None, "absent"), ("yes", "invalid"), ([], "invalid"), ({}, "invalid")])
def test_attestation_that_is_no_object_has_a_verdict(given: object, verdict: str) -> None:
    assert judge(given, PAYLOAD_ID).verdict == verdict


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        ({"pcrs": {"sha256": {"0": ["aa" * 32], "7": ["cc" * 32, "BB" * 32]}}}, "as-pinned"),
        ({"pcrs": {"sha256": {"0": ["ab" * 32]}}}, "mismatch"),
        ({"pcrs": {"sha256": {"1": ["aa" * 32]}}}, "mismatch"),
        ({"pcrs": {"sha384": {"0": ["aa" * 48]}}}, "mismatch"),
        ({"keys": ["SHA256:" + "A" * 43]}, "mismatch"),
        ({"least": "unpinned"}, "unpinned"),
    ],
)
def test_policy_decides_between_as_pinned_and_mismatch(policy: dict[str, Any], verdict: str) -> None:
    assert judge(WHOLE, PAYLOAD_ID, read_policy(policy)).verdict == verdict


def test_key_that_the_policy_names_is_as_pinned() -> None:
    fingerprint = judge(WHOLE, PAYLOAD_ID).key_fingerprint
    assert fingerprint is not None

    assert judge(WHOLE, PAYLOAD_ID, read_policy({"keys": [fingerprint]})).verdict == "as-pinned"


def test_verdicts_are_ordered_and_none_flatters() -> None:
    assert VERDICTS == ("absent", "invalid", "mismatch", "unpinned", "as-pinned", "endorsed")
    found = judge(WHOLE, PAYLOAD_ID)
    assert [least for least in VERDICTS if found.reaches(least)] == list(VERDICTS[: VERDICTS.index("unpinned") + 1])


class TestEndorsement:
    NOW = datetime.datetime.now(datetime.UTC)

    def certificate(self, subject: str, key: Any, issuer: str, issuer_key: Any, ca: bool, days: int = 30) -> bytes:
        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        start = self.NOW - datetime.timedelta(days=60)
        made = (
            x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(self.NOW + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(issuer_key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.DER)

    @pytest.fixture
    def policy(self) -> Policy:
        root = self.certificate("root", key_of("p256-root"), "root", key_of("p256-root"), ca=True)
        return Policy({}, roots=(root,), least="endorsed")

    def leaf(self, **other: Any) -> bytes:
        values: dict[str, Any] = {"subject": "key", "key": key_of("rsa"), "issuer": "between", "ca": False}
        return self.certificate(**{**values, "issuer_key": key_of("p256-between"), **other})

    def between(self, **other: Any) -> bytes:
        values: dict[str, Any] = {"subject": "between", "key": key_of("p256-between"), "issuer": "root", "ca": True}
        return self.certificate(**{**values, "issuer_key": key_of("p256-root"), **other})

    def test_chain_to_a_root_is_endorsed(self, policy: Policy) -> None:
        found = judge(SoftTpm(certificates=(self.leaf(), self.between())).attestation(), PAYLOAD_ID, policy)

        assert (found.verdict, found.endorsement) == ("endorsed", True)

    @pytest.mark.parametrize(
        "change", ["expired", "other key", "other root", "no authority", "gap", "leaf alone", "junk"]
    )
    def test_chain_that_is_broken_is_a_mismatch(self, policy: Policy, change: str) -> None:
        leaf, between = self.leaf(), self.between()
        chains = {
            "expired": (self.leaf(days=-1), between),
            "other key": (self.leaf(key=key_of("p256")), between),
            "other root": (leaf, self.between(issuer_key=key_of("p256-other"))),
            "no authority": (leaf, self.between(ca=False)),
            "gap": (leaf,),
            "leaf alone": (self.certificate("key", key_of("rsa"), "key", key_of("rsa"), ca=False),),
            "junk": (b"junk", between),
        }
        found = judge(SoftTpm(certificates=chains[change]).attestation(), PAYLOAD_ID, policy)

        assert (found.verdict, found.endorsement) == ("mismatch", False)

    def test_without_certificates_nothing_is_endorsed(self, policy: Policy) -> None:
        found = judge(WHOLE, PAYLOAD_ID, policy)

        assert (found.verdict, found.endorsement) == ("unpinned", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), JSON, max_size=2))
def test_whatever_comes_has_a_verdict(altered: dict[str, Any]) -> None:
    assert judge({**WHOLE, **altered}, PAYLOAD_ID, read_policy({"pcrs": PCRS})).verdict in VERDICTS


@given(JSON)
def test_pcr_values_of_any_kind_have_a_verdict(value: Any) -> None:
    for values in ({"sha256": value}, {"sha256": {"0": value}}):
        assert judge({**WHOLE, "pcr_values": values}, PAYLOAD_ID).verdict == "invalid"
