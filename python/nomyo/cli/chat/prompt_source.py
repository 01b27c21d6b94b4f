"""Where a prompt comes from: the arguments, stdin, or both; or a secret file.

Beside PROMPT, stdin is read if something is connected to it on purpose, as far as the kernel can tell:

- A file is read. A terminal, /dev/null and other devices are not.
- A pipe or a socket is read if its first byte, or its end, comes within `IDLE_S`. cron, ssh, CI systems and supervisors
  leave pipes open that nobody ever writes to, so without this bound the command would wait forever, as `llm` and `mods`
  do. If nothing comes, a warning says so, and PROMPT is sent alone. --stdin waits without a bound.
- What another option reads (the password of --key-dir) is not read here: it would be sent to the model.

Without PROMPT, stdin is the prompt, and is waited for.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path
from typing import Final

import typer

from nomyo.cli.command_app import report
from nomyo.errors import SecurityError
from nomyo.exchange.passwords import STDIN
from nomyo.exchange.protocol import PAYLOAD_LIMIT_BYTES
from nomyo.memory import SecureBuffer

IDLE_S: Final = 5.0


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
        text = _read_stdin()
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
        return _read_stdin()
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return ""
    if _begins_within(IDLE_S):
        return _read_stdin()
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


def _begins_within(seconds: float) -> bool:
    """Wait for the first byte of stdin, or its end; return whether it came."""
    try:
        return bool(select.select([sys.stdin.fileno()], [], [], seconds)[0])
    except OSError:  # Windows: select knows sockets alone
        return True


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
