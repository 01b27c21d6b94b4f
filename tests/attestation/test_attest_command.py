"""`nomyo trust attest` and `nomyo trust record`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nomyo import cli
from nomyo.attestation.policy import read_policy
from support.soft_tpm import PCRS, SoftAttester, SoftTpm

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def run(attesting_url: str, key_directory: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> tuple[int, str, str]:
        options = ["--base-url", attesting_url, "--allow-http", "--key-dir", str(key_directory), "--model", "echo"]
        with pytest.raises(SystemExit) as end:
            cli.main(["trust", *words, *options])
        shown = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, shown.out, shown.err

    return run


def policy_file(directory: Path, value: str) -> str:
    path = directory / "policy.toml"
    path.write_text(f'[pcrs.sha256]\n7 = ["{value}"]\n')
    return str(path)


def test_each_check_is_shown_with_its_reason_and_nothing_flatters(run: Any) -> None:
    code, out, err = run("attest")

    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "verdict         unpinned (at least unpinned is asked for)"
    assert lines[1] == "signature       yes"
    assert lines[7] == "policy          not checked  there is no policy that names values or keys"
    assert f"sha256:7        {PCRS['sha256']['7']}" in lines
    assert "No verdict proves whose machine it is" in err
    assert "verified" not in out + err


def test_exit_code_says_whether_it_is_what_the_policy_asks_for(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("attest", "--attestation-policy", policy_file(tmp_path, PCRS["sha256"]["7"]))
    assert (code, out.split()[1]) == (0, "as-pinned")

    code, out, _ = run("attest", "--attestation-policy", policy_file(tmp_path, "00" * 32))
    assert (code, out.split()[1]) == (1, "mismatch")
    assert "policy          NO           PCR 7 of sha256 is none of the policy's values" in out.splitlines()


def test_program_gets_all_of_it_as_json(run: Any) -> None:
    code, out, _ = run("attest", "--json")

    found = json.loads(out)
    assert code == 0
    assert (found["verdict"], found["least"], found["accepted"]) == ("unpinned", "unpinned", True)
    assert found["pcrs"] == PCRS


def test_absent_attestation_fails_with_its_reason(run: Any, attester: SoftAttester) -> None:
    attester.tpm = None

    code, out, _ = run("attest")

    assert code == 1
    assert out.splitlines() == [
        "verdict         absent (at least unpinned is asked for)",
        "why             the router gives no attestation",
    ]


def test_worse_one_than_required_is_an_error(run: Any, tmp_path: Path) -> None:
    policy = policy_file(tmp_path, "00" * 32)

    code, out, err = run("attest", "--attestation", "require", "--attestation-policy", policy)

    assert (code, out) == (1, "")
    assert "the router's attestation is 'mismatch', and at least 'as-pinned' is required" in err


def test_mistake_in_the_policy_is_told_with_its_line(run: Any, tmp_path: Path) -> None:
    code, out, err = run("attest", "--attestation-policy", policy_file(tmp_path, "00"))

    assert (code, out) == (2, "")
    assert "line 2" in " ".join(err.split())


def test_policy_that_is_recorded_fits_what_was_seen(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "recorded.toml"

    code, out, _ = run("record", str(path))

    assert (code, out) == (0, f"{path} pins sha256:0, sha256:7\n")
    assert read_policy(path) == read_policy({"pcrs": {"sha256": {n: PCRS["sha256"][n] for n in ("0", "7")}}})
    assert run("attest", "--attestation-policy", str(path))[0] == 0


def test_pcrs_that_are_named_are_recorded_alone(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "recorded.toml"

    code, out, _ = run("record", str(path), "--pcr", "sha256:10", "--json")

    assert code == 0
    assert json.loads(out) == {"policy": str(path), "pcrs": {"sha256": {"10": ["00" * 32]}}}


def test_nothing_is_recorded_over_a_file_or_without_a_good_attestation(
    run: Any, attester: SoftAttester, tmp_path: Path
) -> None:
    path = tmp_path / "recorded.toml"
    path.write_text("mine")
    assert run("record", str(path))[0] == 1
    assert path.read_text() == "mine"

    path.unlink()
    code, _, err = run("record", str(path), "--pcr", "sha256:1")
    assert code == 2
    assert "the router gives no PCR sha256:1: it gives sha256:0, sha256:7, sha256:10" in err

    attester.tpm = SoftTpm(digest=bytes(32))
    code, _, err = run("record", str(path))
    assert code == 1
    assert "the attestation is 'invalid': digest: the values are not those of the quote" in err
    assert not path.exists()
