"""`nomyo trust audit`: verifies an audit log, and sums up what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core, cli
from nomyo.trust.audit_log import KIND
from nomyo.trust.chain import append
from support.faults import Answer, FaultyRouter

QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "the-prompt"}]}


@pytest.fixture
def log(faulty_router: FaultyRouter, key_directory: Path, tmp_path: Path) -> Path:
    """The log of two requests that were answered, and one that was not."""
    log = tmp_path / "audit.jsonl"
    options: dict[str, Any] = {"key_dir": key_directory, "max_retries": 0, "audit_log": log}
    with nomyo.SyncSecureChatCompletion(faulty_router.url, True, **options) as chat:
        chat.create(QUESTION)
        chat.create(QUESTION)
        faulty_router.answers.append(Answer(503))
        with pytest.raises(nomyo.ServiceUnavailableError):
            chat.create(QUESTION)
    return log


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["trust", "audit", *map(str, words)])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


def test_whole_log_is_summed_up(
    capsys: pytest.CaptureFixture[str], faulty_router: FaultyRouter, client_key: _core.PrivateKey, log: Path
) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines()]

    code, out, err = run(capsys, log, "--json")

    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "ok": True,
        "file": str(log),
        "lines": 3,
        "torn_lines": [],
        "first": lines[0]["time"],
        "last": lines[2]["time"],
        "request_bytes": sum(len(post.body) for post in faulty_router.posts),
        "response_bytes": sum(line["response_bytes"] for line in lines),
        "outcomes": {"answered": 2, "ServiceUnavailableError": 1},
        "routers": {faulty_router.url: 3},
        "router_keys": {faulty_router.running.router.keys.fingerprint: 3},
        "client_keys": {client_key.public_key.fingerprint: 3},
        "attestations": {"absent": 2},
        "unlocked_lines": sum(line["memory"]["unlocked_bytes"] != 0 for line in lines),
        "chain": lines[2]["chain"],
    }


def test_summary_is_words_without_the_option(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    code, out, err = run(capsys, log)

    assert (code, err) == (0, "")
    assert out.startswith(f"{log}: the chain of 3 lines is whole\nfrom 2")
    assert "outcome answered: 2 lines\noutcome ServiceUnavailableError: 1 line\n" in out
    assert out.endswith(f"chain of the last line: {json.loads(log.read_text().splitlines()[-1])['chain']}\n")


@pytest.mark.parametrize("line", [1, 2, 3])
def test_altered_line_is_told_by_its_number(capsys: pytest.CaptureFixture[str], log: Path, line: int) -> None:
    lines = log.read_text().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace('"tier":null', '"tier":"low"')
    log.write_text("".join(lines))

    code, out, err = run(capsys, log)
    assert (code, out) == (1, "")
    assert f"line {line} does not follow from the lines before it" in err

    code, out, err = run(capsys, log, "--json")
    assert (code, out) == (1, "")
    assert f"line {line} does not" in json.loads(err)["error"]["message"]


def test_log_of_somebody_else_is_told_at_its_first_broken_link(
    capsys: pytest.CaptureFixture[str], log: Path, tmp_path: Path
) -> None:
    of_other_kind = tmp_path / "other"
    append(of_other_kind, "nomyo key log 1", [{"time": "x"}])
    no_log_at_all = tmp_path / "text"
    no_log_at_all.write_text("one\ntwo\n")
    joined = tmp_path / "joined"
    joined.write_bytes(log.read_bytes() * 2)
    of_other_entries = tmp_path / "entries"
    append(of_other_entries, KIND, [{"number": 1}])

    for path, told in (
        (of_other_kind, "line 1 does not follow"),
        (no_log_at_all, "line 1 does not follow"),
        (joined, "line 4 does not follow"),
        (of_other_entries, "line 1 is no line of an audit log"),
    ):
        code, out, err = run(capsys, path)
        assert (code, out, told in err) == (1, "", True), err


def test_copy_that_others_may_read_is_verified_too(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    log.chmod(0o444)

    assert run(capsys, log)[0] == 0


def test_file_that_is_none_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, tmp_path / "missing")[0] == 1
    assert run(capsys, tmp_path)[0] == 1


def test_unfinished_line_of_a_killed_process_is_told(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    with log.open("ab") as file:
        file.write(b'{"time":"2026')

    code, out, _ = run(capsys, log)

    assert code == 0
    assert "line 4 was not finished: its process was killed" in out
