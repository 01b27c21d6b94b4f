"""Rows of an output that only the holder of a private key can read.

Rules and promises:

- A sealed row is `{"id":"batch_req_7","sealed":{...},"error":null}`. `sealed` is a package as on the wire (a fresh
  AES-256-GCM key, wrapped with RSA-OAEP). Its plaintext is the whole unsealed row.
- Visible from outside are the number of the input's line, whether the row failed (then `error` is not null), and the
  row's length. Resuming, ordering and retrying need no more, and so no private key.
- A batch with a budget has to know what its rows took, so an answer's tokens are visible, too: `"tokens":[7,9]` behind
  `sealed`. They are part of the context, so a row whose tokens were altered does not open.
- The packages are bound to a context (GCM's associated data), so no message of the protocol opens as a row, and no row
  as a message. The row inside repeats what is visible from outside, and both must agree. So a row is refused if it was
  given another line, or if an error was added or removed.
- Sealing takes only the public key. So nothing says who sealed a row: whoever may write to the output can replace rows.
- An opened row is in locked memory.
"""

from __future__ import annotations

import re
from typing import Final

from nomyo import _core
from nomyo.batch.records import Mark, mark_at_ends, read_mark
from nomyo.errors import SecurityError
from nomyo.memory import SecureBuffer

CONTEXT: Final = b"nomyo batch row 1"
_SEALED: Final = re.compile(
    rb'\{"id":"batch_req_[0-9]+","sealed":(\{.*\})(,"tokens":\[[0-9]+,[0-9]+\])?,"error":(?:null|\{.*\})\}\n'
)
_CONTROL: Final = re.compile(rb"[^ -~]")


class Seal:
    """Seals rows for one public key.

    Args:
        key: The public key; its private half opens the rows.
        locked_required: Whether to refuse working memory that is not locked.
    """

    def __init__(self, key: _core.PublicKey, *, locked_required: bool = False) -> None:
        self._key = key
        self._locked_required = locked_required

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key."""
        return self._key.fingerprint

    @property
    def pem(self) -> str:
        """The key, as SPKI."""
        return self._key.pem

    def __call__(self, row: bytes, tokens: tuple[int, int] | None = None) -> bytes:
        """Return the sealed form of a whole row.

        Args:
            row: The row.
            tokens: The tokens of the prompt and of the answer, which stay visible; None to show none.

        Raises:
            SecurityError: Locked memory is required, and there is not enough.
        """
        mark = read_mark(row)
        assert mark is not None
        assert not mark.sealed
        shown = b"" if tokens is None else b',"tokens":[%d,%d]' % tokens
        package = self.package(row, CONTEXT + shown)
        error = b'{"code":"sealed"}' if mark.failed else b"null"
        return b'{"id":"batch_req_%d","sealed":%b%b,"error":%b}\n' % (mark.line, package, shown, error)

    def package(self, content: bytes, context: bytes) -> bytes:
        """Return a package with sealed bytes, which opens in the same context only.

        Raises:
            SecurityError: Locked memory is required, and there is not enough.
        """
        if self._locked_required:
            return _core.in_locked_memory(lambda: _core.seal_bytes(content, self._key, context))
        return _core.seal_bytes(content, self._key, context)


def open_row(row: bytes, key: _core.PrivateKey) -> SecureBuffer:
    """Open a sealed row. Returns the row with its line end; the caller closes the buffer.

    Raises:
        SecurityError: The row is damaged, sealed for another key, or its inside and outside disagree.
    """
    outer = read_mark(row)
    found = _SEALED.fullmatch(row)
    if outer is None or found is None:
        raise SecurityError("it is not a whole row")
    opened = _core.open_bytes(found[1], key, CONTEXT + (found[2] or b""))
    with opened.data as view:
        inner = _inner_mark(view)
    if inner is not None and not inner.sealed and (inner.line, inner.failed) == (outer.line, outer.failed):
        return opened
    opened.close()
    raise SecurityError("what it says outside is not what was sealed: it was altered, or put in another row's place")


def _inner_mark(row: memoryview) -> Mark | None:
    """Return the mark of an opened row; None if it is not one row in one line, because anybody may have sealed it."""
    return None if _CONTROL.search(row, 0, len(row) - 1) else mark_at_ends(row)
