"""The command `nomyo`: finds the subcommand, and says which extra it lacks.

Only the module of the command that was asked for is imported, so `nomyo doctor` works without any extra, and
no command waits for the imports of another.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from nomyo import __version__
from nomyo._install_command import install_command
from nomyo._near_names import near_name
from nomyo._terminal_text import visible_line
from nomyo._threads import MORE_THREADS, is_no_thread
from nomyo.cli.quiet_imports import INTERRUPTED, ended_quietly_by_interrupt
from nomyo.cli.streams import is_stdout_error, standard_streams, write_failure_as_json, write_stderr

_EXTRAS: Final = {
    "cli": ("typer", "rich", "prompt_toolkit"),
    "serve": ("typer", "rich", "prometheus_client", "starlette", "uvicorn"),
}


@dataclass(frozen=True, slots=True)
class _Command:
    module: str
    """Has `main(arguments: list[str]) -> int`."""
    summary: str
    extra: str | None = None


_COMMANDS: Final = {
    "chat": _Command("nomyo.cli.chat.command", "Ask a model, or talk with it, encrypted end to end", "cli"),
    "batch": _Command(
        "nomyo.cli.batch.command", "A file of requests to a file of answers; resumes where it was", "cli"
    ),
    "keys": _Command("nomyo.cli.keys.command", "Make, show, rotate and check the key pair of a client", "cli"),
    "trust": _Command("nomyo.cli.trust.command", "Known keys of routers, attestations, audit logs", "cli"),
    "demo": _Command("nomyo.cli.demo", "An encrypted chat on this machine, and what the wire saw", "serve"),
    "proxy": _Command("nomyo.cli.proxy", "An OpenAI-compatible server here, sealed from here on", "serve"),
    "launch": _Command("nomyo.cli.launch.command", "A coding agent whose requests to its model are sealed", "serve"),
    "models": _Command("nomyo.cli.models", "The models that the proxy lists", "serve"),
    "router": _Command("nomyo.cli.router", "A router for local work; not for production", "serve"),
    "doctor": _Command("nomyo.cli.doctor.command", "How well this machine can protect secrets in memory"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after `nomyo`; None takes those of the process.

    Returns:
        The exit code: 0; 1 if the command failed, or its output could not be written to the end; 2 if it cannot
        be run as asked; 130 after Ctrl-C.
    """
    words = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
    with standard_streams():
        try:
            return _run(words)
        except KeyboardInterrupt:
            return INTERRUPTED
        except OSError as error:
            if not is_stdout_error(error):
                raise
            if not isinstance(error, BrokenPipeError):
                notes = [f"; {note}" for note in getattr(error, "__notes__", ())]
                _report_failure(words, "OSError", "".join([f"{error.filename}: {error.strerror}", *notes]))
            return 1
        except RuntimeError as error:
            if not is_no_thread(error):
                raise
            _report_failure(words, type(error).__name__, f"this machine gives no more threads: {MORE_THREADS}")
            return 1


def _report_failure(words: Sequence[str], kind: str, message: str) -> None:
    if "--json" in words:
        write_failure_as_json(kind, message)
        return
    write_stderr(f"{' '.join(['nomyo', *words[: words[0] in _COMMANDS]])}: {visible_line(message)}")


def _run(words: Sequence[str]) -> int:
    name, *rest = words
    if "_NOMYO_COMPLETE" in os.environ or name in ("--install-completion", "--show-completion"):
        return _complete([name, *rest])
    if name == "help" and rest:
        return _run([*rest, "--help"])
    if name in ("--help", "-h", "help"):
        print(_usage())
        return 0
    if name in ("--version", "-V"):
        print(f"nomyo {__version__}")
        return 0
    command = _COMMANDS.get(name)
    if command is None:
        write_stderr(f"nomyo: there is no such command{_near(name)}\n\n{_usage()}")
        return 2
    if (found := _imported(name, command)) is None:
        return 2
    code: int = found.main(rest)
    return code


def _near(name: str) -> str:
    """Return which command may have been meant, as the end of a sentence."""
    near = near_name(name.lower(), _COMMANDS, cutoff=0.5)
    return "." if near is None else f"; did you mean `nomyo {near}`?"


@ended_quietly_by_interrupt()
def _imported(name: str, command: _Command) -> Any:
    """Return the module of a command. If its extra is missing, write that to stderr and return None."""
    if command.extra and not _has(command.extra):
        write_stderr(f"nomyo {name} needs the extra {command.extra!r}: {visible_line(install_command(command.extra))}")
        return None
    return import_module(command.module)


@ended_quietly_by_interrupt()
def _complete(arguments: Sequence[str]) -> int:
    if not _has("cli"):
        write_stderr(f"nomyo needs the extra 'cli' to complete: {visible_line(install_command('cli'))}")
        return 2
    from nomyo.cli import completion

    return completion.main(arguments, _COMMANDS)


def _has(extra: str) -> bool:
    return all(find_spec(module) is not None for module in _EXTRAS[extra])


def _usage() -> str:
    commands = "\n".join(f"  {name:8} {command.summary}" for name, command in _COMMANDS.items())
    return f"""Usage: nomyo COMMAND [OPTIONS]

{commands}

`nomyo COMMAND --help` tells more. `nomyo --version` prints the version,
`nomyo --install-completion` sets up completion in the shell."""
