"""What all commands have in common: help with the sections of a man page, and words on stderr instead of tracebacks."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from nomyo import _core
from nomyo.errors import APIError, NomyoError
from nomyo.exchange.settings import KEY_SIZES

FAILED: Final = 1
USAGE: Final = 2
# Of click's, which some versions of typer bring along as a part of their own.
_UsageError: Final[Any] = typer.BadParameter.__base__
# What can go wrong with what a command was asked to do.
FAILURES: Final = (NomyoError, OSError, ValueError, TypeError, MemoryError)
# What a shell reports of a program that SIGINT ended.
INTERRUPTED: Final = 130

# Options that the library has by the same names.
_ALIKE: Final = ("security_tier", "server_key_fingerprint", "max_retries", "key_dir")

API_KEY_VARIABLE: Final = {"NOMYO_API_KEY": "Bearer token for the router. No option takes it: `ps` would show it."}
BASE_URL_VARIABLE: Final = {"NOMYO_BASE_URL": "The router, where --base-url does not name it."}
NO_COLOR_VARIABLE: Final = {"NO_COLOR": "Where it is set, nothing is printed in colour."}


def key_sizes(incomplete: str) -> list[str]:
    """Return what the size of a key may be, for a shell that completes it."""
    return [size for size in map(str, KEY_SIZES) if size.startswith(incomplete)]


def command_app(help_text: str | None = None, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """Make the application of a command; of several with one name, `help_text` and `cls` (`group_manual`) are the help.

    Help is plain text that wraps at the terminal's width. Tracebacks of typer's own would show local variables, which
    may hold secrets.
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
        examples: Command lines, and what each does.
        exit_codes: What each means.
        environment: Variables that are read.
        files: What is read or written.
    """
    lists = {
        "Exit codes": {str(code): meaning for code, meaning in exit_codes.items()},
        "Environment": environment or {},
        "Files": files or {},
    }

    class Command(TyperCommand):
        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            _write_sections(formatter, examples, lists)

    return Command


def group_manual(
    *, examples: Mapping[str, str], exit_codes: Mapping[int, str], files: Mapping[str, str]
) -> type[TyperGroup]:
    """Make the class of a group of commands whose help ends as that of `manual`."""
    lists = {"Exit codes": {str(code): meaning for code, meaning in exit_codes.items()}, "Files": files}

    class Group(TyperGroup):
        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            _write_sections(formatter, examples, lists)

    return Group


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
    """Run a command; leaves with SystemExit, as click does. With --json, wrong use is told as JSON, too.

    Args:
        name: As it is typed, "nomyo chat".
    """
    warnings.showwarning = lambda message, *_, **__: tell(name, f"warning: {message}")
    if "--json" not in arguments:
        app(args=list(arguments), prog_name=name)
        return 0
    try:
        code = app(args=list(arguments), prog_name=name, standalone_mode=False)
    except _UsageError as error:
        _tell_json("UsageError", error.format_message())
        raise SystemExit(error.exit_code) from None
    except typer.Abort:
        raise SystemExit(FAILED) from None
    raise SystemExit(code or 0)


def bad_option(error: ValueError | TypeError, names: Mapping[str, str]) -> typer.BadParameter:
    """Return an error of the library's as one of the command line's, which names options.

    Args:
        error: Shows no content.
        names: The library's names for options, beside those that are alike, and the options.
    """
    options = {name: "--" + name.replace("_", "-") for name in _ALIKE} | {**names}
    words = re.sub(rf"\b({'|'.join(options)})\b", lambda found: options[found[0]], str(error))
    return typer.BadParameter(re.sub(r"^timeout(?= must )", "--timeout", words))


def harden(name: str) -> None:
    """Switch off core dumps and ptrace by others, for a process that is about to hold secrets."""
    try:
        _core.harden_process()
    except OSError as error:
        tell(name, f"warning: core dumps and ptrace could not be switched off: {error.strerror}")


def tell(name: str, text: str) -> None:
    """Say something on stderr, in the name of a command."""
    typer.echo(f"{name}: {text}", err=True)


def tell_failure(name: str, error: BaseException, *, as_json: bool = False) -> None:
    """Say on stderr what went wrong: in words, or as one line of JSON."""
    words = in_words(error)
    if not as_json:
        tell(name, words)
        return
    code = getattr(error, "status_code", None)
    _tell_json(type(error).__name__, words, **({} if code is None else {"status_code": code}))


def exit_code(error: BaseException) -> int:
    """Return what a command ends with after a failure: 2 where its input is the mistake, 1 where the work failed.

    The library's ValueError and TypeError are mistakes in the call itself (`nomyo.errors`).
    """
    of_the_world = isinstance(error, (NomyoError, OSError))  # some of ssl's are ValueErrors, too
    return USAGE if isinstance(error, (ValueError, TypeError)) and not of_the_world else FAILED


def _tell_json(kind: str, message: str, **more: Any) -> None:
    print(json.dumps({"error": {"type": kind, "message": message, **more}}), file=sys.stderr)


def in_words(error: BaseException) -> str:
    """Return what an error says to people; no error of ours shows content."""
    if isinstance(error, APIError):
        remedy = "; the API key is taken from NOMYO_API_KEY" if error.status_code == HTTPStatus.UNAUTHORIZED else ""
        return f"the router refused (HTTP {error.status_code}): {error.message}{remedy}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        notes = [f"; {note}" for note in getattr(error, "__notes__", ())]
        return "".join([where, error.strerror or type(error).__name__, *notes])
    return str(error) or type(error).__name__
