"""The agent's process: it has this process's terminal and process group, and this process waits for its end.

Rules:

- A signal that somebody sends to this process goes on to the agent. One that the terminal sends (Ctrl-C) is for the
  whole process group: the agent has it already, and would take a second one for a second Ctrl-C.
- If the agent stops (Ctrl-Z), so does this process, for the shell waits for it alone.
- After SIGTERM or SIGHUP the agent has 10 seconds to end.
- If it ends within 10 seconds after one of these, or after Ctrl-C, what it left running is ended, too.

All signals are blocked and taken one by one (sigwaitinfo(2)), so none is lost between two steps, and each says who sent
it. A signal that was ignored at the start stays so, for the agent too.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from nomyo._signals import not_ignored
from nomyo.cli.launch.left_behind import end_marked

GRACE_S: Final = 10.0
IS_POSSIBLE: Final = hasattr(signal, "sigwaitinfo")
"""Whether this platform has what this module needs: macOS and Windows have not."""
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else ()
_TELL_TO_END: Final = (*_ENDS, signal.SIGINT, signal.SIGQUIT) if _ENDS else ()
_PASSED_ON: Final = (*_TELL_TO_END, signal.SIGUSR1, signal.SIGUSR2) if _ENDS else ()
# Python ignores them, and a program expects them as they are by default (as subprocess's restore_signals).
_DEFAULTS: Final = ("SIGPIPE", "SIGXFSZ")


@contextmanager
def signals_held() -> Iterator[set[signal.Signals]]:
    """Hold signals back for `run`, from before the first thread starts, since threads inherit what is blocked.

    Yields the signals that were blocked before, as `run` wants them.
    """
    before_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would leave no exit code
    waited = {*not_ignored(*_PASSED_ON), signal.SIGCHLD}
    before: Any = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        yield before
    finally:
        while signal.sigtimedwait(waited, 0):  # what came too late must not end a command that is over
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGCHLD, before_child)


def run(
    program: str, arguments: Sequence[str], environment: Mapping[str, str], unblocked: set[signal.Signals], mark: str
) -> int:
    """Run a program to its end, inside `signals_held`.

    Args:
        program: Its path.
        arguments: The words after its name.
        environment: All of its variables.
        unblocked: What `signals_held` yielded.
        mark: A text in `environment` that is in no other one, by which what it left running is known.

    Returns:
        Its exit code; 128 and its number if a signal ended it.

    Raises:
        OSError: It cannot be started.
    """
    defaults = [getattr(signal, name) for name in _DEFAULTS if hasattr(signal, name)]
    pid = os.posix_spawn(program, [program, *arguments], environment, setsigmask=unblocked, setsigdef=defaults)
    child = _Child(pid, {*not_ignored(*_PASSED_ON), signal.SIGCHLD})
    try:
        code = child.wait()
    except BaseException:
        child.kill()
        raise
    if child.was_told_to_end():
        end_marked(mark)
    return code


@dataclass(slots=True)
class _Child:
    pid: int
    waited: set[signal.Signals]
    ends_at: float = field(default=float("inf"), init=False)
    """When it is killed, in the clock of `time.monotonic`."""
    told_at: float = field(default=float("-inf"), init=False)
    """When it last got a signal that asks it to end."""

    def wait(self) -> int:
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                self._stop_with_it()
            elif pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            self._take_signal()

    def was_told_to_end(self) -> bool:
        """Return whether a signal asked it to end, not long ago, or in this moment."""
        return time.monotonic() < self.told_at + GRACE_S or not signal.sigpending().isdisjoint(_TELL_TO_END)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def _take_signal(self) -> None:
        if self.ends_at == float("inf"):
            taken: Any = signal.sigwaitinfo(self.waited)
        else:
            taken = signal.sigtimedwait(self.waited, max(0.0, self.ends_at - time.monotonic()))
        if taken is None:
            os.kill(self.pid, signal.SIGKILL)
            self.ends_at = float("inf")
        elif taken.si_signo != signal.SIGCHLD:
            self._pass_on(taken)

    def _pass_on(self, taken: Any) -> None:
        if taken.si_signo in _TELL_TO_END:
            self.told_at = time.monotonic()
        if taken.si_signo in _ENDS:
            self.ends_at = min(self.ends_at, time.monotonic() + GRACE_S)
        # sigaction(2): above 0 the kernel sent it, for a key of the terminal.
        if taken.si_code <= 0 or taken.si_signo in _ENDS:
            os.kill(self.pid, taken.si_signo)
            os.kill(self.pid, signal.SIGCONT)  # stopped, it could not end

    def _stop_with_it(self) -> None:
        """Stop until the shell goes on with both. Without a terminal there is no shell that would."""
        if _is_in_foreground():
            os.kill(os.getpid(), signal.SIGTSTP)
            os.kill(self.pid, signal.SIGCONT)


def _is_in_foreground() -> bool:
    """Return whether a terminal has this process's group in its foreground, as it has the job of a shell."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
