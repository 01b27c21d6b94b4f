"""`nomyo chat`: options in, an answer or a conversation out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from nomyo.cli.chat.one_prompt import NAME, ask, ask_in_secret
from nomyo.cli.chat.request import ChatSettings
from nomyo.cli.command_app import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    FAILURES,
    INTERRUPTED,
    NO_COLOR_VARIABLE,
    bad_option,
    command_app,
    exit_code,
    harden,
    manual,
    report,
    report_failure,
    run,
)
from nomyo.cli.key_password import password_for
from nomyo.cli.router_options import RouterOptions, SecurityTier, check_api_key, takes_router_options
from nomyo.cli.utf8_argument import utf8_argument
from nomyo.client import SecureCompletionClient
from nomyo.errors import SecurityError
from nomyo.exchange.passwords import STDIN
from nomyo.exchange.protocol import PAYLOAD_LIMIT_BYTES
from nomyo.memory import SecureBuffer

app = command_app()
_Act: TypeAlias = Callable[[SecureCompletionClient], Awaitable[None]]
# What the library calls otherwise.
_OPTIONS: Final = {"key_rotation_password": "the password"}
_CHAT = manual(
    examples={
        "nomyo chat --model Qwen/Qwen3-0.6B": "A conversation:",
        "nomyo chat --model Qwen/Qwen3-0.6B 'What is RSA-OAEP?'": "One prompt:",
        "git diff | nomyo chat --model MODEL --system 'Review it.' > review.md": "A prompt from a pipe:",
        "nomyo chat --model MODEL --secret-file record --require-locked-memory": (
            "A prompt and an answer that are never outside of locked memory here:"
        ),
    },
    exit_codes={
        0: "The answer was written; or the conversation was left.",
        1: "The request failed: refused, no answer, or going on would not have been safe. Nobody read the answer.",
        2: "The command cannot be run as asked.",
        130: "Interrupted with Ctrl-C.",
    },
    environment={
        **API_KEY_VARIABLE,
        **BASE_URL_VARIABLE,
        "NOMYO_MODEL": "The model, if --model does not name it.",
        **NO_COLOR_VARIABLE,
    },
    files={"DIR/private_key.pem, DIR/public_key.pem": "The key pair, with --key-dir DIR; none is written without."},
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)


@app.command(cls=_CHAT)
@takes_router_options
def chat(
    model: Annotated[str, typer.Option(help="The model's ID.", envvar="NOMYO_MODEL")],
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What to ask; `-` reads it from stdin.", show_default=False)
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Read the prompt from a file (`-`: stdin) into locked memory; the answer stays there."
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message before all others.")] = None,
    security_tier: SecurityTier = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 2: how free the model is.", min=0, max=2)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.", min=1)] = None,
    *,
    router: RouterOptions,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Holds the password of --key-dir; asked for by default."),
    ] = None,
    max_retries: Annotated[int, typer.Option(help="Extra attempts after a failure that may pass.", min=0)] = 2,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole answer as JSON, and failures on stderr, too.")
    ] = False,
) -> None:
    """Ask a model, with the request and its answer encrypted end to end.

    The prompt is PROMPT, the content of --secret-file, or what comes through stdin. With none of them, in a terminal, a
    conversation begins: it is kept in memory only and ends with Ctrl-D.

    With PROMPT or --secret-file (other than `-`), stdin is not read: text that is piped in is then NOT sent, and
    nothing warns of it. Use --system to say what to do with a piped text.

    The answer goes to stdout: to a pipe as it is, in UTF-8 whatever the locale; to a terminal with control characters
    shown instead of obeyed, and with escapes for all that is not ASCII, unless the terminal's encoding is UTF-8.
    Everything else goes to stderr. Others can see PROMPT and --system in the list of processes.
    """
    _check_use(prompt, secret_file, router.key_dir, password_file, as_json)
    check_api_key()
    prompt = None if prompt is None else utf8_argument("the prompt in the arguments", prompt)
    settings = ChatSettings(
        utf8_argument("the model's name", model),
        security_tier and security_tier.value,
        None if system is None else utf8_argument("the text of --system", system),
        _given(temperature=temperature, max_tokens=max_tokens),
    )
    harden(NAME)
    options = router.of_client()
    options["max_retries"] = max_retries
    try:
        with ExitStack() as resources:
            options["key_rotation_password"] = _key_password(resources, router.key_dir, password_file)
            act = _choose_action(
                resources, settings, prompt, secret_file, as_json=as_json, lock=router.require_locked_memory
            )
            asyncio.run(_with_client(options, act))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except FAILURES as error:
        report_failure(NAME, error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None


async def _with_client(options: Mapping[str, Any], act: _Act) -> None:
    try:
        client = SecureCompletionClient(**options)
    except (ValueError, TypeError) as error:  # an option, which click cannot judge
        raise bad_option(error, _OPTIONS) from None
    async with client:
        if client.settings.plain_http and not client.settings.allow_http:
            raise SecurityError("the router's URL is plain HTTP: use https://, or --allow-http for local work")
        await act(client)


def _choose_action(
    resources: ExitStack,
    settings: ChatSettings,
    prompt: str | None,
    secret_file: Path | None,
    *,
    as_json: bool,
    lock: bool,
) -> _Act:
    """Return what is to be done with a client; `resources` keeps what it needs until the end."""
    if secret_file is not None:
        secret = resources.enter_context(_secret(secret_file, required=lock))
        return lambda client: ask_in_secret(client, settings, secret, as_json=as_json)
    if prompt is None and _at_terminal():
        from nomyo.cli.chat.interactive import Interactive

        return lambda client: Interactive(client, settings).run()
    text = _read_stdin() if prompt in (None, "-") else str(prompt)
    if not text.strip():
        raise typer.BadParameter("the prompt is empty")
    return lambda client: ask(client, settings, text, as_json=as_json)


def _check_use(
    prompt: str | None, secret_file: Path | None, key_dir: Path | None, password_file: Path | None, as_json: bool
) -> None:
    if prompt is not None and secret_file is not None:
        raise typer.BadParameter("give a prompt or --secret-file, not both")
    if as_json and prompt is None and secret_file is None and _at_terminal():
        raise typer.BadParameter("--json needs a prompt: a conversation is for people")
    if password_file is not None and key_dir is None:
        raise typer.BadParameter("--password-file needs --key-dir")


def _at_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _read_stdin() -> str:
    if sys.stdin is None:
        raise typer.BadParameter("there is no prompt, and no stdin to read it from")
    content = sys.stdin.buffer.read(PAYLOAD_LIMIT_BYTES + 1)
    if len(content) > PAYLOAD_LIMIT_BYTES:
        raise typer.BadParameter(f"the prompt on stdin has no end, or more than {PAYLOAD_LIMIT_BYTES:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise typer.BadParameter("the prompt on stdin is not UTF-8") from None  # the error itself holds all of it


def _secret(path: Path, *, required: bool) -> SecureBuffer:
    secret = SecureBuffer.from_file(STDIN if str(path) == "-" else path)
    if not secret:
        secret.close()
        raise typer.BadParameter("the secret file is empty")
    if not secret.locked:
        if required:
            secret.close()
            raise SecurityError("the secret file does not fit into locked memory: `nomyo doctor` says what would help")
        report(NAME, "warning: the secret file could not be locked in memory: `nomyo doctor` says what would help")
    return secret


def _key_password(resources: ExitStack, key_dir: Path | None, password_file: Path | None) -> SecureBuffer | None:
    if key_dir is None:
        return None
    password = password_for(NAME, key_dir, password_file)
    return None if password is None else resources.enter_context(password)
