"""Reads passwords from a terminal into locked memory, without making Python strings of them."""

from __future__ import annotations

import os
from typing import Final

from nomyo._terminal_text import visible_line
from nomyo.exchange.passwords import without_line_end
from nomyo.memory import SecureBuffer

_LONGEST_LINE_BYTES: Final = 1024


class NoTerminalError(Exception):
    """There is no terminal to ask on."""


def ask(prompt: str) -> SecureBuffer:
    """Ask for a password on the terminal, without echo.

    Returns:
        What was typed, without the end of the line; the caller closes it.

    Raises:
        NoTerminalError: This process has none.
        EOFError: The input ended.
        ValueError: More than 1,023 bytes were typed.
    """
    try:
        import termios
    except ImportError:  # Windows: getpass gives a str, which nobody can wipe
        return _ask_with_getpass(prompt)
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise NoTerminalError from None
    shown = termios.tcgetattr(terminal)
    hidden = [*shown[:3], shown[3] & ~termios.ECHO, *shown[4:]]
    try:
        # Text typed before the question is not an answer, and text typed beyond the answer must not reach the shell.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)
        os.write(terminal, visible_line(prompt).encode())
        return _read_line(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, shown)
        os.write(terminal, b"\n")
        os.close(terminal)


def ask_twice(prompt: str) -> SecureBuffer:
    """Ask for a new password, until both answers agree; raises as `ask` does."""
    while True:
        first = ask(f"{prompt}: ")
        with ask(f"{prompt}, once more: ") as second:
            if first == second:
                return first
        first.close()
        prompt = f"They differ. {prompt.removeprefix('They differ. ')}"


def _read_line(terminal: int) -> SecureBuffer:
    with SecureBuffer(_LONGEST_LINE_BYTES) as line:
        with line.data as view:
            length = os.readv(terminal, [view])
            complete = length > 0 and view[length - 1] == ord("\n")
        if length == 0:
            raise EOFError
        if not complete and length == _LONGEST_LINE_BYTES:
            raise ValueError(f"a password has fewer than {_LONGEST_LINE_BYTES} bytes")
        return without_line_end(line, length)


def _ask_with_getpass(prompt: str) -> SecureBuffer:
    from getpass import getpass

    return SecureBuffer(bytearray(getpass(prompt).encode()))
