"""Our own key pair: opened in the background, leased to requests, rotated beside the traffic.

Promises:

- A request keeps the pair that it was sent with until its response is open, however often
  a rotation replaces the pair meanwhile.
- A replaced pair is wiped when the last such request ends; `dispose` wipes the
  present one at once (a native operation under way ends first).
- Nothing waits for a rotation, and one that fails leaves the present pair in use.
- If a program drops a `ClientKeys` without `dispose`, the garbage collector wipes the pair.
"""

from __future__ import annotations

import copy
import threading
import weakref
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType

from .. import _core
from .._threads import is_no_thread, no_thread, submit_or_run
from ..errors import DisposedError, SecurityError
from .effects import Compute, Flow, Wait
from .key_files import KeyFiles, OpenedKeys
from .new_keys import NewKeys
from .protocol import public_key_header
from .settings import Password, Settings
from .workers import key_pool


@dataclass(slots=True)
class KeyPair:
    """A key pair and the number of requests that still need it."""

    private_key: _core.PrivateKey
    public_key_header: str
    leases: int = 0
    replaced: bool = False

    def wipe_if_done(self) -> None:
        """Wipe a pair that was replaced and that no request needs any more."""
        if self.replaced and self.leases == 0:
            self.private_key.wipe()


class Lease:
    """Keeps a pair from being wiped while its `with` block runs.

    A class and no generator: it is entered once a request, and costs a third of what `contextmanager` does.

    Args:
        keys: What lends the pair.
    """

    __slots__ = ("_keys", "_pair")

    def __init__(self, keys: ClientKeys) -> None:
        self._keys = keys

    def __enter__(self) -> KeyPair:
        """Return the present pair.

        Raises:
            DisposedError: The client was disposed of.
        """
        self._pair = self._keys.begin_lease()
        return self._pair

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the pair back."""
        self._keys.end_lease(self._pair)


class ClientKeys:
    """The key pair of one client."""

    def __init__(self, settings: Settings) -> None:
        """Start opening or generating the pair in the background.

        Raises:
            ConfigurationError: No thread can be started that rotates it.
        """
        self._log = settings.log
        self._files = KeyFiles(settings)
        self._lock = threading.Lock()
        self._pair: KeyPair | None = None
        self._warnings: tuple[str, ...] = ()
        self.disposed = False
        """Whether `dispose` was called; a plain attribute, because each request reads it several times."""
        self._ended: SimpleQueue[None] = SimpleQueue()
        """Wakes the thread that rotates, so that it ends."""
        if settings.key_rotation_interval > 0:
            _start_rotating(self, self._ended, settings.key_rotation_interval)
        self._opening = self._start_opening()

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
            self._opening = self._start_opening()  # once more: the user may have mended the files
        opening = self._opening
        yield Wait(opening)
        if self.disposed:
            raise DisposedError("the client was disposed of")
        error = opening.exception()
        if error is not None and self._pair is None:
            raise copy.copy(error)  # several requests may have waited for the one outcome

    def lease(self) -> Lease:
        """Return a lease on the present pair, which begins with its `with` block."""
        return Lease(self)

    def begin_lease(self) -> KeyPair:
        """Lend the present pair until `end_lease`.

        Raises:
            DisposedError: The client was disposed of.
        """
        with self._lock:
            pair = self._pair
            if pair is None:
                raise DisposedError("the client was disposed of")
            pair.leases += 1
        return pair

    def end_lease(self, pair: KeyPair) -> None:
        """Take a pair back, and wipe it if it was replaced and this was its last lease."""
        with self._lock:
            pair.leases -= 1
            pair.wipe_if_done()

    def take_warnings(self) -> tuple[str, ...]:
        """Return what the user is to be warned of about the key files, once."""
        if not self._warnings:  # as nearly always: no lock for that
            return ()
        with self._lock:
            warnings, self._warnings = self._warnings, ()
        return warnings

    def generate(self, new_keys: NewKeys) -> Flow[None]:
        """Generate a pair, write it to a directory if one is named, and use it from now on."""
        opened: OpenedKeys = yield Compute(partial(self._files.generate, new_keys))
        self.use(opened)

    def load(self, private_path: str, public_path: str | None, password: Password | None) -> Flow[None]:
        """Read a pair from files and use it from now on."""
        opened: OpenedKeys = yield Compute(partial(self._files.load, private_path, public_path, password))
        self.use(opened)

    def rotate(self) -> None:
        """Replace the pair; called in a thread of the key pool. A failure is logged, and the old pair stays."""
        pair = self._pair
        if pair is None:  # not opened yet; or the files do not open, and stay as they are
            return
        try:
            opened = self._files.rotate(pair.private_key.public_key)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next rotation must be tried
            self._log.warning("key rotation failed (%s); the present key pair stays in use", _reason(error))
            return
        self.use(opened)
        self._log.debug("key pair rotated: %s", opened.private_key.public_key.fingerprint)
        for warning in opened.warnings:
            self._log.warning("key rotation: %s", warning)

    def dispose(self) -> None:
        """Stop rotating and wipe the pair. Idempotent."""
        self.disposed = True
        self._ended.put(None)
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
        submit_or_run(key_pool, partial(_open_for, weakref.ref(self), self._files, opening))
        return opening

    def use(self, opened: OpenedKeys, *, unless_there: bool = False) -> None:
        """Make a pair the present one; with `unless_there`, only if there is none yet."""
        new = KeyPair(opened.private_key, public_key_header(opened.private_key.public_key.pem))
        with self._lock:
            if self.disposed or (unless_there and self._pair is not None):
                new.private_key.wipe()
                return
            old, self._pair = self._pair, new
            self._warnings += opened.warnings
            if old is not None:
                old.replaced = True
                old.wipe_if_done()


def _open_for(owner: weakref.ref[ClientKeys], files: KeyFiles, opening: Future[None]) -> None:
    """Open the pair that a client was asked for, and report through `opening`."""
    if not opening.set_running_or_notify_cancel():
        return
    try:
        opened = files.open()
    except BaseException as error:  # noqa: BLE001 - whoever waits on the future gets it
        opening.set_exception(error.with_traceback(None))
        return
    keys = owner()
    if keys is None:
        opened.private_key.wipe()
    else:
        keys.use(opened, unless_there=True)
    opening.set_result(None)


def _start_rotating(keys: ClientKeys, ended: SimpleQueue[None], interval_s: float) -> None:
    """Rotate every interval until the keys are disposed of or dropped.

    The thread is a daemon that only ever waits: it holds no reference to the keys, and leaves
    the work to the key pool, whose threads the interpreter joins on exit.

    On exit the interpreter stops it wherever it is, and only then may drop the keys. So the end is told by a queue,
    whose `put` never waits (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put): the lock of an `Event`
    might be held by the stopped thread for ever.
    """
    owner = weakref.ref(keys, lambda _: ended.put(None))

    def tick() -> None:
        while not _has_ended(ended, interval_s):
            rotation = _submit_rotation(owner)
            if rotation is None:
                return
            _wait_for(rotation)

    try:
        threading.Thread(target=tick, name="nomyo-rotation", daemon=True).start()
    except RuntimeError as error:
        if not is_no_thread(error):
            raise
        raise no_thread("rotating keys (`key_rotation_interval`)") from None


def _has_ended(ended: SimpleQueue[None], within_s: float) -> bool:
    """Wait for the end for at most so many seconds; return whether it came."""
    try:
        ended.get(timeout=within_s)
    except Empty:
        return False
    return True


def _submit_rotation(owner: weakref.ref[ClientKeys]) -> Future[None] | None:
    """Begin a rotation; None if there is nothing left to rotate, or the interpreter exits."""
    keys = owner()
    if keys is None:
        return None
    try:
        return key_pool().submit(keys.rotate)
    except RuntimeError as error:
        if not is_no_thread(error):  # the interpreter is exiting, and the pool takes no more work
            return None
    keys.rotate()  # in this thread, because the machine gives the pool none
    rotation: Future[None] = Future()
    rotation.set_result(None)
    return rotation


def _wait_for(rotation: Future[None]) -> None:
    try:
        rotation.result()
    except CancelledError:  # the interpreter exits
        return


def _reason(error: Exception) -> str:
    """Return what an error of ours or of the system says, which shows paths and no content; of others, the class."""
    return str(error) if isinstance(error, (SecurityError, OSError)) else type(error).__name__
