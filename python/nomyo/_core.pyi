"""What the native core offers to Python. Internal: import from `nomyo` instead."""

from collections.abc import Callable
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, final

from typing_extensions import Buffer

_T = TypeVar("_T")

__all__ = [
    "PageLock",
    "PrivateKey",
    "PublicKey",
    "SecureBuffer",
    "all_locked",
    "can_lock",
    "check_payload",
    "cpu_features",
    "crypto_version",
    "dumpable",
    "fits",
    "harden_process",
    "in_locked_memory",
    "load_key_directory",
    "load_key_pair",
    "memory_status",
    "new_payload_id",
    "open_bytes",
    "open_key_directory",
    "open_package",
    "open_secret",
    "replace_key_pair",
    "seal",
    "seal_bytes",
    "warm_up",
    "write_key_directory",
]

@final
class PublicKey:
    """The RSA public key of a peer: 2048 to 8192 bits, odd exponent of 65537 or more."""

    @staticmethod
    def from_pem(pem: str | bytes) -> PublicKey:
        """Read an SPKI PEM. Raises SecurityError where it is not an acceptable RSA key."""

    @property
    def pem(self) -> str:
        """SPKI PEM, as `openssl pkey -pubout` writes it."""

    @property
    def bits(self) -> int:
        """Size of the modulus in bits."""

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the unpadded base64 of SHA-256 over the SPKI DER."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class PrivateKey:
    """An RSA key pair whose private half exists in the arena only. No pickle, no copy; repr shows the fingerprint."""

    @staticmethod
    def generate(bits: int) -> PrivateKey:
        """Draw a new pair of 2048 or 4096 bits (ValueError otherwise), exponent 65537. Releases the GIL."""

    @staticmethod
    def from_pem(pem: Buffer, password: str | SecureBuffer | None = None) -> PrivateKey:
        """Read PKCS#8 PEM, plain, PBES2 or the JavaScript client's form. Raises SecurityError."""

    @property
    def public_key(self) -> PublicKey: ...
    @property
    def bits(self) -> int: ...
    @property
    def wiped(self) -> bool:
        """Whether `wipe` was called."""

    def to_pem(self, password: str | SecureBuffer | None = None) -> SecureBuffer:
        """Write PKCS#8 PEM into locked memory; with a password, as PBES2."""

    def wipe(self) -> None:
        """Wipe the private half now, or when the last operation under way has ended. Idempotent.

        Any later operation raises DisposedError.
        """

@final
class SecureBuffer:
    """Locked, guarded, wiped memory for one secret.

    Made from a size in bytes (zeros) or from bytes-like data. A writable source is wiped after it was copied.
    `with` locks it, and wipes and closes it at the end. Compares in constant time with bytes-like objects; has no hash;
    repr shows no content; no pickle, no copy. Use after `close` raises ValueError; in a forked child, SecurityError.
    """

    def __new__(cls, data_or_size: Buffer | int, /) -> Self:
        """Raise MemoryError where there is no memory; BufferError where the data has gaps."""

    @staticmethod
    def from_file(path: str | PathLike[str]) -> SecureBuffer:
        """Read a whole file straight into locked memory. Raises OSError."""

    @property
    def data(self) -> memoryview:
        """A writable view of the content."""

    @property
    def size(self) -> int:
        """Bytes of content."""

    @property
    def address(self) -> int:
        """Where the content lies in memory."""

    @property
    def locked(self) -> bool:
        """Whether all of it is locked in memory now. False once closed."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    def lock(self) -> bool:
        """Lock it in memory; whether it is locked now."""

    def unlock(self) -> bool:
        """Let the system swap it out again; whether that worked."""

    def zero(self) -> None:
        """Overwrite the content with zeros. The same as `wipe`."""

    def wipe(self) -> None:
        """Overwrite the content with zeros, in a way that no optimiser removes. Nothing is left to do once closed."""

    def close(self) -> None:
        """Wipe the content and give the memory back. Idempotent.

        Raises BufferError, with the content wiped all the same, while a view is held or an operation is under way.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        """Close it. An exception under way is not replaced by a BufferError."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class PageLock:
    """Holds the pages of a caller's own writable buffer in memory; its size cannot change meanwhile.

    Pages shared with another PageLock stay locked until the last one is released. With `lock=False` the buffer is held,
    and can be wiped, but not locked. Raises TypeError where the buffer cannot be written to or has gaps. A SecureBuffer
    locks itself, and stays locked on release.
    """

    def __new__(cls, buffer: Buffer, /, *, lock: bool = True) -> Self: ...
    @property
    def locked(self) -> bool:
        """Whether every page is locked now."""

    def wipe(self) -> None:
        """Overwrite the buffer with zeros, in a way that no optimiser removes. Raises ValueError once released."""

    def release(self) -> None:
        """Unlock and let go of the buffer. Idempotent."""

def load_key_pair(
    private_key_path: str | PathLike[str],
    public_key_path: str | PathLike[str] | None = None,
    password: str | SecureBuffer | None = None,
) -> tuple[PrivateKey, list[str]]:
    """Read a pair from files; the second value names the files whose mode lets others in.

    Raises SecurityError (cannot be opened, halves do not belong together, symbolic link, foreign owner), OSError.
    """

def load_key_directory(
    key_dir: str | PathLike[str], password: str | SecureBuffer | None = None
) -> tuple[PrivateKey, list[str]]:
    """Load the pair in a directory, where there must be one: (key, files whose mode is too open).

    Raises SecurityError, OSError.
    """

def replace_key_pair(
    key_dir: str | PathLike[str],
    password: str | SecureBuffer | None,
    *,
    key: PrivateKey | None = None,
    new_password: str | SecureBuffer | None = None,
) -> None:
    """Replace a pair that `password` opens, by `key` or by itself, under `new_password`; atomically.

    Raises SecurityError, OSError, and ValueError for a new password that is too short.
    """

def open_key_directory(
    key_dir: str | PathLike[str], bits: int, password: str | SecureBuffer | None = None
) -> tuple[PrivateKey, bool, list[str]]:
    """Load the pair in a directory, or generate one there: (key, whether it is new, files whose mode is too open).

    Processes that start on one empty directory at once all end with the same pair. Raises SecurityError, OSError.
    """

def write_key_directory(
    key_dir: str | PathLike[str], key: PrivateKey, password: str | SecureBuffer | None = None
) -> None:
    """Replace the pair in a directory, atomically. Raises SecurityError, OSError."""

def seal(
    payload: dict[str, Any], key: PublicKey, *, limit_bytes: int = 10485760, processed_at: int | None = None
) -> bytes:
    """Write a payload as JSON into locked memory and seal it for `key` under a fresh AES-256 key.

    The JSON is that of `json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))`, for the same
    types; besides, an int may have any size, a SecureBuffer (UTF-8) may stand for any string value, and nesting ends at
    200 levels below the payload. No more than 48 KiB of it is in memory at a time, beside the objects given; nothing
    stays behind.

    Raises ValueError or TypeError that names the path to what JSON cannot hold (`messages[3].content`) and shows no
    content; ValueError for an empty payload or one of more than `limit_bytes` as JSON (10 MiB); RuntimeError where
    another thread changed the size of a dict meanwhile.
    """

def check_payload(payload: dict[str, Any], *, limit_bytes: int = 10485760) -> None:
    """Raise whatever `seal` would raise for this payload, without sealing it (a dry run of the same walk)."""

def fits(payload: dict[str, Any], limit_bytes: int) -> bool:
    """Whether `seal` would take this payload, and its JSON has no more than `limit_bytes`."""

def open_package(
    package: Buffer, key: PrivateKey, object_type: type[dict[str, Any]] | None = None
) -> tuple[Any, str, int | float | None]:
    """Open a package: (the plaintext JSON, always an object; the algorithm's name; processed_at of the outer object).

    The values are those of `json.loads`, but for NaN and Infinity, which are refused; ints have up to a million digits,
    nesting ends at 200 levels below the object. Objects are instances of `object_type`, a subclass of dict that can be
    made without arguments. The plaintext is in locked memory until this returns; nothing stays but the objects.

    Raises one opaque SecurityError for every failure; DisposedError where the key was wiped.
    """

def open_secret(
    package: Buffer, key: PrivateKey, object_type: type[dict[str, Any]] | None = None
) -> tuple[SecureBuffer, SecureBuffer | None, dict[str, Any], str, int | float | None]:
    """Open a package that holds a chat completion, without making Python objects of it.

    Returns its JSON; the first choice's `message.content`, decoded to UTF-8 (U+FFFD for an escaped lone surrogate), or
    None where that is no string; a dict of the rest; the algorithm's name; processed_at. The rest is what becomes
    Python objects: id, model, usage, finish_reason (the first choice's) and _metadata, None where not there; objects
    in it are instances of `object_type`. Of a name that comes twice the last one counts. Raises as `open_package` does.
    """

def seal_bytes(content: bytes, key: PublicKey, context: bytes) -> bytes:
    """Seal bytes for `key` under a fresh AES-256 key; the result has the form of a package.

    It opens with `open_bytes` in the same `context` only, which says what it is for and is authenticated with it (GCM's
    associated data): no message of the protocol's, which has none, can stand in its place, nor it in theirs.

    Raises ValueError for an empty context.
    """

def open_bytes(package: Buffer, key: PrivateKey, context: bytes) -> SecureBuffer:
    """Open what `seal_bytes` sealed in the same context; in Python objects there is nothing of it.

    Raises one opaque SecurityError for every failure; DisposedError where the key was wiped.
    """

def warm_up() -> None:
    """Draw the process's first random bytes (some 30 ms), so that no request waits for them. Releases the GIL."""

def can_lock() -> bool:
    """Whether a page can be locked under the present limit: really tried, then released."""

def in_locked_memory(function: Callable[[], _T]) -> _T:
    """Call a function, with locked working memory required of the calling thread; its value.

    Raises SecurityError where sealing, opening or a new SecureBuffer in it would take memory that is not locked, or
    anything else of the native core in it did.
    """

def new_payload_id() -> str:
    """Draw a UUID4 (RFC 9562, section 5.4) as text, without letting go of the GIL as `uuid.uuid4` does.

    From the system, for it is no secret: AWS-LC's first random bytes take 30 ms, which would stall the event loop.
    """

def memory_status() -> dict[str, int]:
    """Figures of the arena in bytes.

    locked_bytes; unlocked_bytes (now); unlocked_peak_bytes (the most in use at one time so far); in_use_bytes;
    limit_bytes; budget_bytes (what of it the arena takes at most); page_size. `limit_bytes` is -1 where there is
    no limit.
    """

def all_locked() -> bool:
    """Whether all working memory so far was locked, now and at every moment before: cheap enough for every request."""

def harden_process() -> None:
    """Switch off core dumps and ptrace by others, for this process and those that it forks. Idempotent. Raises OSError.

    Afterwards no other process of the same user can attach, nor read this one's memory, unless it holds CAP_SYS_PTRACE
    or had attached before; nothing dumps core. A program started by execve(2) keeps the limit on core dumps (0, hard
    too) and can be traced again (prctl(2)). Without root, `/proc/self/mem` and `/proc/self/environ` cannot be opened.
    """

def dumpable() -> int | None:
    """Who may dump and trace this process (prctl(2), PR_GET_DUMPABLE): 0 and 2 root alone, 1 its user too.

    None where the system has no such figure. With 2, core dumps are written, for root to read; with 0 there are none.
    """

def cpu_features() -> dict[str, bool]:
    """The instructions that the crypto library picks its code by, and whether this processor has them."""

def crypto_version() -> str:
    """Name and version of the crypto library."""
