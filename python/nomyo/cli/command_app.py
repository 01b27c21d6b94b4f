"""The base of all commands: help with the sections of a man page, and messages on stderr instead of tracebacks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from http import HTTPStatus
from itertools import takewhile
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from nomyo import _core
from nomyo._terminal_text import visible_line
from nomyo.cli.path_arguments import refuse_empty_paths, refuse_folder_names
from nomyo.cli.plain_values import read_plain_values
from nomyo.cli.router_options import RouterOptions, with_default_file
from nomyo.cli.streams import is_stdout_error, write_failure_as_json, write_stderr
from nomyo.errors import APIError, NomyoError
from nomyo.exchange.settings import KEY_SIZES

HELP_OPTIONS: Final = ["--help", "-h"]
FAILED: Final = 1
USAGE: Final = 2
# Of click's, which some versions of typer bring along as a part of their own.
_UsageError: Final[Any] = typer.BadParameter.__base__
# Before typer's own words about a value, if typer has pydantic judge it.
_OF_PYDANTIC: Final = "Value error, "
# What can go wrong with what a command was asked to do.
FAILURES: Final = (NomyoError, OSError, ValueError, TypeError, MemoryError)

# The library's names for options, as they are typed. A name of one word may be another word of a message.
_TYPED: Final = {
    name: "--" + name.replace("_", "-")
    for name in (*(each.name for each in fields(RouterOptions)), "security_tier", "max_retries")
    if "_" in name
} | {"key_rotation_dir": "--key-dir"}

# The beginning of what the library says of a directory that the system refuses (exchange/key_files.py).
_OF_KEY_DIR: Final = re.compile(r"key(_rotation)?_dir cannot be used\b")

API_KEY_VARIABLE: Final = {"NOMYO_API_KEY": "Bearer token for the router. No option takes it: `ps` would show it."}
BASE_URL_VARIABLE: Final = {"NOMYO_BASE_URL": "The router, if --base-url does not name it."}
NO_COLOR_VARIABLE: Final = {"NO_COLOR": "If it is set, nothing is printed in colour."}


def key_sizes(incomplete: str) -> list[str]:
    """Return the allowed key sizes, for a shell that completes them."""
    return [size for size in map(str, KEY_SIZES) if size.startswith(incomplete)]


def command_app(help_text: str | None = None, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """Make the application of a command.

    For a group of subcommands, `help_text` and `cls` (`group_manual`) are its help. Help is plain text that wraps at
    the terminal's width. Typer's own tracebacks are off, because they show local variables, which may hold secrets.
    """
    return typer.Typer(
        help=help_text, cls=cls, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )


def manual(
    *,
    examples: Mapping[str, str],
    exit_codes: Mapping[int, str],
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> type[TyperCommand]:
    """Make the class of a command whose help ends with the sections of a man page.

    Args:
        examples: Command lines, each with what it does.
        exit_codes: Exit codes, each with its meaning.
        environment: The variables that the command reads, each with its meaning.
        files: The files that the command reads or writes, each with its meaning.
    """
    lists = {
        "Exit codes": {str(code): meaning for code, meaning in exit_codes.items()},
        "Environment": environment or {},
        "Files": files or {},
    }

    class Command(TyperCommand):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.context_settings["help_option_names"] = HELP_OPTIONS
            _hide_types(self.params)

        def get_params(self, ctx: Any) -> list[Any]:
            return read_plain_values(super().get_params(ctx))

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            given = list(args)
            rest = super().parse_args(ctx, with_default_file(args))
            refuse_empty_paths(self.params, ctx.params, given)
            refuse_folder_names(self.params, ctx.params, given)
            return rest

        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            _write_sections(formatter, examples, lists)

    return Command


def group_manual(
    *, examples: Mapping[str, str], exit_codes: Mapping[int, str], files: Mapping[str, str]
) -> type[TyperGroup]:
    """Make the class of a group of commands whose help ends as that of `manual`."""
    lists = {"Exit codes": {str(code): meaning for code, meaning in exit_codes.items()}, "Files": files}

    class Group(TyperGroup):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.context_settings["help_option_names"] = HELP_OPTIONS

        def get_params(self, ctx: Any) -> list[Any]:
            return read_plain_values(super().get_params(ctx))

        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            _write_sections(formatter, examples, lists)

    return Group


def _hide_types(parameters: Sequence[Any]) -> None:
    """Have help show arguments by their names alone: typer adds Python's types (`PROMPT <str>`)."""
    for each in parameters:
        if each.param_type_name == "argument":
            each.display_type_rich = lambda ctx: None


def _write_sections(formatter: Any, examples: Mapping[str, str], lists: Mapping[str, Mapping[str, str]]) -> None:
    with formatter.section("Examples"):
        for line, purpose in examples.items():
            formatter.write_text(purpose)
            # A command line is copied, so it is not wrapped.
            formatter.write(f"{'':{formatter.current_indent + 2}}{line}\n")
    for title, entries in lists.items():
        if entries:
            with formatter.section(title):
                formatter.write_dl(list(entries.items()))


def run(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    """Run a command; leaves with SystemExit, as click does. Errors of wrong use show control characters as escapes.

    With --json, errors of wrong use are written as JSON.

    Args:
        name: The command as it is typed: "nomyo chat".
    """
    warnings.showwarning = lambda message, *_, **__: report(name, f"warning: {message}")
    as_json = "--json" in own_words(arguments)
    try:
        code = app(args=list(arguments), prog_name=name, standalone_mode=False)
    except _UsageError as error:
        _report_wrong_use(error, as_json=as_json)
        raise SystemExit(error.exit_code) from None
    except typer.Abort:
        if not as_json:
            write_stderr("Aborted!")
        raise SystemExit(FAILED) from None
    raise SystemExit(code or 0)


def own_words(arguments: Sequence[str]) -> Sequence[str]:
    """Return the words before `--`: what stands after it may be another program's."""
    return [*takewhile(lambda word: word != "--", arguments)]


def _report_wrong_use(error: Any, *, as_json: bool) -> None:
    error.message = error.message.removeprefix(_OF_PYDANTIC)
    if as_json:
        write_failure_as_json("UsageError", error.format_message())
        return
    error.message = visible_line(error.message)  # click builds its output from this
    error.show()


def bad_option(error: ValueError | TypeError, names: Mapping[str, str]) -> typer.BadParameter:
    """Return an error of the library as an error of the command line, which names options as they are typed.

    Args:
        error: The library's error, which shows no content.
        names: The options whose name in the library differs, by that name.
    """
    options = _TYPED | {**names}
    # Between quotation marks stands what the user named: a column may be called as an option.
    words = re.sub(rf"(?<!['\w])({'|'.join(options)})(?!['\w])", lambda found: options[found[0]], str(error))
    return typer.BadParameter(re.sub(r"^timeout(?= must )", "--timeout", words))


def harden(name: str, *, hide_memory: bool = False) -> None:
    """Do what `shortfalls_of_hardening` does, and write a warning of each to stderr."""
    for shortfall in shortfalls_of_hardening(hide_memory=hide_memory):
        report(name, f"warning: {shortfall}")


def shortfalls_of_hardening(*, hide_memory: bool) -> list[str]:
    """Switch off core dumps and ptrace by others, for a process that is about to hold secrets; hide memory if asked.

    Returns:
        What could not be done, and why.
    """
    shortfalls = []
    try:
        _core.harden_process()
    except OSError as error:
        shortfalls.append(f"core dumps and ptrace could not be switched off: {error.strerror}")
    if hide_memory and (refusal := _core.hide_memory()):
        shortfalls.append(f"memory stays locked, but root can read it: {refusal}")
    return shortfalls


def report(name: str, text: str) -> None:
    """Write a message to stderr in one line that begins with the command's name; never fails."""
    write_stderr(f"{name}: {visible_line(text)}")


def report_failure(name: str, error: BaseException, *, as_json: bool = False) -> None:
    """Write to stderr what went wrong: as a message, or as one line of JSON.

    Raises:
        OSError: The error is stdout's; `nomyo.cli.entry` reports it for all commands.
    """
    if is_stdout_error(error):
        raise error
    words = failure_text(error)
    if not as_json:
        report(name, words)
        return
    code = getattr(error, "status_code", None)
    write_failure_as_json(type(error).__name__, words, **({} if code is None else {"status_code": code}))


def exit_code(error: BaseException) -> int:
    """Return a command's exit code after a failure: 2 if its input is wrong, 1 if the work failed.

    The library's ValueError and TypeError are mistakes in the call itself (`nomyo.errors`). Their subclasses are not:
    the standard library raises those from inside (ssl's certificate errors, UnicodeError, JSONDecodeError).
    """
    return USAGE if type(error) in (ValueError, TypeError) else FAILED


def failure_text(error: BaseException) -> str:
    """Return the text of an error for people; no error of ours shows content."""
    if isinstance(error, APIError):
        if error.no_router:
            return error.message
        of_api_key = error.sent and error.status_code == HTTPStatus.UNAUTHORIZED
        remedy = "; the API key is taken from NOMYO_API_KEY" if of_api_key else ""
        refused = f"the router refused (HTTP {error.status_code}): "
        return f"{'' if f'HTTP {error.status_code}' in error.message else refused}{error.message}{remedy}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        notes = [f"; {note}" for note in getattr(error, "__notes__", ())]
        return "".join([where, _with_typed_key_dir(error.strerror or type(error).__name__), *notes])
    return str(error) or type(error).__name__


def _with_typed_key_dir(words: str) -> str:
    """Return an error's words; if they are about the option for a key directory, with the option as it is typed."""
    if not _OF_KEY_DIR.match(words):
        return words
    return _OF_KEY_DIR.sub("--key-dir cannot be used", words).replace("key_dir=None", "a command without --key-dir")
