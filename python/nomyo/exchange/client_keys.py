"""Our own key pair: opened in the background, leased to requests, rotated beside the traffic.

Promises:

- A request keeps the pair that it was sent with until its response is open, however often
  the pair is replaced meanwhile.
- A pair that was replaced is wiped when the last such request ends; `dispose` wipes the
  present one at once (a native operation under way ends first).
- Nothing waits for a rotation, and one that fails leaves the present pair in use.
- A `ClientKeys` that is dropped without `dispose` is wiped by the garbage collector.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from .. import _core
from ..errors import DisposedError
from .effects import Flow, compute, wait
from .protocol import public_key_header
from .settings import KeyDir, Password, Settings, check_password
from .trace import logger, timed
from .workers import key_pool, submit_or_run


@dataclass(slots=True)
class KeyPair:
    """A key pair and the number of requests that still need it."""

    private_key: _core.PrivateKey
    public_key_pem: str
    public_key_header: str
    leases: int = 0
    replaced: bool = False

    def wipe_if_done(self) -> None:
        """Wipe a pair that was replaced and that no request needs any more."""
        if self.replaced and self.leases == 0:
            self.private_key.wipe()


@dataclass(frozen=True, slots=True)
class OpenedKeys:
    """What opening a key directory or a pair of files gave."""

    private_key: _core.PrivateKey
    too_open: tuple[str, ...] = ()


class ClientKeys:
    """The key pair of one client."""

    def __init__(self, settings: Settings) -> None:
        """Start opening or generating the pair in the background."""
        self._settings = settings
        self._lock = threading.Lock()
        self._pair: KeyPair | None = None
        self._too_open: tuple[str, ...] = ()
        self._disposed = threading.Event()
        self._opening = self._start_opening()
        if settings.key_rotation_interval > 0:
            _start_rotating(self, self._disposed, settings.key_rotation_interval)

    def ready(self) -> Flow[None]:
        """Wait until there is a key pair.

        Raises:
            SecurityError: The files in the key directory cannot be opened.
            OSError: The key directory cannot be read or made.
            DisposedError: The client was disposed of.
        """
        if self._pair is not None:
            return
        if self._failed():
            self._opening = self._start_opening()  # once more: the files may have been mended
        opening = self._opening
        yield from wait(opening)
        if self._disposed.is_set():
            raise DisposedError("the client was disposed of")
        error = opening.exception()
        if error is not None and self._pair is None:
            raise copy.copy(error)  # several requests may have waited for the one outcome

    @contextmanager
    def lease(self) -> Iterator[KeyPair]:
        """Lend the present pair until the block ends.

        Raises:
            DisposedError: The client was disposed of.
        """
        with self._lock:
            pair = self._pair
            if pair is None:
                raise DisposedError("the client was disposed of")
            pair.leases += 1
        try:
            yield pair
        finally:
            with self._lock:
                pair.leases -= 1
                pair.wipe_if_done()

    def take_too_open(self) -> tuple[str, ...]:
        """Return the key files whose mode lets others in, once."""
        with self._lock:
            too_open, self._too_open = self._too_open, ()
        return too_open

    def generate(self, bits: int, key_dir: KeyDir | None, password: Password | None) -> Flow[None]:
        """Generate a pair, write it to `key_dir` unless that is None, and use it from now on."""
        check_password("password", password)
        opened = yield from compute(partial(_generate, bits, key_dir, password))
        self.use(opened)

    def load(self, private_path: KeyDir, public_path: KeyDir | None, password: Password | None) -> Flow[None]:
        """Read a pair from files and use it from now on."""
        opened = yield from compute(partial(_load, private_path, public_path, password))
        self.use(opened)

    def rotate(self) -> None:
        """Replace the pair; called in a thread of the key pool. A failure is logged, and the old pair stays."""
        settings = self._settings
        try:
            opened = _generate(settings.key_size, settings.rotation_target, settings.key_rotation_password)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next rotation must be tried
            logger.warning("key rotation failed (%s); the present key pair stays in use", type(error).__name__)
            return
        self.use(opened)
        logger.debug("key pair rotated: %s", opened.private_key.public_key.fingerprint)

    def dispose(self) -> None:
        """Stop rotating and wipe the pair. Idempotent."""
        self._disposed.set()
        self._opening.cancel()
        with self._lock:
            pair, self._pair = self._pair, None
        if pair is not None:
            pair.private_key.wipe()

    def _failed(self) -> bool:
        opening = self._opening
        return opening.done() and not opening.cancelled() and opening.exception() is not None

    def _start_opening(self) -> Future[None]:
        """Have the pair opened in the background, by a task that does not keep this object alive."""
        opening: Future[None] = Future()
        submit_or_run(key_pool, partial(_open_for, weakref.ref(self), self._settings, opening))
        return opening

    def use(self, opened: OpenedKeys, *, unless_there: bool = False) -> None:
        """Make a pair the present one; with `unless_there`, only where there is none yet."""
        pem = opened.private_key.public_key.pem
        new = KeyPair(opened.private_key, pem, public_key_header(pem))
        with self._lock:
            if self._disposed.is_set() or (unless_there and self._pair is not None):
                new.private_key.wipe()
                return
            old, self._pair = self._pair, new
            self._too_open += opened.too_open
            if old is not None:
                old.replaced = True
                old.wipe_if_done()


def _open_for(owner: weakref.ref[ClientKeys], settings: Settings, opening: Future[None]) -> None:
    """Open the pair that a client was asked for, and report through `opening`."""
    if not opening.set_running_or_notify_cancel():
        return
    try:
        opened = _open(settings)
    except BaseException as error:  # noqa: BLE001 - whoever waits on the future gets it
        opening.set_exception(error.with_traceback(None))
        return
    keys = owner()
    if keys is None:
        opened.private_key.wipe()
    else:
        keys.use(opened, unless_there=True)
    opening.set_result(None)


def _open(settings: Settings) -> OpenedKeys:
    _core.warm_up()
    if settings.key_dir is None:
        return _generate(settings.key_size, None, None)
    with timed("key directory opened"):
        key, created, too_open = _core.open_key_directory(
            settings.key_dir, settings.key_size, settings.key_rotation_password
        )
    logger.debug("key pair %s: %s", "generated" if created else "loaded", key.public_key.fingerprint)
    return OpenedKeys(key, tuple(too_open))


def _load(private_path: KeyDir, public_path: KeyDir | None, password: Password | None) -> OpenedKeys:
    key, too_open = _core.load_key_pair(private_path, public_path, password)
    return OpenedKeys(key, tuple(too_open))


def _generate(bits: int, key_dir: KeyDir | None, password: Password | None) -> OpenedKeys:
    with timed(f"RSA-{bits} key pair generated"):
        key = _core.PrivateKey.generate(bits)
    if key_dir is not None:
        _core.write_key_directory(key_dir, key, password)
    return OpenedKeys(key)


def _start_rotating(keys: ClientKeys, disposed: threading.Event, interval_s: float) -> None:
    """Rotate every interval until the keys are disposed of or dropped.

    The thread is a daemon that only ever waits: it holds no reference to the keys, and leaves
    the work to the key pool, whose threads the interpreter joins on exit.
    """
    owner = weakref.ref(keys, lambda _: disposed.set())

    def tick() -> None:
        while not disposed.wait(interval_s):
            done = _submit_rotation(owner)
            if done is None:
                return
            _await_quietly(done)

    threading.Thread(target=tick, name="nomyo-rotation", daemon=True).start()


def _submit_rotation(owner: weakref.ref[ClientKeys]) -> Future[None] | None:
    keys = owner()
    if keys is None:
        return None
    try:
        return key_pool().submit(keys.rotate)
    except RuntimeError:  # the interpreter is exiting, and the pool takes no more work
        return None


def _await_quietly(done: Future[None]) -> None:
    try:
        done.result()
    except CancelledError:
        return
