"""Signals that were ignored at the start stay ignored: nohup(1), and jobs of shells without job control, mean it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from nomyo.serve.router.running import RunningRouter
from support import proxied
from support.batch_scene import PromptNotingRouter, command, outcomes, request, write_input
from support.waiting import until

NAMES = {signal.SIGINT: "INT", signal.SIGTERM: "TERM", signal.SIGHUP: "HUP"}


def ignoring(words: Sequence[str], *numbers: signal.Signals) -> subprocess.Popen[str]:
    """Start a program with signals ignored, as a shell does."""
    trap = f"trap '' {' '.join(NAMES[number] for number in numbers)}; exec \"$@\""
    return subprocess.Popen(["sh", "-c", trap, "sh", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def held_signals(process: subprocess.Popen[str]) -> set[int]:
    """Return the signals that the kernel says a process ignores (SigIgn in proc(5))."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    mask = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")), 16)
    return {number for number in NAMES if mask >> (number - 1) & 1}


@pytest.mark.parametrize("numbers", [[signal.SIGINT, signal.SIGHUP], [signal.SIGTERM]])
def test_batch_goes_on(numbers: list[signal.Signals], key_directory: Path, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(4)))
    with PromptNotingRouter(delay_s=0.5) as router:
        words = [*command(source, tmp_path / "out", router.url), "--key-dir", str(key_directory)]
        with ignoring(words, *numbers) as process:
            until(lambda: router.prompts, timeout_s=30)
            for number in numbers:
                process.send_signal(number)
            _, told = process.communicate(timeout=60)
    assert (process.returncode, "stopping" in told) == (0, False)
    assert len(outcomes(tmp_path / "out")) == 4


def test_batch_that_ignores_sigint_still_ends_in_order_by_sigterm(key_directory: Path, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(4)))
    with PromptNotingRouter(delay_s=0.5) as router:
        own = ["--key-dir", str(key_directory), "--concurrency", "1"]
        with ignoring([*command(source, tmp_path / "out", router.url), *own], signal.SIGINT) as process:
            until(lambda: router.prompts, timeout_s=30)
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
    assert (process.returncode, "stopping" in told) == (130, True)


@pytest.mark.parametrize("server", ["router", "proxy"])
def test_server_goes_on_and_still_ends_in_order_by_sigterm(
    server: str, router: RunningRouter, key_directory: Path
) -> None:
    words = {
        "router": [sys.executable, "-m", "nomyo", "router", "--port", "0", "--key-bits", "2048", "--json"],
        "proxy": [*proxied.command(router.url, key_directory), "--json"],
    }
    with ignoring(words[server], signal.SIGINT, signal.SIGHUP) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"]
        assert held_signals(process) >= {signal.SIGINT, signal.SIGHUP}
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_server_that_ignores_sigterm_ends_by_sigint(router: RunningRouter, key_directory: Path) -> None:
    with ignoring([*proxied.command(router.url, key_directory), "--json"], signal.SIGTERM) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert held_signals(process) == {signal.SIGTERM}
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_chat_goes_on(key_directory: Path) -> None:
    with PromptNotingRouter(delay_s=0.5) as router:
        own = ["--base-url", router.url, "--allow-http", "--key-dir", str(key_directory)]
        words = [sys.executable, "-m", "nomyo", "chat", "--model", "m", *own, "hello"]
        with ignoring(words, signal.SIGINT, signal.SIGTERM) as process:
            until(lambda: router.prompts, timeout_s=30)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "hello")


def test_conversation_leaves_an_ignored_sigint_alone(router: RunningRouter, key_directory: Path) -> None:
    from support.terminal import CTRL_D, ENTER, in_terminal

    own = ["--base-url", router.url, "--allow-http", "--key-dir", str(key_directory)]
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with in_terminal("chat", "--model", "echo", *own) as terminal:
            terminal.see("/help tells more")
            terminal.wait_for_prompt()
            child = Path(f"/proc/{terminal.process.pid}/task/{terminal.process.pid}/children").read_text().split()
            pid = child[0] if child else terminal.process.pid
            status = Path(f"/proc/{pid}/status").read_text()
            mask = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")), 16)
            assert mask >> (signal.SIGINT - 1) & 1
            terminal.type("hello", ENTER)
            terminal.see("hello")
            terminal.wait_for_prompt()
            terminal.type(CTRL_D)
            assert terminal.end()[0] == 0
    finally:
        signal.signal(signal.SIGINT, handler)


def test_keys_are_rotated_to_the_end(key_directory: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "nomyo", "keys", "generate", "--no-password", "--key-dir", str(tmp_path / "keys")]
    with ignoring(words, signal.SIGINT) as process:
        until(lambda: held_signals(process) == {signal.SIGINT} and process.poll() is None, timeout_s=30)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
