"""Policies: what they say, and how their mistakes are told when a client is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nomyo.attestation.policy import Policy, read_policy
from support.tls import Authority
from support.twins import Twin

FINGERPRINT = "SHA256:" + "A" * 43


def test_file_and_mapping_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        f'least = "unpinned"\nkeys = ["{FINGERPRINT}"]\n\n[pcrs.sha256]\n0 = ["{"AB" * 32}"]\n7 = "{"00" * 32}"\n'
    )
    mapping = {
        "least": "unpinned",
        "keys": [FINGERPRINT],
        "pcrs": {"sha256": {"0": ["ab" * 32], 7: ["00" * 32]}},
    }

    assert read_policy(path) == read_policy(str(path)) == read_policy(mapping)
    assert read_policy(mapping) == Policy(
        pcrs={("sha256", 0): frozenset({"ab" * 32}), ("sha256", 7): frozenset({"00" * 32})},
        keys=frozenset({FINGERPRINT}),
        least="unpinned",
    )


@pytest.mark.parametrize(
    ("policy", "least"),
    [
        (None, "unpinned"),
        ({}, "unpinned"),
        ({"pcrs": {"sha256": {"0": ["00" * 32]}}}, "as-pinned"),
        ({"keys": [FINGERPRINT]}, "as-pinned"),
    ],
)
def test_least_verdict_is_the_best_that_the_policy_can_give(policy: Any, least: str) -> None:
    assert read_policy(policy).least == least


def test_roots_lie_beside_the_policy(tmp_path: Path, tls_authority: Authority) -> None:
    (tmp_path / "roots.pem").write_bytes(tls_authority.certificate.read_bytes())
    (tmp_path / "policy.toml").write_text('roots = "roots.pem"\n')
    os.chdir("/")

    policy = read_policy(tmp_path / "policy.toml")

    assert len(policy.roots) == 1
    assert policy.least == "endorsed"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("least = \n", 1, "Invalid value"),
        ("\n\nleast = 'verified'\n", 3, "expected one of invalid, mismatch, unpinned, as-pinned, endorsed"),
        ("least = 'absent'\n", 1, "expected one of"),
        ("# least\nleast = 'endorsed'\n", 2, "without roots"),
        ("least = 'as-pinned'\n", 1, "no answer can be as pinned"),
        ("\npcr = 1\n", 2, "there is no such field; there are pcrs, keys, roots, least"),
        ("pcrs = 7\n", 1, "expected a table"),
        ("[pcrs.sha1]\n0 = ['00']\n", 1, "there is no such bank; there are sha256, sha384, sha512"),
        ("[pcrs]\nsha256 = []\n", 2, "expected a table"),
        (f"[pcrs.sha256]\n0 = ['{'00' * 32}']\n24 = ['{'00' * 32}']\n", 3, "there is no such PCR; there are 0 to 23"),
        (f"[pcrs.sha384]\n7 = ['{'00' * 48}']\n[pcrs.sha256]\n7 = ['{'00' * 48}']\n", 4, "values of 64 hexadecimal"),
        ("[pcrs.sha256]\n\n7 = []\n", 3, "at least one"),
        ("[pcrs.sha256]\n7 = [1]\n", 2, "64 hexadecimal digits"),
        (f"[pcrs.sha256]\n7 = ['{'0g' * 32}']\n", 2, "64 hexadecimal digits"),
        ("keys = ['SHA256:short']\n", 1, "43 base64 characters"),
        ("keys = 7\n", 1, "43 base64 characters"),
        ("\nkeys = []\n", 2, "43 base64 characters"),
        ("\n[pcrs]\n", 2, "expected a table with at least one name"),
        ("\n[pcrs.sha256]\n# 7 = []\n", 2, "expected a table with at least one name"),
        ('\nroots = "a\\u0000b"\n', 2, "the path of a PEM file"),
        ("roots = 7\n", 1, "the path of a PEM file"),
        ("\nroots = 'policy.toml'\n", 2, "has no certificate"),
    ],
)
def test_mistake_in_a_file_names_its_line(tmp_path: Path, twin: Twin, text: str, line: int, words: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)

    with pytest.raises(ValueError, match="attestation_policy: ") as caught:
        twin.client("http://127.0.0.1:9", attestation_policy=path)

    assert f"line {line}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", ["[" * 5_000, "1" * 5_000])
def test_value_that_python_does_not_read_is_a_mistake_of_the_file(tmp_path: Path, value: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f"least = {value}\n")

    with pytest.raises(ValueError, match=r"^attestation_policy: .*policy\.toml: "):
        read_policy(path)


def test_mistake_in_a_mapping_names_its_place(twin: Twin) -> None:
    with pytest.raises(ValueError, match=r"^attestation_policy\.pcrs\.sha256\.7: expected values of 64"):
        twin.client("http://127.0.0.1:9", attestation_policy={"pcrs": {"sha256": {"7": ["00"]}}})


def test_file_that_is_not_utf8_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_bytes(b"\n\xff\n")

    with pytest.raises(ValueError, match="line 2: it is not UTF-8"):
        read_policy(tmp_path / "policy.toml")


def test_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")

    with pytest.raises(ValueError, match=r"roots: certificate 1 of .* is none"):
        read_policy({"roots": str(tmp_path / "roots.pem")})


def test_missing_file_is_the_systems_error(tmp_path: Path, twin: Twin) -> None:
    with pytest.raises(FileNotFoundError):
        twin.client("http://127.0.0.1:9", attestation_policy=tmp_path / "none.toml")


@pytest.mark.parametrize("value", ["verify", None, True])
def test_mode_that_there_is_not_is_refused(twin: Twin, value: Any) -> None:
    with pytest.raises(ValueError, match="attestation must be one of ignore, check, require"):
        twin.client("http://127.0.0.1:9", attestation=value)


def test_policy_that_is_neither_path_nor_mapping_is_refused(twin: Twin) -> None:
    with pytest.raises(TypeError, match="attestation_policy must be a path or a mapping, not int"):
        twin.client("http://127.0.0.1:9", attestation_policy=7)
