"""Completion by a real bash, with the script that `nomyo --show-completion bash` prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nomyo._install_command import install_command
from nomyo.cli import main

# Words after which the shell is asked, and what it must offer; the last word is the one being typed.
LINES = [
    (["ke"], ["keys"]),
    (["keys", "ro"], ["rotate"]),
    (["keys", "rotate", "--ke"], ["--key-dir", "--key-size"]),
    (["chat", "--ti"], ["--tier", "--timeout"]),
    (["chat", "--tier", ""], ["standard", "high", "maximum"]),
    (["batch", "--ret"], ["--retry-errors"]),
    (["batch", "--enc"], ["--encrypt-to"]),
    (["batch", "ope"], ["open"]),
    (["batch", "open", "--pri"], ["--private-key"]),
    (["doctor", "--js"], ["--json"]),
    (["doctor", "--se"], ["--self"]),
    (["router", "--rate"], ["--rate-limit"]),
    (["proxy", "--tok"], ["--token-file"]),
    (["proxy", "--security-tier", "h"], ["high"]),
    (["keys", "generate", "--key-size", ""], ["2048", "3072", "4096"]),
    (["router", "--key-bits", "4"], ["4096"]),
    (["--inst"], ["--install-completion"]),
]
SCRIPT = """
eval "$(nomyo --show-completion bash)"
COMP_WORDS=(nomyo "$@"); COMP_CWORD=$#
_nomyo_completion nomyo
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(*words: str, before: str = "") -> list[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", before + SCRIPT, "bash", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.outside("bash")
@pytest.mark.parametrize(("words", "offered"), LINES, ids=[" ".join(words) for words, _ in LINES])
def test_shell_completes(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered


@pytest.mark.outside("bash")
def test_all_commands_are_offered() -> None:
    assert {"batch", "chat", "keys", "demo", "router", "doctor"} <= set(complete(""))


@pytest.mark.outside("bash")
def test_command_whose_extra_is_missing_is_still_a_name(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ImportError('as if it were not there')")
    without = f"export PYTHONPATH={tmp_path}\n"
    assert complete("rou", before=without) == ["router"]
    assert complete("router", "--rate", before=without) == []
    assert complete("chat", "--max-t", before=without) == ["--max-tokens"]


def test_completion_is_installed_where_bash_finds_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nomyo", "--install-completion", "bash"]
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    script = tmp_path / ".bash_completions" / "nomyo.sh"
    assert "_NOMYO_COMPLETE=complete_bash" in script.read_text()
    assert f"source '{script}'" in (tmp_path / ".bashrc").read_text()


@pytest.mark.outside("bash")
def test_completion_is_for_the_shell_that_is_named(tmp_path: Path) -> None:
    """And not for the one that runs this test."""
    command = ["bash", "-c", '"$@"; exit $?', "bash", sys.executable, "-m", "nomyo"]
    environment = os.environ | {"HOME": str(tmp_path)}

    def nomyo(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
        )

    assert nomyo("--show-completion", "zsh").stdout.startswith("#compdef nomyo")
    assert nomyo("--install-completion", "zsh").returncode == 0
    assert (tmp_path / ".zfunc" / "_nomyo").exists()
    assert not (tmp_path / ".bashrc").exists()
    assert nomyo("--install-completion", "tcsh").returncode == 2


@pytest.mark.parametrize("arguments", [["--show-completion"], ["--install-completion"]])
def test_completion_names_the_extra_it_lacks(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"nomyo needs the extra 'cli' to complete: {install_command('cli')}\n"


@pytest.mark.parametrize("command", ["batch", "chat", "keys"])
def test_command_names_the_extra_it_lacks(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    assert main([command]) == 2
    assert capsys.readouterr().err == f"nomyo {command} needs the extra 'cli': {install_command('cli')}\n"
