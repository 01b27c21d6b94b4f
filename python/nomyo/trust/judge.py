"""Asks the known routers on behalf of a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nomyo._system_errors import is_of_the_system
from nomyo.errors import ConfigurationError, SecurityError
from nomyo.exchange.key_judge import KeyJudge
from nomyo.exchange.settings import Settings
from nomyo.trust.key_log import Judgement
from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name


def judge_of(settings: Settings) -> KeyJudge | None:
    """Return what judges the keys that a client's router shows; None if `known_routers` is not set."""
    if settings.known_routers is None:
        return None
    return _Judge(Path(settings.known_routers), settings.base_url)


class _Judge:
    """A `KeyJudge` for one router."""

    def __init__(self, path: Path, address: str) -> None:
        self._known = KnownRouters(path)
        self._address = address
        self._router = router_name(address)

    def judge(self, fingerprint: str) -> None:
        with self._failures():
            self._known.judge(self._router, fingerprint, self._address)

    def note_pinned(self, fingerprint: str) -> None:
        with self._failures():
            self._known.note(self._router, fingerprint, Judgement.PINNED)

    def note_unpinned(self, fingerprint: str) -> None:
        with self._failures():
            self._known.note(self._router, fingerprint, Judgement.UNPINNED)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Mark each error of the block as one that concerns every request.

        An error of the system becomes a `ConfigurationError`: no request can go on until it is mended.
        """
        try:
            yield
        except SecurityError as error:
            error.router_key = True
            raise
        except OSError as error:
            if not is_of_the_system(error):  # a handler of a signal raised it
                raise
            where = error.filename or self._known.path
            failure = ConfigurationError(f"known_routers: {where}: {error.strerror}; nothing was sealed or sent")
        else:
            return
        raise failure
