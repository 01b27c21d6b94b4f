"""Which lines of an input are done: one bit for each."""

from __future__ import annotations

from nomyo.batch.records import Mark


class DoneLines:
    """A set of the input's lines whose rows are in the output.

    Args:
        lines: How many lines the input has.
    """

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.rows = 0
        """How many rows are done."""
        self.failed = 0
        """How many of them hold an error."""
        self._bits = bytearray(lines // 8 + 1)

    def __contains__(self, line: int) -> bool:
        return bool(self._bits[line >> 3] & 1 << (line & 7))

    def add(self, mark: Mark | None, *, retry_errors: bool = False) -> bool:
        """Record a row of the output; return whether it counts.

        Args:
            mark: The row's mark. A row does not count if its mark is None, if its line has a row already, or if the
                input lacks its line.
            retry_errors: If True, a row that failed does not count either.
        """
        if mark is None or mark.line > self.lines or mark.line in self or (mark.failed and retry_errors):
            return False
        self._bits[mark.line >> 3] |= 1 << (mark.line & 7)
        self.rows += 1
        self.failed += mark.failed
        return True
