"""What all commands have in common: help with the sections of a man page, and words on stderr instead of tracebacks."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
from typer.core import TyperCommand

from nomyo import _core
from nomyo.errors import APIError, NomyoError

FAILED: Final = 1
# What can go wrong with what a command was asked to do.
FAILURES: Final = (NomyoError, OSError, ValueError, TypeError, MemoryError)
# What a shell reports of a program that SIGINT ended.
INTERRUPTED: Final = 130

API_KEY_VARIABLE: Final = {"NOMYO_API_KEY": "Bearer token for the router. No option takes it: `ps` would show it."}
BASE_URL_VARIABLE: Final = {"NOMYO_BASE_URL": "The router, where --base-url does not name it."}
NO_COLOR_VARIABLE: Final = {"NO_COLOR": "Where it is set, nothing is printed in colour."}


def command_app(help_text: str | None = None) -> typer.Typer:
    """Make the application of a command.

    Help is plain text that wraps at the terminal's width. Tracebacks of typer's own would show local variables, which
    may hold secrets.
    """
    return typer.Typer(help=help_text, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


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
            with formatter.section("Examples"):
                for line, purpose in examples.items():
                    formatter.write_text(purpose)
                    # A command line is copied, so it is not wrapped.
                    formatter.write(f"{'':{formatter.current_indent + 2}}{line}\n")
            for title, entries in lists.items():
                if entries:
                    with formatter.section(title):
                        formatter.write_dl(list(entries.items()))

    return Command


def run(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    """Run a command; leaves with SystemExit, as click does.

    Args:
        name: As it is typed, "nomyo chat".
    """
    warnings.showwarning = lambda message, *_, **__: tell(name, f"warning: {message}")
    app(args=list(arguments), prog_name=name)
    return 0


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
    status = {"status_code": error.status_code} if isinstance(error, APIError) else {}
    print(json.dumps({"error": {"type": type(error).__name__, "message": words, **status}}), file=sys.stderr)


def in_words(error: BaseException) -> str:
    """Return what an error says to people; no error of ours shows content."""
    if isinstance(error, APIError):
        return f"the router refused (HTTP {error.status_code}): {error.message}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or type(error).__name__}"
    return str(error) or type(error).__name__
