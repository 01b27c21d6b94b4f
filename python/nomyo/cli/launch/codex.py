"""OpenAI's Codex. It speaks Responses, and takes settings by `-c KEY=VALUE`, which count before those of its files.

Source: its documentation of configuration (developers.openai.com/codex/config-reference), and `codex --help`.
"""

from __future__ import annotations

from typing import Any, Final

from nomyo._finite_json import text_json
from nomyo.cli.launch.agent import TOKEN_VARIABLE, Agent, Sealed

_PROVIDER: Final = "nomyo"
_SWITCHES: Final = {
    "analytics.enabled": False,
    "feedback.enabled": False,
    "check_for_update_on_startup": False,
    "otel.exporter": "none",
    "otel.trace_exporter": "none",
    "otel.metrics_exporter": "none",
    # A server in the background, which would outlive the command and keep its settings for later sessions.
    "features.daemon_auto_start": False,
}


def _arguments(sealed: Sealed) -> list[str]:
    provider = f"model_providers.{_PROVIDER}"
    settings = {
        "model": sealed.model,
        "review_model": sealed.model,
        "model_provider": _PROVIDER,
        f"{provider}.name": _PROVIDER,
        f"{provider}.base_url": f"{sealed.url}/v1",
        f"{provider}.env_key": TOKEN_VARIABLE,
        f"{provider}.wire_api": "responses",
        f"{provider}.requires_openai_auth": False,
        f"{provider}.supports_websockets": False,
        # The proxy itself repeats what may be repeated.
        f"{provider}.request_max_retries": 0,
        f"{provider}.stream_max_retries": 0,
        f"{provider}.stream_idle_timeout_ms": round(sealed.patience_s * 1000),
        **_SWITCHES,
    }
    return [word for name, value in settings.items() for word in ("-c", f"{name}={_toml(value)}")]


def _toml(value: Any) -> str:
    """Return a value in TOML, whose strings are JSON's as long as they have no escapes for surrogates."""
    return text_json(value)


CODEX: Final = Agent(
    title="Codex",
    package="@openai/codex",
    arguments=_arguments,
    environment=lambda sealed: {TOKEN_VARIABLE: sealed.token},
    switches={},  # they are settings
    withheld=("OPENAI_", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN"),
)
