"""Anthropic's Claude Code. It speaks Messages, and finds its server and its models by variables.

A file of settings may have variables of its own (`env`), which count before those of the process. What `--settings`
says counts before files, so it repeats all that is no secret.

Source: its documentation of settings, environment variables and gateways (code.claude.com/docs).
"""

from __future__ import annotations

from typing import Final

from nomyo._finite_json import text_json
from nomyo.cli.launch.agent import Agent, Sealed

_MODELS: Final = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)
_SWITCHES: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_ENABLE_TELEMETRY": "0",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_FEEDBACK_COMMAND": "1",
    "DISABLE_TELEMETRY": "1",
    # Fields of requests that only Anthropic's own server knows.
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
}
# Other services, if a file of settings asks for them.
_NOT_USED: Final = {f"CLAUDE_CODE_USE_{name}": "0" for name in ("BEDROCK", "FOUNDRY", "GATEWAY", "MANTLE", "VERTEX")}


def _open_environment(sealed: Sealed) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": sealed.url,
        "API_TIMEOUT_MS": str(round(sealed.patience_s * 1000)),
        **dict.fromkeys(_MODELS, sealed.model),
    }


def _arguments(sealed: Sealed) -> list[str]:
    settings = {"env": {**_open_environment(sealed), **_SWITCHES, **_NOT_USED}}
    return ["--settings", text_json(settings)]


CLAUDE: Final = Agent(
    title="Claude Code",
    package="@anthropic-ai/claude-code",
    arguments=_arguments,
    environment=lambda sealed: {**_open_environment(sealed), "ANTHROPIC_AUTH_TOKEN": sealed.token},
    switches=_SWITCHES,
    withheld=("ANTHROPIC_", "CLAUDE_CODE_API_", "CLAUDE_CODE_OAUTH_", "CLAUDE_CODE_USE_"),
)
