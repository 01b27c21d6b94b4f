"""The client of a proxy that a command runs: its warnings become log lines, and what cannot work fails at the start."""

from __future__ import annotations

import warnings
from typing import Any

import typer

from nomyo import NomyoError, SecureCompletionClient
from nomyo._warn import log_named
from nomyo.exchange.http.environment import ssl_context
from nomyo.exchange.wrong_address import PLAIN_HTTP

_log = log_named("nomyo.proxy")


def proxy_client(**options: Any) -> SecureCompletionClient:
    """Return a client whose warnings go to the log, as messages without file and line.

    Args:
        options: Those of `SecureCompletionClient`.

    Raises:
        typer.BadParameter: The router would be spoken to in clear, and nobody allowed that.
        NomyoError, OSError, ValueError, TypeError: The client cannot be made, or could not send anything.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = SecureCompletionClient(**options)
    if client.settings.plain_http and not client.settings.allow_http:
        client.dispose()
        raise typer.BadParameter(PLAIN_HTTP)
    try:
        ssl_context(client.settings)  # also reads the environment's proxy: a setting that cannot work fails here
    except NomyoError:
        client.dispose()
        raise
    for warning in caught:
        _log.warning("%s", warning.message)
    if not client.settings.api_key and not client.settings.needs_api_key:  # which is among the warnings
        _log.warning("NOMYO_API_KEY is not set: the router may refuse every request")
    return client
