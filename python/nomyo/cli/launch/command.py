"""`nomyo launch`: options in, an agent's exit code out."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from nomyo import NomyoError, SecureCompletionClient
from nomyo._finite_json import ascii_json
from nomyo.cli.command_app import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    FAILED,
    bad_option,
    command_app,
    harden,
    manual,
    report,
    report_failure,
    run,
)
from nomyo.cli.launch import process
from nomyo.cli.launch.agent import TOKEN_VARIABLE, Agent, Sealed
from nomyo.cli.launch.agents import AGENTS, AgentName
from nomyo.cli.launch.surroundings import surroundings
from nomyo.cli.model_options import MODEL_VARIABLE, Model
from nomyo.cli.proxy_client import proxy_client
from nomyo.cli.router_options import RouterOptions, SecurityTier, Tier, check_api_key, takes_router_options
from nomyo.cli.streams import write_failure_as_json, write_stderr
from nomyo.cli.utf8_argument import utf8_argument
from nomyo.serve.listener import Listener
from nomyo.serve.log import LogLevel, log_to_stderr
from nomyo.serve.proxy.app import create_app
from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.model_names import Alias
from nomyo.serve.server import BackgroundServer

NAME: Final = "nomyo launch"
MISSING: Final = 127
"""What a shell reports of a program that there is not."""
_CONNECTING_S: Final = 60.0
app = command_app()
_MANUAL = manual(
    examples={
        "nomyo launch codex --model Qwen/Qwen3-0.6B": "Codex in this terminal:",
        "nomyo launch claude -m Qwen/Qwen3-0.6B -- --print 'What is in README?'": "One question to Claude Code:",
    },
    exit_codes={
        0: "The agent ended with 0. Every other exit code of the agent is the command's, too.",
        1: "The agent could not be started; or it ended with 1.",
        2: "The command cannot be run as asked; or the agent ended with 2.",
        MISSING: "The agent is not installed.",
        128: "And N: signal N ended the agent.",
    },
    environment={
        **API_KEY_VARIABLE,
        **BASE_URL_VARIABLE,
        **MODEL_VARIABLE,
        TOKEN_VARIABLE: "Set for the agent: the token of its proxy.",
    },
    files={"DIR/private_key.pem, DIR/public_key.pem": "The key pair, with --key-dir DIR; none is written without."},
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)


@app.command(cls=_MANUAL)
@takes_router_options
def launch(
    agent: Annotated[AgentName, typer.Argument(metavar="AGENT", help="codex, claude or opencode.", show_default=False)],
    model: Model,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="The agent's own arguments; after `--`, any.", show_default=False),
    ] = None,
    *,
    router: RouterOptions,
    security_tier: SecurityTier = None,
    max_retries: Annotated[int, typer.Option(metavar="N", help="Further attempts if the router fails.", min=0)] = 2,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say on stderr as JSON what is sealed, and failures, too.")
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option(metavar="info|warning|error", help="What the proxy logs on stderr meanwhile.")
    ] = LogLevel.ERROR,
) -> None:
    """Run a coding agent (codex, claude or opencode) whose requests to its model are sealed on this machine.

    It starts a proxy of its own, for this agent alone, and ends it with the agent. All that the agent asks a model goes
    to --model. The agent finds the proxy by variables and options of this one process: no file of yours is read or
    changed. A line on stderr says what is sealed and what is not.

    The agent itself runs its tools here, and talks to other servers if its tools or plug-ins do. Its telemetry and its
    update checks are switched off, as far as it has switches. It does not get NOMYO_API_KEY.
    """
    if not process.IS_POSSIBLE:
        raise typer.Exit(_not_here(as_json=as_json))
    known = AGENTS[agent]
    program = shutil.which(agent)
    if program is None:
        raise typer.Exit(_missing(agent, known, as_json=as_json))
    check_api_key()
    words = [utf8_argument("an argument of the agent", word) for word in arguments or ()]
    name = utf8_argument("a model's name", model)
    harden(NAME)
    log_to_stderr(LogLevel.WARNING)  # what the client warns of, before the agent takes the terminal
    try:
        config = _config(name, security_tier)
        with process.signals_held() as unblocked, _client(router, max_retries) as client:
            logging.getLogger("nomyo").setLevel(log_level.value.upper())
            with BackgroundServer(create_app(config, client), config.listener) as server:
                sealed = Sealed(server.url, str(config.token), name, _patience_s(router, max_retries))
                _tell(known, client.settings.base_url, sealed, as_json=as_json)
                environment = surroundings(known, sealed, os.environ)
                code = process.run(program, [*known.arguments(sealed), *words], environment, unblocked, sealed.token)
    except (ValueError, TypeError) as error:
        raise bad_option(error, {}) from None
    except (NomyoError, OSError) as error:
        report_failure(NAME, error, as_json=as_json)
        raise typer.Exit(FAILED) from None
    raise typer.Exit(code)


def _not_here(*, as_json: bool) -> int:
    """Say that this platform cannot run agents, and return the exit code."""
    words = (
        "it runs on Linux alone, which lets it take signals one by one; elsewhere: nomyo proxy, and the agent beside it"
    )
    if as_json:
        write_failure_as_json("NotImplementedError", words)
    else:
        report(NAME, words)
    return FAILED


def _missing(name: str, agent: Agent, *, as_json: bool) -> int:
    """Say how to install an agent, and return the exit code."""
    words = f"{agent.title} is not installed: there is no '{name}' on PATH; npm install --global {agent.package}"
    if as_json:
        write_failure_as_json("FileNotFoundError", words)
    else:
        report(NAME, words)
    return MISSING


def _config(model: str, security_tier: Tier | None) -> ProxyConfig:
    """Return the settings of a proxy that gives the model's answers under every name."""
    return ProxyConfig(
        token=secrets.token_urlsafe(32),
        listener=Listener(),
        models=(model,),
        aliases=(Alias("*", model),),
        security_tier=security_tier and security_tier.value,
    )


@contextmanager
def _client(router: RouterOptions, max_retries: int) -> Iterator[SecureCompletionClient]:
    client = proxy_client(**router.of_client(), max_retries=max_retries)
    try:
        yield client
    finally:
        client.dispose()


def _patience_s(router: RouterOptions, max_retries: int) -> float:
    """Return how long the proxy may take: `--timeout` counts for headers and for a body, in each attempt."""
    return (2 * router.timeout + _CONNECTING_S) * (max_retries + 1)


def _tell(agent: Agent, router_url: str, sealed: Sealed, *, as_json: bool) -> None:
    """Say in one line what is sealed and what is not."""
    told = {
        "sealed": f"what {agent.title} asks {sealed.model}, for {router_url}",
        "not_sealed": "what its tools, plug-ins and logins send elsewhere",
        "switched_off": "its telemetry and update checks",
    }
    if as_json:
        write_stderr(ascii_json({"agent": agent.title, "model": sealed.model, "router": router_url, **told}))
        return
    sealed_words, others, off = told.values()
    report(NAME, f"sealed: {sealed_words}; not sealed: {others}; switched off: {off}")
