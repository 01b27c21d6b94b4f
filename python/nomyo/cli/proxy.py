"""`nomyo proxy`: makes a proxy from options and runs it."""

from __future__ import annotations

import os
import secrets
import shlex
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Annotated, Final

import typer

from nomyo import NomyoError, SecureCompletionClient
from nomyo._finite_json import ascii_json
from nomyo._terminal_text import visible_line
from nomyo._warn import log_named
from nomyo.cli.command_app import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    bad_option,
    command_app,
    manual,
    report,
    report_failure,
    run,
    shortfalls_of_hardening,
)
from nomyo.cli.model_options import MODEL_VARIABLE, PROXY_MODEL_VARIABLES, Aliases, Models, names_of_models
from nomyo.cli.proxy_client import proxy_client
from nomyo.cli.router_options import HideMemory, RouterOptions, SecurityTier, check_api_key, takes_router_options
from nomyo.cli.streams import is_stdout_error
from nomyo.cli.tls_files import refuse_unusable_tls_files
from nomyo.serve.listener import Listener
from nomyo.serve.log import LogLevel, log_to_stderr
from nomyo.serve.proxy.app import create_app
from nomyo.serve.proxy.config import DEFAULT_PORT, ProxyConfig
from nomyo.serve.proxy.model_names import Alias
from nomyo.serve.server import serve

_log = log_named("nomyo.proxy")
_LONGEST_TOKEN_BYTES: Final = 4096
_TOKEN_VARIABLE: Final = "NOMYO_PROXY_TOKEN"  # noqa: S105 - the name of a variable
_NEW: Final = "new"
_OTHERS_MAY_READ: Final = 0o077
_DEFAULTS: Final = ProxyConfig(token=None)
app = command_app()
# What the library calls otherwise.
_OPTIONS: Final = {"max_connections": "--concurrency"}
_PROXY = manual(
    examples={
        "nomyo proxy --open": "A proxy, and its page in the browser:",
        "nomyo proxy --model Qwen/Qwen3-0.6B --token-file token": "One model on offer, and a token that stays:",
        "nomyo proxy --alias 'claude-*=Qwen/Qwen3-0.6B'": "For programs that insist on names of their own:",
    },
    exit_codes={
        0: "It was stopped by Ctrl-C or SIGTERM.",
        1: "It could not start.",
        2: "The command cannot be run as asked.",
    },
    environment={
        **API_KEY_VARIABLE,
        **BASE_URL_VARIABLE,
        _TOKEN_VARIABLE: "The token that callers need, without --token-file.",
        **PROXY_MODEL_VARIABLES,
        **MODEL_VARIABLE,
    },
    files={"DIR/private_key.pem, DIR/public_key.pem": "The key pair, with --key-dir DIR; none is written without."},
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, "nomyo proxy")


@app.command(cls=_PROXY)
@takes_router_options
def proxy(
    host: Annotated[str, typer.Option(metavar="NAME", help="Name or address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = DEFAULT_PORT,
    *,
    router: RouterOptions,
    security_tier: SecurityTier = None,
    max_retries: Annotated[int, typer.Option(metavar="N", help="Further attempts if the router fails.", min=0)] = 2,
    model: Models = None,
    alias: Aliases = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help=f"File with the token that callers need; else {_TOKEN_VARIABLE}, else a new one."
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Serve every program and every user of this machine.")
    ] = False,
    max_body: Annotated[
        int, typer.Option(metavar="N", help="Bytes that a request may measure.", min=1)
    ] = _DEFAULTS.max_body_bytes,
    concurrency: Annotated[
        int, typer.Option(metavar="N", help="Requests at the router at once.", min=1)
    ] = _DEFAULTS.max_at_once,
    queue: Annotated[
        int, typer.Option(metavar="N", help="Requests that wait; more get 429.", min=0)
    ] = _DEFAULTS.max_waiting,
    grace: Annotated[
        int, typer.Option(metavar="SECONDS", help="Seconds that requests get when the proxy stops.", min=0)
    ] = 30,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen where other machines reach it: they send in clear.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name under which it is reached, NAME or NAME:PORT; repeatable."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="PATH", help="PEM file: the certificate chain.", dir_okay=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="PATH", help="PEM file: its private key.", dir_okay=False)
    ] = None,
    hide_memory: HideMemory = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line instead of words.")] = False,
    log_level: Annotated[
        LogLevel, typer.Option(metavar="info|warning|error", help="What the log on stderr tells.")
    ] = LogLevel.WARNING,
) -> None:
    """Run an OpenAI-compatible server on this machine. It seals every request so that only the router can open it.

    It offers POST /v1/chat/completions, /v1/responses and /v1/messages, GET /v1/models, /healthz, /metrics, and a page
    to chat at /. Programs use its URL in place of OpenAI's or Anthropic's, and its token as the API key. The router's
    API key comes from NOMYO_API_KEY.
    """
    log_to_stderr(log_level)
    if no_token and token_file is not None:
        raise typer.BadParameter("give --token-file or --no-token, not both")
    check_api_key()
    for shortfall in shortfalls_of_hardening(hide_memory=hide_memory):
        _log.warning(shortfall)
    try:
        token = None if no_token else _token(token_file)
        config = ProxyConfig(
            token=token.value if token else None,
            listener=Listener(host, port, tls_cert, tls_key),
            allow_remote=allow_remote,
            allowed_hosts=frozenset(allow_host or ()),
            models=names_of_models(model),
            aliases=tuple(map(Alias.parse, names_of_models(alias))),
            security_tier=security_tier and security_tier.value,
            max_body_bytes=max_body,
            max_at_once=concurrency,
            max_waiting=queue,
        )
        refuse_unusable_tls_files("nomyo proxy", config.listener)
        client = proxy_client(
            **router.of_client(),
            max_retries=max_retries,
            max_connections=concurrency,
        )
    except (ValueError, TypeError) as error:
        raise bad_option(error, _OPTIONS) from None
    except (NomyoError, OSError) as error:
        report_failure("nomyo proxy", error)
        raise typer.Exit(1) from None
    raise typer.Exit(_run(config, client, grace, _Greeting(token, as_json, open_page)))


@dataclass(frozen=True, slots=True)
class _Token:
    """The token that callers need, where it came from, and what stands for it on stdout.

    Journals and logs of containers keep stdout, so only a token that the proxy drew itself is printed.
    """

    value: str = field(repr=False)
    origin: str
    in_shell: str  # for a shell, which puts the value in its place

    @property
    def printed(self) -> str | None:
        """The value, if nobody else has it."""
        return self.value if self.origin == _NEW else None


def _token(path: Path | None) -> _Token:
    if path is not None:
        # `cat` takes a path that begins with "-" for an option.
        name = f"./{path}" if str(path).startswith("-") else str(path)
        return _Token(_token_in(path), "--token-file", f'"$(cat {shlex.quote(visible_line(name))})"')
    if value := os.environ.get(_TOKEN_VARIABLE):
        return _Token(value, _TOKEN_VARIABLE, f"${_TOKEN_VARIABLE}")
    value = secrets.token_urlsafe(32)
    return _Token(value, _NEW, value)


def _token_in(path: Path) -> str:
    if os.name == "posix" and path.stat().st_mode & _OTHERS_MAY_READ:
        _log.warning("the token's file can be read by others: chmod 600 keeps it yours")
    with path.open("rb") as file:
        token = file.read(_LONGEST_TOKEN_BYTES + 1)
    if len(token) > _LONGEST_TOKEN_BYTES:
        raise ValueError(f"the token's file has no end, or more than {_LONGEST_TOKEN_BYTES:,} bytes")
    try:
        return token.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("the token's file is not UTF-8") from None


@dataclass(frozen=True, slots=True)
class _Greeting:
    """Prints how to use the proxy, once it serves."""

    token: _Token | None
    as_json: bool
    open_page: bool

    def __call__(self, url: str) -> None:
        printed = self.token.printed if self.token else None
        page_url = _page_url(url, printed)
        if self.as_json:
            origin = self.token.origin if self.token else None
            said = {"token": printed, "token_from": origin, "page_url": page_url}
            typer.echo(ascii_json({"url": url, "base_url": f"{url}/v1", **said}))
        else:
            typer.echo(_words(url, self.token, page_url))
        if self.open_page:  # in a thread: some browsers only return when they are closed
            page_url = _page_url(url, self.token.value if self.token else None)
            with suppress(RuntimeError):  # there is no thread for it, but the page's address was printed
                Thread(target=webbrowser.open, args=(page_url,), name="nomyo-browser", daemon=True).start()


def _page_url(url: str, token: str | None) -> str:
    return f"{url}/" if token is None else f"{url}/#token={token}"


def _words(url: str, token: _Token | None, page_url: str) -> str:
    asks = " asks for the token" if token and token.printed is None else ""
    return (
        f"nomyo proxy ready url={url}\n"
        f"  programs:  OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={token.in_shell if token else 'none-needed'}\n"
        f"  page:      {page_url}{asks}\n"
        "  Ctrl-C stops."
    )


def _run(config: ProxyConfig, client: SecureCompletionClient, grace_s: int, greeting: _Greeting) -> int:
    _warn(config)
    try:
        serve(create_app(config, client), config.listener, greeting, grace_s=grace_s)
    except OSError as error:
        if is_stdout_error(error):
            raise
        words = f"cannot serve on {config.listener.host}, port {config.listener.port}"
        report("nomyo proxy", f"{words}: {error.strerror or error}")
        return 1
    finally:
        client.dispose()
    return 0


def _warn(config: ProxyConfig) -> None:
    if config.remote:
        _log.warning("OTHER MACHINES CAN REACH THIS PROXY, and what they send to it is not sealed on the way here")
    if config.listener.in_clear_beyond_this_machine:
        _log.warning("it speaks plain HTTP: prompts, answers and the token can be READ BY WHOEVER IS ON THE WAY")
    if config.token is None:
        _log.warning("no token is needed: every program and every user of this machine can use it, at your expense")
