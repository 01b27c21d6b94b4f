"""`nomyo launch`: what the agent gets, and how both end. A small program stands for the agent."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from nomyo.cli import main
from nomyo.cli.launch.agents import AGENTS, AgentName
from nomyo.serve.router.running import RunningRouter
from support.launched import MODEL, is_alive, launched, put_agent, surroundings, words
from support.terminal import CTRL_C, ENTER, in_terminal
from support.waiting import until

SECRETS = {
    name: f"canary-{name.lower()}"
    for name in ("NOMYO_API_KEY", "NOMYO_PROXY_TOKEN", "NOMYO_ROUTER_API_KEYS", "NOMYO_ROUTER_UPSTREAM_API_KEY")
}
# What could lead an agent past the proxy, or through another one.
ASTRAY = {
    "ANTHROPIC_API_KEY": "canary-anthropic",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:7",
    "CLAUDE_CODE_USE_BEDROCK": "canary-bedrock",
    "OPENAI_BASE_URL": "http://127.0.0.1:8",
    "OPENAI_API_KEY": "canary-openai",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "intranet.example",
}
SHOWING = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
own = Path("/proc/self/cmdline").read_text()
parent = Path(f"/proc/{{os.getppid()}}/cmdline").read_text()
print(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ), "typed": own + parent}}))
sys.exit(7)
"""
WAITING = """#!/bin/sh
trap 'echo INT; exit 11' INT
trap 'echo TERM; exit 12' TERM
trap 'echo HUP; exit 13' HUP
echo $$
while :; do sleep 0.1; done
"""
DEAF = """#!/bin/sh
trap '' TERM
echo $$
while :; do sleep 0.1; done
"""
TWICE = """#!/bin/sh
count=0
trap 'count=$((count + 1))' INT
echo ready
while [ $count = 0 ]; do sleep 0.1; done
sleep 0.5
echo "interrupts: $count"
"""


@pytest.fixture(params=list(AGENTS))
def shown(
    request: pytest.FixtureRequest, router: RunningRouter, key_directory: Path, tmp_path: Path
) -> tuple[str, dict[str, Any], str]:
    """Run each agent's stand-in; return the agent's name, what it got, and what stood on stderr."""
    programs = put_agent(tmp_path / "bin", request.param, SHOWING)
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        words(request.param, router.url, key_directory, "-x", "--json", "two words"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=surroundings(programs, HOME=str(tmp_path / "home"), **SECRETS, **ASTRAY),
    )
    assert done.returncode == 7, done.stderr
    assert list((tmp_path / "home").iterdir()) == []
    return request.param, json.loads(done.stdout), done.stderr


def test_agent_gets_its_arguments_and_the_proxy_but_no_secret_of_ours(
    shown: tuple[str, dict[str, Any], str],
) -> None:
    name, got, stderr = shown
    assert got["arguments"][-3:] == ["-x", "--json", "two words"]
    environment = got["environment"]
    carrier = "ANTHROPIC_AUTH_TOKEN" if name == "claude" else "NOMYO_LAUNCH_TOKEN"
    token = environment[carrier]
    assert len(token) >= 43
    assert token not in got["typed"]
    assert token not in stderr
    everything = json.dumps(got)
    withheld = [value for variable, value in ASTRAY.items() if variable.startswith(AGENTS[AgentName(name)].withheld)]
    assert [value for value in (*SECRETS.values(), *withheld) if f'"{value}"' in everything] == []
    assert environment["NO_PROXY"] == environment["no_proxy"] == "intranet.example,127.0.0.1,localhost"
    assert MODEL in everything
    assert AGENTS[AgentName(name)].switches.items() <= environment.items()


def test_one_line_says_what_is_sealed_and_what_is_not(
    shown: tuple[str, dict[str, Any], str], router: RunningRouter
) -> None:
    name, _, stderr = shown
    [line] = [line for line in stderr.splitlines() if line.startswith("nomyo launch: ")]
    for word in (AGENTS[AgentName(name)].title, MODEL, router.url, "sealed", "not sealed", "telemetry"):
        assert word in line


ASKING = f"""#!{sys.executable}
import json, os, urllib.request
options = json.loads(os.environ["OPENCODE_CONFIG_CONTENT"])["provider"]["nomyo"]["options"]
for model in ("{MODEL}", "a-model-of-its-own"):
    request = urllib.request.Request(
        options["baseURL"] + "/chat/completions",
        json.dumps({{"model": model, "messages": [{{"role": "user", "content": "hello"}}]}}).encode(),
        {{"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["NOMYO_LAUNCH_TOKEN"]}},
    )
    print(json.dumps(json.load(urllib.request.urlopen(request))))
print(options["baseURL"])
"""


def test_agent_is_answered_by_the_one_model_whatever_it_asks_for_and_the_proxy_ends_with_it(
    router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    programs = put_agent(tmp_path / "bin", "opencode", ASKING)
    done = subprocess.run(
        words("opencode", router.url, key_directory, options=("--json",)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=surroundings(programs),
    )
    assert done.returncode == 0, done.stderr
    *answers, url = done.stdout.splitlines()
    for answer in map(json.loads, answers):
        assert (answer["model"], answer["choices"][0]["message"]["content"]) == (MODEL, "hello")
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    told = json.loads(done.stderr.splitlines()[-1])
    assert set(told) == {"agent", "model", "router", "sealed", "not_sealed", "switched_off"}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 11), (signal.SIGTERM, 12), (signal.SIGHUP, 13)], ids=lambda value: str(value)
)
def test_signal_goes_on_to_the_agent_and_nothing_is_left(
    number: signal.Signals, code: int, router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    programs = put_agent(tmp_path / "bin", "opencode", WAITING)
    with launched(words("opencode", router.url, key_directory), surroundings(programs)) as process:
        assert process.stdout
        agent = int(process.stdout.readline())
        process.send_signal(number)
        assert process.communicate(timeout=60)[0] == f"{number.name.removeprefix('SIG')}\n"
    assert process.returncode == code
    assert not is_alive(agent)


def test_agent_that_a_signal_ended_gives_the_code_of_a_shell(
    router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    programs = put_agent(tmp_path / "bin", "opencode", "#!/bin/sh\nkill -KILL $$\n")
    with launched(words("opencode", router.url, key_directory), surroundings(programs)) as process:
        assert process.wait(timeout=60) == 128 + signal.SIGKILL


def test_agent_that_does_not_end_is_killed(router: RunningRouter, key_directory: Path, tmp_path: Path) -> None:
    programs = put_agent(tmp_path / "bin", "opencode", DEAF)
    hurried = "from nomyo.cli import main; from nomyo.cli.launch import process; process.GRACE_S = 0.2; main()"
    command = words("opencode", router.url, key_directory)
    at = command.index("launch")
    with launched([sys.executable, "-c", hurried, *command[at:]], surroundings(programs)) as process:
        assert process.stdout
        agent = int(process.stdout.readline())
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGKILL
    assert not is_alive(agent)


@pytest.mark.parametrize("how", ["told to end", "by itself"])
def test_what_an_agent_left_running_ends_with_it_if_it_was_told_to_end(
    how: str, router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    end = "while :; do sleep 0.1; done" if how == "told to end" else "exit 0"
    leaving = f"#!/bin/sh\ntrap 'exit 12' TERM\nsetsid sleep 300 > /dev/null 2>&1 < /dev/null &\necho $!\n{end}\n"
    programs = put_agent(tmp_path / "bin", "opencode", leaving)
    with launched(words("opencode", router.url, key_directory), surroundings(programs)) as process:
        assert process.stdout
        left = int(process.stdout.readline())
        until(lambda: "sleep" in Path(f"/proc/{left}/comm").read_text())
        if how == "told to end":
            process.terminate()
        assert process.wait(timeout=60) == (12 if how == "told to end" else 0)
    assert is_alive(left) == (how == "by itself")
    if how == "by itself":
        os.kill(left, signal.SIGKILL)


def test_agent_that_stops_gives_the_shell_back_and_goes_on_with_it(
    router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    stopping = "#!/bin/sh\necho begins\nkill -TSTP $$\necho goes on\nread line\necho got $line\nexit 5\n"
    programs = put_agent(tmp_path / "bin", "opencode", stopping)
    command = shlex.join(words("opencode", router.url, key_directory))
    with in_terminal(program=["sh", "-i"], env=surroundings(programs, PS1="PROMPT> ")) as terminal:
        terminal.see("PROMPT> ")
        terminal.type(command, ENTER)
        terminal.see("begins")
        terminal.see("PROMPT> ")
        terminal.type("fg", ENTER)
        terminal.see("goes on")
        terminal.type("hello", ENTER)
        terminal.see("got hello")
        terminal.see("PROMPT> ")
        terminal.type("echo code=$?; exit", ENTER)
        terminal.see("code=5")


def test_agent_that_stopped_is_ended_too(router: RunningRouter, key_directory: Path, tmp_path: Path) -> None:
    programs = put_agent(tmp_path / "bin", "opencode", WAITING)
    with launched(words("opencode", router.url, key_directory), surroundings(programs)) as process:
        assert process.stdout
        agent = int(process.stdout.readline())
        subprocess.run(["sh", "-c", f"kill -STOP {agent}"], check=True)
        until(lambda: " T " in Path(f"/proc/{agent}/stat").read_text())
        process.terminate()
        assert process.wait(timeout=60) == 12
    assert not is_alive(agent)


def test_ctrl_c_reaches_the_agent_once(router: RunningRouter, key_directory: Path, tmp_path: Path) -> None:
    programs = put_agent(tmp_path / "bin", "opencode", TWICE)
    arguments = words("opencode", router.url, key_directory)[3:]
    with in_terminal(*arguments, env=surroundings(programs)) as terminal:
        terminal.see("ready")
        terminal.type(CTRL_C)
        terminal.see("interrupts: 1")
        assert terminal.end()[0] == 0


def test_signal_that_was_ignored_at_the_start_stays_ignored_for_the_agent(
    router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    """As nohup and jobs in the background have it."""
    reporting = "#!/bin/sh\ngrep SigIgn /proc/self/status\n"
    programs = put_agent(tmp_path / "bin", "opencode", reporting)
    command = ["sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh", *words("opencode", router.url, key_directory)]
    with launched(command, surroundings(programs)) as process:
        shown, _ = process.communicate(timeout=60)
    ignored = int(shown.split()[1], 16)
    assert [bool(ignored >> number - 1 & 1) for number in (signal.SIGINT, signal.SIGHUP)] == [True, True]
    assert not ignored >> signal.SIGPIPE - 1 & 1


@pytest.mark.parametrize("agent", list(AGENTS))
def test_agent_that_is_not_installed_is_told_with_the_command_that_installs_it(
    agent: AgentName, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as left:
        main(["launch", agent, "--model", "m"])
    assert left.value.code == 127
    words = f"there is no '{agent}' on PATH; npm install --global {AGENTS[agent].package}"
    assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["launch", agent, "--model", "m", "--json"])
    assert json.loads(capsys.readouterr().err)["error"]["type"] == "FileNotFoundError"


def test_platform_that_cannot_run_agents_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nomyo.cli.launch.process.IS_POSSIBLE", False)
    with pytest.raises(SystemExit) as ended:
        main(["launch", "codex", "--model", "m"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "nomyo launch: it runs on Linux alone, which lets it take signals one by one; elsewhere: nomyo proxy, and the"
        " agent beside it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cursor", "--model", "m"], "cursor"),
        (["opencode"], "--model"),
        (["opencode", "--model", "m", "--nonsense"], "--nonsense"),
        (["opencode", "--model", "m"], "http"),
    ],
    ids=lambda value: str(value),
)
def test_options_that_make_no_sense_are_refused(
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(put_agent(tmp_path / "bin", "opencode", WAITING)))
    monkeypatch.setenv("NOMYO_BASE_URL", "http://router.example")
    with pytest.raises(SystemExit) as left:
        main(["launch", *arguments])
    assert left.value.code == 2
    assert told in capsys.readouterr().err.lower()


def test_json_of_the_agent_is_not_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["launch", "opencode", "--nonsense", "--", "--json"])
    assert "Error" in capsys.readouterr().err
