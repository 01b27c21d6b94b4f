"""`nomyo router`: makes a router from options and runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from nomyo import _core
from nomyo._finite_json import ascii_json
from nomyo._warn import log_named
from nomyo.cli.command_app import FAILED, bad_option, command_app, failure_text, key_sizes, manual, report, run
from nomyo.cli.streams import is_stdout_error, write_stderr
from nomyo.cli.tls_files import refuse_unusable_tls_files
from nomyo.errors import SecurityError
from nomyo.exchange.protocol import check_header_value
from nomyo.serve.listener import Listener
from nomyo.serve.log import LogLevel, log_to_stderr
from nomyo.serve.router.app import create_app
from nomyo.serve.router.config import RateLimit, RouterConfig, TpmConfig, UpstreamConfig
from nomyo.serve.router.protection import memory_protection
from nomyo.serve.router.router import Router
from nomyo.serve.router.tpm import TpmError
from nomyo.serve.server import serve

_Ready: TypeAlias = Callable[[str, str], str]
"""Makes a line of the router's URL and its key's fingerprint."""
_log = log_named("nomyo.router")
NAME: Final = "nomyo router"
_UPSTREAM_KEY_VARIABLE: Final = "NOMYO_ROUTER_UPSTREAM_API_KEY"
app = command_app()
# What the settings call otherwise.
_OPTIONS: Final = {
    "key_bits": "--key-bits",
    "burst_requests": "--burst",
    "requests_per_second": "--rate-limit",
    "timeout_s": "--upstream-timeout",
}
_ROUTER = manual(
    examples={
        "nomyo router": "The echo model, at http://127.0.0.1:12435:",
        "nomyo router --upstream http://127.0.0.1:11434/v1": "Answers from an OpenAI-compatible server:",
        "nomyo router --json | head -n 1 | jq -r .fingerprint": "The fingerprint of its key, for a script:",
    },
    exit_codes={
        0: "It was stopped by Ctrl-C or SIGTERM.",
        1: "It cannot serve there.",
        2: "The command cannot be run as asked.",
    },
    environment={
        "NOMYO_ROUTER_API_KEYS": "As --api-key, separated by spaces.",
        _UPSTREAM_KEY_VARIABLE: "As --upstream-api-key.",
    },
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)


@app.command(cls=_ROUTER)
def router(
    host: Annotated[str, typer.Option(metavar="NAME", help="Name or address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 12435,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="PATH", help="PEM file: the certificate chain.", dir_okay=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="PATH", help="PEM file: its private key.", dir_okay=False)
    ] = None,
    key_bits: Annotated[
        int,
        typer.Option(
            metavar="BITS", help="Size of the router's RSA key: 2048, 3072 or 4096.", autocompletion=key_sizes
        ),
    ] = 4096,
    key_rotation: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds between two keys; 0: never.", min=0)
    ] = 0.0,
    key_grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds the key before is still accepted.", min=0)
    ] = 300.0,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOKEN",
            help="Bearer token to let in; repeatable, in the variable separated by spaces. None: everybody.",
            envvar="NOMYO_ROUTER_API_KEYS",
        ),
    ] = None,
    tier_model: Annotated[
        list[str] | None,
        typer.Option(metavar="TIER=MODEL", help="The tier allows only the models that are named for it; repeatable."),
    ] = None,
    rate_limit: Annotated[
        int, typer.Option(metavar="N", help="Requests a second for each API key; 0: no limit.", min=0)
    ] = 0,
    burst: Annotated[
        int | None, typer.Option(metavar="N", help="Requests in the second of a burst; by default twice the limit.")
    ] = None,
    burst_window: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds from one burst to the next.", min=1)
    ] = 10.0,
    upstream: Annotated[
        str | None, typer.Option(metavar="URL", help="OpenAI-compatible server that answers; none: the echo model.")
    ] = None,
    upstream_api_key: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Bearer token for it.", envvar=_UPSTREAM_KEY_VARIABLE)
    ] = None,
    upstream_api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the bearer token for it.")
    ] = None,
    upstream_timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds for its whole answer.")] = 600.0,
    tpm: Annotated[
        str | None,
        typer.Option(
            metavar="TPM",
            help="TPM 2.0 whose quote each answer brings: a device, or swtpm:HOST:PORT; needs tpm2-tools.",
        ),
    ] = None,
    tpm_pcrs: Annotated[
        str, typer.Option(metavar="PCRS", help="PCRs that it quotes; several banks joined by +.")
    ] = "sha256:0,7,10",
    log_level: Annotated[
        LogLevel, typer.Option(metavar="info|warning|error", help="What the log on stderr tells.")
    ] = LogLevel.INFO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the line on stdout as JSON.")] = False,
) -> None:
    """Run a NOMYO router on this machine, for local work and tests. Not for production.

    It answers GET /pki/public_key and POST /v1/chat/secure_completion with a key of its own, drawn at the start and
    kept in memory only. Once it serves, one line on stdout tells the URL and the key's fingerprint.
    """
    try:
        config = RouterConfig(
            listener=Listener(host, port, tls_cert, tls_key),
            key_bits=key_bits,
            key_rotation_interval_s=key_rotation,
            key_rotation_grace_s=key_grace,
            api_keys=frozenset(api_key or ()),
            tier_models=_tier_models(tier_model or ()),
            rate_limit=_rate_limit(rate_limit, burst, burst_window),
            tpm=None if tpm is None else TpmConfig(tpm, tpm_pcrs),
            upstream=_upstream(upstream, upstream_api_key, upstream_api_key_env, upstream_timeout),
        )
    except ValueError as error:
        raise bad_option(error, _OPTIONS) from None
    log_to_stderr(log_level)
    refuse_unusable_tls_files(NAME, config.listener)
    raise typer.Exit(_run(config, _ready_as_json if as_json else _ready))


def _run(config: RouterConfig, ready: _Ready) -> int:
    try:
        _core.harden_process()
    except OSError as error:
        _log.warning("core dumps and ptrace could not be switched off: %s", error.strerror)
    _warn_of_plain_http(config)
    try:
        running = Router(config)
    except (OSError, TpmError) as error:
        report(NAME, failure_text(error))
        return FAILED
    if not memory_protection()["memory_locking"]:
        _log.warning("working memory could not be locked and may reach swap: `nomyo doctor` says what would help")
    try:
        serve(
            create_app(router=running),
            config.listener,
            lambda url: _announce(ready(url, running.keys.fingerprint), config),
        )
    except OSError as error:
        if is_stdout_error(error):
            raise
        report(NAME, f"cannot serve on {config.listener.host}, port {config.listener.port}: {failure_text(error)}")
        return FAILED
    finally:
        running.close()
    return 0


def _ready(url: str, fingerprint: str) -> str:
    return f"nomyo router ready url={url} fingerprint={fingerprint}"


def _ready_as_json(url: str, fingerprint: str) -> str:
    return ascii_json({"event": "ready", "url": url, "fingerprint": fingerprint})


def _announce(ready: str, config: RouterConfig) -> None:
    typer.echo(ready)
    model = "The echo model" if config.upstream is None else "The upstream"
    write_stderr(f"{model} answers. For local work and tests, not for production. Ctrl-C stops.")


def _warn_of_plain_http(config: RouterConfig) -> None:
    if config.listener.in_clear_beyond_this_machine:
        _log.warning("others can reach this router over plain HTTP, which does not tell them whom they talk to")
    if config.upstream is not None and config.upstream.in_clear_beyond_this_machine:
        _log.warning("decrypted requests leave this machine over plain HTTP: give the upstream an https:// URL")


def _tier_models(pairs: Sequence[str]) -> dict[str, frozenset[str]]:
    models: dict[str, frozenset[str]] = {}
    for pair in pairs:
        tier, _, model = pair.partition("=")
        if not model:
            raise ValueError("a tier's model is given as TIER=MODEL")
        models[tier] = models.get(tier, frozenset()) | {model}
    return models


def _rate_limit(per_second: int, burst: int | None, window_s: float) -> RateLimit | None:
    if per_second == 0:
        return None
    return RateLimit(per_second, 2 * per_second if burst is None else burst, window_s)


def _upstream(url: str | None, api_key: str | None, variable: str | None, timeout_s: float) -> UpstreamConfig | None:
    """Return the upstream's settings. Its API key comes from the option, or from the variable that an option names."""
    given = api_key or _variable(variable)
    name = f"--upstream-api-key ({_UPSTREAM_KEY_VARIABLE})" if api_key else variable
    try:
        check_header_value(str(name), given or "")
    except SecurityError as error:
        raise ValueError(str(error)) from None
    return None if url is None else UpstreamConfig(url, given, timeout_s)


def _variable(name: str | None) -> str | None:
    if name is None:
        return None
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"the environment variable {name} is not set")
    return value
