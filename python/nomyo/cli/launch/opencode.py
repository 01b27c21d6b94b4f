"""opencode. It speaks chat completions, and takes its configuration from a variable, which counts before its files.

Source: its documentation of configuration and providers (opencode.ai/docs).
"""

from __future__ import annotations

from typing import Final

from nomyo._finite_json import text_json
from nomyo.cli.launch.agent import TOKEN_VARIABLE, Agent, Sealed

_PROVIDER: Final = "nomyo"


def _configuration(sealed: Sealed) -> str:
    model = f"{_PROVIDER}/{sealed.model}"
    options = {
        "baseURL": f"{sealed.url}/v1",
        "apiKey": f"{{env:{TOKEN_VARIABLE}}}",
        "timeout": round(sealed.patience_s * 1000),
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": _PROVIDER,
        "options": options,
        "models": {sealed.model: {"name": sealed.model}},
    }
    configuration = {
        "model": model,
        "small_model": model,
        # A model of another provider, which a file may name for one of its agents, is an error then.
        "enabled_providers": [_PROVIDER],
        "provider": {_PROVIDER: provider},
        "autoupdate": False,
        "share": "disabled",
    }
    return text_json(configuration)


OPENCODE: Final = Agent(
    title="opencode",
    package="opencode-ai",
    arguments=lambda _sealed: [],
    environment=lambda sealed: {
        "OPENCODE_CONFIG_CONTENT": _configuration(sealed),
        TOKEN_VARIABLE: sealed.token,
    },
    switches={
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_SHARE": "1",
    },
    withheld=("OPENCODE_AUTO_SHARE",),
)
