"""`nomyo chat`: options in, an answer or a conversation out."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from nomyo.cli.chat.display import Display
from nomyo.cli.chat.one_prompt import NAME, ask, ask_in_secret
from nomyo.cli.chat.prompt_source import IDLE_S, is_stdin, open_secret, whole_prompt
from nomyo.cli.chat.request import ChatSettings
from nomyo.cli.command_app import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    FAILURES,
    NO_COLOR_VARIABLE,
    bad_option,
    command_app,
    exit_code,
    harden,
    manual,
    report_failure,
    run,
)
from nomyo.cli.key_password import password_for
from nomyo.cli.model_options import MODEL_VARIABLE, Model
from nomyo.cli.quiet_imports import INTERRUPTED, ended_quietly_by_interrupt
from nomyo.cli.router_options import HideMemory, RouterOptions, SecurityTier, check_api_key, takes_router_options
from nomyo.cli.utf8_argument import utf8_argument
from nomyo.errors import SecurityError
from nomyo.exchange.wrong_address import PLAIN_HTTP
from nomyo.memory import SecureBuffer

if TYPE_CHECKING:
    from nomyo.client import SecureCompletionClient

app = command_app()
_Act: TypeAlias = "Callable[[SecureCompletionClient], Awaitable[None]]"
# What the library calls otherwise.
_OPTIONS: Final = {"key_rotation_password": "the password"}
_CHAT = manual(
    examples={
        "nomyo chat --model Qwen/Qwen3-0.6B": "A conversation:",
        "nomyo chat --model Qwen/Qwen3-0.6B 'What is RSA-OAEP?'": "One prompt:",
        "git diff | nomyo chat --model MODEL 'Review this' > review.md": "A text from a pipe, and what to do with it:",
        'while read -r x; do nomyo chat --no-stdin -m MODEL "$x"; done < lines': (
            "In a loop, whose input is not meant for the command:"
        ),
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
        **MODEL_VARIABLE,
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
    model: Model,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What to ask; `-` reads it from stdin.", show_default=False)
    ] = None,
    stdin: Annotated[
        bool | None,
        typer.Option(
            "--stdin/--no-stdin",
            help="Beside PROMPT, wait for stdin to its end, or leave it unread. By default it is read if it is a file, "
            f"or a pipe in which something comes within {IDLE_S:g} s.",
            show_default=False,
        ),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Read the prompt from a file (`-`: stdin) into locked memory; the answer stays there."
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", metavar="TEXT", help="A system message before all others.")
    ] = None,
    security_tier: SecurityTier = None,
    temperature: Annotated[
        float | None, typer.Option(metavar="N", help="0 to 2: how free the model is.", min=0, max=2)
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Longest answer, in tokens.", min=1)] = None,
    *,
    router: RouterOptions,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Holds the password of --key-dir; asked for by default."),
    ] = None,
    max_retries: Annotated[
        int, typer.Option(metavar="N", help="Extra attempts after a failure that may pass.", min=0)
    ] = 2,
    hide_memory: HideMemory = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="In a terminal, show the answer as it is: Markdown is not laid out.")
    ] = False,
    reasoning: Annotated[
        bool, typer.Option("--reasoning", help="Show the model's reasoning, too: before the answer, on stderr.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole answer as JSON, and failures on stderr, too.")
    ] = False,
) -> None:
    """Ask a model, with the request and its answer encrypted end to end.

    The prompt is PROMPT, the content of --secret-file, or what comes through stdin. With none of them, in a terminal, a
    conversation begins: it is kept in memory only and ends with Ctrl-D.

    If something is piped in beside PROMPT, both are sent: what came through stdin, a blank line, and PROMPT. A loop
    that reads its own stdin needs --no-stdin, or the command takes the rest of it.

    The answer goes to stdout: to a pipe as it is, in UTF-8 whatever the locale; to a terminal with its Markdown laid
    out (not with --plain or --secret-file), with control characters shown instead of obeyed, and with escapes for all
    that is not ASCII, unless the terminal's encoding is UTF-8. Everything else goes to stderr. Others can see PROMPT
    and --system in the list of processes.
    """
    _check_source(prompt, secret_file, stdin, password_file)
    _check_use(prompt, secret_file, router.key_dir, password_file, as_json=as_json, reasoning=reasoning)
    check_api_key()
    prompt = None if prompt is None else utf8_argument("the prompt in the arguments", prompt)
    settings = ChatSettings(
        utf8_argument("the model's name", model),
        security_tier and security_tier.value,
        None if system is None else utf8_argument("the text of --system", system),
        _given(temperature=temperature, max_tokens=max_tokens),
    )
    display = Display(plain, reasoning)
    with ended_quietly_by_interrupt():  # not at the top: help and completion need neither asyncio nor a client
        import nomyo.chat  # noqa: F401
        from nomyo._speed import run_loop
    harden(NAME, hide_memory=hide_memory)
    options = router.of_client()
    options["max_retries"] = max_retries
    try:
        with ExitStack() as resources:
            options["key_rotation_password"] = _key_password(resources, router.key_dir, password_file)
            if secret_file is not None:
                secret = resources.enter_context(open_secret(NAME, secret_file, required=router.require_locked_memory))
                act = _secret_question(settings, secret, as_json=as_json)
            elif prompt is None and stdin is None and _at_terminal():
                act = _conversation(settings, display)
            else:
                text = whole_prompt(NAME, prompt, stdin=stdin, password_file=password_file)
                act = _question(settings, text, display, as_json=as_json)
            run_loop(_with_client(options, act))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except FAILURES as error:
        report_failure(NAME, error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None


async def _with_client(options: Mapping[str, Any], act: _Act) -> None:
    from nomyo.client import SecureCompletionClient

    try:
        client = SecureCompletionClient(**options)
    except (ValueError, TypeError) as error:  # an option, which click cannot judge
        raise bad_option(error, _OPTIONS) from None
    async with client:
        if client.settings.plain_http and not client.settings.allow_http:
            raise SecurityError(PLAIN_HTTP)
        await act(client)


def _secret_question(settings: ChatSettings, secret: SecureBuffer, *, as_json: bool) -> _Act:
    return lambda client: ask_in_secret(client, settings, secret, as_json=as_json)


def _question(settings: ChatSettings, text: str, display: Display, *, as_json: bool) -> _Act:
    return lambda client: ask(client, settings, text, display, as_json=as_json)


def _conversation(settings: ChatSettings, display: Display) -> _Act:
    from nomyo.cli.chat.interactive import Interactive

    return lambda client: Interactive(client, settings, display).run()


def _check_source(prompt: str | None, secret_file: Path | None, stdin: bool | None, password_file: Path | None) -> None:
    """Refuse sources of a prompt that exclude each other."""
    if prompt is not None and secret_file is not None:
        raise typer.BadParameter("give a prompt or --secret-file, not both")
    if stdin and secret_file is not None:
        raise typer.BadParameter("--secret-file holds the whole prompt: --stdin adds nothing to it")
    if stdin and is_stdin(password_file):
        raise typer.BadParameter("stdin cannot hold the password and the prompt: give --password-file a file")
    if stdin is False and (prompt in (None, "-") if secret_file is None else is_stdin(secret_file)):
        raise typer.BadParameter("--no-stdin needs a prompt from elsewhere: PROMPT, or a file for --secret-file")


def _check_use(
    prompt: str | None,
    secret_file: Path | None,
    key_dir: Path | None,
    password_file: Path | None,
    *,
    as_json: bool,
    reasoning: bool,
) -> None:
    if as_json and prompt is None and secret_file is None and _at_terminal():
        raise typer.BadParameter("--json needs a prompt: a conversation is for people")
    if reasoning and secret_file is not None and not as_json:
        raise typer.BadParameter("--reasoning does not go with --secret-file: --json shows the whole answer")
    if password_file is not None and key_dir is None:
        raise typer.BadParameter("--password-file needs --key-dir")


def _at_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _key_password(resources: ExitStack, key_dir: Path | None, password_file: Path | None) -> SecureBuffer | None:
    if key_dir is None:
        return None
    password = password_for(NAME, key_dir, password_file)
    return None if password is None else resources.enter_context(password)
