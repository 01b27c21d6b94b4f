"""The command `nomyo`: finds the subcommand, and says which extra it lacks.

Only the module of the command that was asked for is imported, so `nomyo doctor` works where no extra is installed, and
no command waits for the imports of another.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from nomyo import __version__

_EXTRAS: Final = {
    "cli": ("typer", "rich", "prompt_toolkit"),
    "serve": ("typer", "rich", "prometheus_client", "starlette", "uvicorn"),
}
_INTERRUPTED: Final = 130  # what a shell reports of a program that SIGINT ended


@dataclass(frozen=True, slots=True)
class _Command:
    module: str
    """Has `main(arguments: list[str]) -> int`."""
    summary: str
    extra: str | None = None


_COMMANDS: Final = {
    "chat": _Command("nomyo.terminal.chat.command", "Ask a model, or talk with it, encrypted end to end", "cli"),
    "batch": _Command("nomyo.batch.command", "A file of requests to a file of answers; resumes where it was", "cli"),
    "keys": _Command("nomyo.terminal.keys.command", "Make, show, rotate and check the key pair of a client", "cli"),
    "demo": _Command("nomyo.serve.demo", "An encrypted chat on this machine, and what the wire saw", "serve"),
    "proxy": _Command("nomyo.serve.proxy.command", "An OpenAI-compatible server here, sealed from here on", "serve"),
    "router": _Command("nomyo.serve.router.command", "A router for local work; not for production", "serve"),
    "doctor": _Command("nomyo.doctor", "How well this machine can protect secrets in memory"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows `nomyo`; the process's own where None.

    Returns:
        The exit code: 0; 1 where the command failed, or nobody reads its output to the end; 2 where it cannot be run
        as asked; 130 after Ctrl-C.
    """
    try:
        code = _run(arguments)
        if sys.stdout is not None:  # it is None where it was closed before the start
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would be tried once more, and fail, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _run(arguments: Sequence[str] | None) -> int:
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
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
        print(f"nomyo: there is no such command.\n\n{_usage()}", file=sys.stderr)
        return 2
    if (found := _imported(name, command)) is None:
        return 2
    code: int = found.main(rest)
    return code


@contextmanager
def _ended_quietly_by_interrupt() -> Iterator[None]:
    """Have Ctrl-C end the process on the spot, as long as there is nothing to wipe or to finish.

    A KeyboardInterrupt may rise from anywhere within an import, also where it is swallowed, or told of on stderr.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # it is ignored in a background job, and no signal is ours to handle in a thread
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@_ended_quietly_by_interrupt()
def _imported(name: str, command: _Command) -> Any:
    """Return the module of a command; None where the extra is missing, which is said."""
    if command.extra and not _has(command.extra):
        print(f"nomyo {name} needs the extra {command.extra!r}: pip install 'nomyo[{command.extra}]'", file=sys.stderr)
        return None
    return import_module(command.module)


@_ended_quietly_by_interrupt()
def _complete(arguments: Sequence[str]) -> int:
    if not _has("cli"):
        print("nomyo needs the extra 'cli' to complete: pip install 'nomyo[cli]'", file=sys.stderr)
        return 2
    from nomyo.terminal import completion

    return completion.main(arguments, _COMMANDS)


def _has(extra: str) -> bool:
    return all(find_spec(module) is not None for module in _EXTRAS[extra])


def _usage() -> str:
    commands = "\n".join(f"  {name:8} {command.summary}" for name, command in _COMMANDS.items())
    return f"""Usage: nomyo COMMAND [OPTIONS]

{commands}

`nomyo COMMAND --help` tells more. `nomyo --version` prints the version,
`nomyo --install-completion` has the shell complete all this."""
