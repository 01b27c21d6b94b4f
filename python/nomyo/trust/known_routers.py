"""First-use trust, as SSH has it (RFC 4251, section 4.1): the first key of a router is remembered, another refused.

Promises, and what they rest on:

- A router that is known never gets anything sealed for another key, unless its user accepts that key (`accept`), or
  had added it before it came (`add`). An added key replaces the one before as soon as it is shown.
- Many processes use one file. Who changes it holds the lock of its log; the file itself is replaced in one step
  (rename(2)), so that readers need no lock. If a process is killed, the log may have one record more than the file.
- A key that is judged as before costs one read of the file, and no lock.
- If the file is missing beside its log, what the log tells counts (`key_replay.py`): a router that the log knows is not
  new.
- First use believes whoever answers first. Only a fingerprint that the operator told you, through another channel, says
  more: pin it, add it, or compare it with `nomyo trust show`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from nomyo._warn import warn
from nomyo.errors import SecurityError
from nomyo.exchange.settings import is_fingerprint
from nomyo.trust.chain import LockedChain, locked_chain
from nomyo.trust.key_file import MOST_ADDED, Dated, Known, content_of, read_known, write_content
from nomyo.trust.key_log import KIND, REFUSALS, Judgement, KeyRecord, log_of, now
from nomyo.trust.key_replay import known_by_log
from nomyo.trust.state_directory import make_state_directory, state_directory

_UNKNOWN: Final = Known()
_REPEATABLE: Final = frozenset({Judgement.KNOWN, Judgement.CHANGED})
"""What changes nothing if it is judged again."""


def default_path() -> Path:
    """Return the file of known routers of commands that name none.

    Raises:
        ValueError: The user has no home directory.
    """
    return state_directory() / "known_routers"


class KnownRouters:
    """A file of known routers, and its log.

    Nothing is kept in memory: each method reads the file anew, and raises as `read_known` does. An OSError names the
    file that cannot be read, locked or written.

    Args:
        path: The file. Its directory must exist, unless it is that of `default_path`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = log_of(path)
        self._is_default = _is_default(path)

    def all(self) -> dict[str, Known]:
        """Return what is known, by the routers' names: what the log tells, if the file is missing."""
        return known_by_log(self.log) if self.is_missing() else read_known(self.path)

    def is_missing(self) -> bool:
        """Return whether there is no file."""
        return not os.path.lexists(self.path)

    def of(self, router: str) -> Known:
        """Return what is known of one router.

        Raises:
            ValueError: It is not known.
        """
        return _there(self.all(), router, self.path)

    def judge(self, router: str, fingerprint: str, address: str) -> None:
        """Judge a key that a router shows.

        Args:
            router: Its name.
            fingerprint: The key's.
            address: The router's address, for the error.

        Raises:
            SecurityError: The router is known by another key.
        """
        known = read_known(self.path).get(router, _UNKNOWN)
        if _is_known(known, fingerprint) and _was_told(known, Judgement.KNOWN, fingerprint):
            return
        with self._changing() as change:
            known = change.known.get(router, _UNKNOWN)
            judged = _judged(known, fingerprint)
            if judged not in _REPEATABLE or not _was_told(known, judged, fingerprint):
                change.tell(router, _after(known, fingerprint, judged), fingerprint, judged)
        if judged is Judgement.CHANGED:
            raise self._changed(router, fingerprint, address, known)

    def note(self, router: str, fingerprint: str, judged: Judgement) -> None:
        """Note a key that pins accepted or refused. An accepted one is remembered if no other key is.

        Args:
            router: The router's name.
            fingerprint: The key's.
            judged: `PINNED` or `UNPINNED`.
        """
        if _was_told(read_known(self.path).get(router, _UNKNOWN), judged, fingerprint):
            return
        with self._changing() as change:
            known = change.known.get(router, _UNKNOWN)
            if known.key is None and judged is Judgement.PINNED:
                known = known.with_key(Dated(fingerprint, now(), judged))
            change.tell(router, known, fingerprint, judged)

    def accept(self, router: str, fingerprint: str | None) -> tuple[Known, Known]:
        """Have a router known by another key from now on.

        Args:
            router: Its name.
            fingerprint: The key's; None takes the one that was refused last.

        Returns:
            What was known of it, and what is known now.

        Raises:
            ValueError: No key was refused, or it is no fingerprint.
        """
        _check_fingerprint(fingerprint)
        with self._changing() as change:
            before = change.known.get(router, _UNKNOWN)
            if fingerprint is None:
                if before.refused is None:
                    raise ValueError(f"no key of {router} was refused: name the fingerprint that you accept")
                fingerprint = before.refused.fingerprint
            key = Dated(fingerprint, now(), Judgement.ACCEPTED)
            return before, change.tell(router, before.with_key(key), fingerprint, Judgement.ACCEPTED)

    def add(self, router: str, fingerprint: str) -> Known:
        """Expect a key: once the router shows it, it replaces the one before. A router without a key must show it.

        Raises:
            ValueError: It is no fingerprint, the router is known by it already, or too many are expected.
        """
        _check_fingerprint(fingerprint)
        with self._changing() as change:
            known = change.known.get(router, _UNKNOWN)
            if _is_known(known, fingerprint):
                raise ValueError(f"{router} is known by {fingerprint} already")
            others = tuple(each for each in known.added if each.fingerprint != fingerprint)
            if len(others) >= MOST_ADDED:
                raise ValueError(f"{MOST_ADDED} keys are expected of {router}, and no more can be")
            added = (*others, Dated(fingerprint, now(), Judgement.ADDED))
            return change.tell(router, replace(known, added=added), fingerprint, Judgement.ADDED)

    def forget(self, router: str) -> Known:
        """Forget a router: the next key that it shows is its first. Return what was known.

        Raises:
            ValueError: It is not known.
        """
        with self._changing() as change:
            known = _there(change.known, router, self.path)
            change.forget(router, None if known.key is None else known.key.fingerprint)
        return known

    @contextmanager
    def _changing(self) -> Iterator[_Change]:
        if self._is_default:
            make_state_directory()
        with locked_chain(self.log, KIND) as chain:
            known = self.all()
            if known and self.is_missing():
                write_content(self.path, content_of(self.path, known))
                warn(f"{self.path} was missing beside its log: it is written anew, as the log tells", stacklevel=2)
            yield _Change(chain, known, self.path)

    def _changed(self, router: str, fingerprint: str, address: str, known: Known) -> SecurityError:
        if known.key is not None:
            expected = f"not {known.key.fingerprint}, by which it is known since {known.key.since}"
        else:
            expected = " nor ".join(f"not {each.fingerprint}, added {each.since}" for each in known.added)
        option = "" if self._is_default else f" --known-routers {shlex.quote(str(self.path))}"
        return SecurityError(
            f"the router {router} shows the key {fingerprint}, {expected} ({self.path}): its operator has replaced it,"
            " or somebody stands between you and the router. Ask the operator for the fingerprint of the present key;"
            f" if it is this one, `nomyo trust accept {address} {fingerprint}{option}` goes on with it"
        )


class _Change:
    """A change of the file and its log, while the log is locked.

    The log is written first: a record of a key must not be missing, and one too many does no harm.
    """

    def __init__(self, chain: LockedChain, known: dict[str, Known], path: Path) -> None:
        self.known = known
        self._chain = chain
        self._path = path

    def tell(self, router: str, known: Known, fingerprint: str, judged: Judgement) -> Known:
        """Note what was judged, and what is known of the router then; return that."""
        record = KeyRecord(now(), router, fingerprint, judged)
        known = replace(known, last=Dated(fingerprint, record.time, judged))
        content = content_of(self._path, {**self.known, router: known})
        self._chain.append([record.as_json()])
        write_content(self._path, content)
        self.known[router] = known
        return known

    def forget(self, router: str, fingerprint: str | None) -> None:
        """Note that a router was forgotten, and forget it."""
        self._chain.append([KeyRecord(now(), router, fingerprint, Judgement.FORGOTTEN).as_json()])
        del self.known[router]
        write_content(self._path, content_of(self._path, self.known))


def _judged(known: Known, fingerprint: str) -> Judgement:
    if _is_known(known, fingerprint):
        return Judgement.KNOWN
    if any(each.fingerprint == fingerprint for each in known.added):
        return Judgement.ANNOUNCED
    return Judgement.FIRST_USE if known.key is None and not known.added else Judgement.CHANGED


def _after(known: Known, fingerprint: str, judged: Judgement) -> Known:
    """Return what is known of a router after a key was judged."""
    key = Dated(fingerprint, now(), judged)
    if judged is Judgement.CHANGED:
        return replace(known, refused=key)
    return known if judged is Judgement.KNOWN else known.with_key(key)


def _is_known(known: Known, fingerprint: str) -> bool:
    return known.key is not None and known.key.fingerprint == fingerprint


def _was_told(known: Known, judged: Judgement, fingerprint: str) -> bool:
    """Return whether the last record of a router tells of this key already; how it became known makes no difference."""
    last = known.last
    if last is None or last.fingerprint != fingerprint:
        return False
    if judged in REFUSALS or judged is Judgement.PINNED:
        return last.judged is judged
    return last.judged not in REFUSALS


def _is_default(path: Path) -> bool:
    try:
        return path == default_path()
    except ValueError:
        return False


def _there(known: dict[str, Known], router: str, path: Path) -> Known:
    if router not in known:
        raise ValueError(f"{router} is not in {path}")
    return known[router]


def _check_fingerprint(fingerprint: str | None) -> None:
    if fingerprint is not None and not is_fingerprint(fingerprint):
        raise ValueError('a fingerprint is "SHA256:" and 43 base64 characters')
