"""Where a prompt comes from: the arguments, stdin, or both; or a secret file.

Beside PROMPT, stdin is read if something is connected to it on purpose, as far as the kernel can tell:

- A file is read. A terminal, /dev/null and other devices are not.
- A pipe or a socket is read if its first byte, or its end, comes within `IDLE_S`. cron, ssh, CI systems and supervisors
  leave pipes open that nobody ever writes to, so without this bound the command would wait forever, as `llm` and `mods`
  do. If nothing comes, a warning says so, and PROMPT is sent alone. --stdin waits without a bound.
- What another option reads (the password of --key-dir) is not read here: it would be sent to the model.

Without PROMPT, stdin is the prompt, and is waited for.

If what has begun does not end within `IDLE_S` (some parents keep their end of a pipe open), a message says that it is
being read, and reading goes on. No message comes with --stdin, or if a person types.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import typer

from nomyo.cli.command_app import report
from nomyo.cli.streams import is_console
from nomyo.errors import SecurityError
from nomyo.exchange.passwords import STDIN
from nomyo.exchange.protocol import PAYLOAD_LIMIT_BYTES
from nomyo.memory import SecureBuffer

IDLE_S: Final = 5.0
_PIECE_BYTES: Final = 1 << 16  # a pipe of Linux holds as much (pipe(7))


def whole_prompt(name: str, prompt: str | None, *, stdin: bool | None, password_file: Path | None) -> str:
    """Return the text to send: what stdin has, a blank line, and the prompt of the arguments; or the one there is.

    Args:
        name: The command's name, for warnings.
        prompt: PROMPT; None or "-" if stdin has the prompt.
        stdin: Whether stdin is read beside PROMPT; None decides by what stdin is.
        password_file: Holds a password, and may be stdin.

    Raises:
        typer.BadParameter: There is no prompt, or stdin is too long or not UTF-8.
    """
    if prompt in (None, "-"):
        late = f"still reading the prompt from stdin, which has not ended in {IDLE_S:g} s"
        text = _read_stdin(None if _is_typed() else partial(report, name, late))
    elif not str(prompt).strip():
        text = ""
    else:
        piped = _beside_prompt(name, stdin, password_file)
        text = "\n\n".join([piped.rstrip("\r\n"), str(prompt)]) if piped.strip() else str(prompt)
    if not text.strip():
        raise typer.BadParameter("the prompt is empty")
    return text


def open_secret(name: str, path: Path, *, required: bool) -> SecureBuffer:
    """Read the prompt of --secret-file into locked memory.

    Raises:
        typer.BadParameter: The file is empty.
        SecurityError: It cannot be locked, and `required` is True.
    """
    secret = SecureBuffer.from_file(STDIN if str(path) == "-" else path)
    if not secret:
        secret.close()
        raise typer.BadParameter("the secret file is empty")
    if not secret.locked:
        if required:
            secret.close()
            raise SecurityError("the secret file does not fit into locked memory: `nomyo doctor` says what would help")
        report(name, "warning: the secret file could not be locked in memory: `nomyo doctor` says what would help")
    return secret


def is_stdin(path: Path | None) -> bool:
    """Return whether a path names stdin: "-", /dev/stdin, or the file that is connected to it."""
    if path is None or str(path) == "-":
        return path is not None
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdin.fileno()))
    except (OSError, ValueError):
        return False


def _beside_prompt(name: str, stdin: bool | None, password_file: Path | None) -> str:
    """Return what stdin has beside PROMPT; "" if it is not to be read, or nobody writes there."""
    kind = _kind_of_stdin()
    if stdin is False or kind is None or is_stdin(password_file):
        return ""
    if stdin or stat.S_ISREG(kind):
        return _read_stdin(None)
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return ""
    if _comes_within(IDLE_S):
        late = f"still reading stdin, which has not ended in {IDLE_S:g} s: --no-stdin leaves it unread"
        return _read_stdin(partial(report, name, late))
    report(
        name,
        f"warning: nothing came through stdin for {IDLE_S:g} s, so PROMPT is sent alone: --stdin waits for it, "
        "--no-stdin leaves it unread",
    )
    return ""


def _kind_of_stdin() -> int | None:
    """Return the file mode of stdin; None if there is no stdin."""
    try:
        return os.fstat(sys.stdin.fileno()).st_mode if sys.stdin is not None else None
    except (OSError, ValueError):
        return None


def _is_typed() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _comes_within(seconds: float) -> bool:
    """Wait for the next byte of stdin, or its end; return whether it came."""
    try:
        return bool(select.select([sys.stdin.fileno()], [], [], seconds)[0])
    except OSError:  # Windows: select knows sockets alone
        return True


def _read_stdin(tell_late: Callable[[], object] | None) -> str:
    """Return what comes through stdin until its end.

    Args:
        tell_late: Is called once if the end does not come within `IDLE_S`.
    """
    if _kind_of_stdin() is None:
        raise typer.BadParameter("there is no prompt, and no stdin to read it from")
    content = bytearray()
    for piece in _pieces(sys.stdin.fileno(), tell_late):
        content += piece
        if len(content) > PAYLOAD_LIMIT_BYTES:
            raise typer.BadParameter(f"the prompt on stdin has no end, or more than {PAYLOAD_LIMIT_BYTES:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise typer.BadParameter("the prompt on stdin is not UTF-8") from None  # the error itself holds all of it


def _pieces(descriptor: int, tell_late: Callable[[], object] | None) -> Iterator[bytes]:
    late_at = time.monotonic() + IDLE_S
    while True:
        left_s = late_at - time.monotonic()
        if tell_late is not None and (left_s <= 0 or not _comes_within(left_s)):
            tell_late()
            tell_late = None
        piece = _next_piece(descriptor)
        if not piece:
            return
        yield piece


def _next_piece(descriptor: int) -> bytes:
    """Return what comes next; nothing at the end."""
    if is_console(descriptor):  # Python's own stream has what is typed as UTF-8
        typed: Any = sys.stdin.buffer
        return bytes(typed.read1(_PIECE_BYTES))
    while True:
        try:
            return os.read(descriptor, _PIECE_BYTES)
        except BlockingIOError:  # O_NONBLOCK belongs to the pipe, and any process that has it may set it
            select.select([descriptor], [], [])
