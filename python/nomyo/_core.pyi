"""What the native core offers to Python. Internal: import from `nomyo` instead."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, final

from typing_extensions import Buffer

_T = TypeVar("_T")
_Path: TypeAlias = str | PathLike[str]
_Password: TypeAlias = str | SecureBuffer | None

# Packed, because a stub cannot be split.
# fmt: off
__all__ = [
    "ChainEnd", "KeyFilesCondition", "OpenedText", "PageLock", "PrivateKey", "PublicKey", "SecureBuffer", "all_locked",
    "build_info", "can_lock", "check_payload", "cpu_features", "crypto_version", "dumpable", "examine_endorsement",
    "examine_quote", "fits", "harden_process", "hide_memory", "in_locked_memory", "is_certificate",
    "is_encrypted_key_file", "load_key_directory", "load_key_pair", "memory_is_hidden", "memory_status",
    "new_payload_id", "open_bytes", "open_key_directory", "open_package", "open_secret", "open_together",
    "refused_calls", "replace_key_pair", "rotate_key_directory", "seal", "seal_bytes", "sha256_hex", "warm_up",
    "write_key_directory",
]
# fmt: on

@final
class PublicKey:
    """The RSA public key of a peer: 2048 to 8192 bits, with an odd exponent of 65537 or more."""

    @staticmethod
    def from_pem(pem: str | bytes) -> PublicKey:
        """Read an SPKI PEM. Raises SecurityError if it is not an acceptable RSA key."""

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
        """Generate a pair of 2048, 3072 or 4096 bits (else ValueError) with the exponent 65537. Releases the GIL."""

    @staticmethod
    def from_pem(pem: Buffer, password: str | SecureBuffer | None = None) -> PrivateKey:
        """Read a PEM: PKCS#8, plain or encrypted by PBES2, or the JavaScript client's form. Raises SecurityError."""

    @property
    def public_key(self) -> PublicKey: ...
    @property
    def bits(self) -> int: ...
    @property
    def wiped(self) -> bool:
        """Whether `wipe` was called."""

    def to_pem(self, password: str | SecureBuffer | None = None) -> SecureBuffer:
        """Write the key as PKCS#8 PEM into locked memory, encrypted by PBES2 if a password is given."""

    def wipe(self) -> None:
        """Wipe the private half, now or when the operations under way have ended; later ones raise DisposedError."""

@final
class SecureBuffer:
    """Locked, guarded, wiped memory for one secret.

    It is made of a size in bytes (the content is then zeros) or of bytes-like data. A writable source is wiped after it
    was copied. `with` locks the buffer, and wipes and closes it at the end. `==` compares with bytes-like objects in
    constant time. There is no hash, pickle or copy, and repr shows no content. Any use after `close` raises ValueError;
    in a forked child, SecurityError.
    """

    def __new__(cls, data_or_size: Buffer | int, /) -> Self:
        """Raise MemoryError if there is no memory, BufferError if the data is not contiguous."""

    @staticmethod
    def from_file(path: str | PathLike[str]) -> SecureBuffer:
        """Read a whole file directly into locked memory. Raises OSError."""

    @property
    def data(self) -> memoryview:
        """A writable view of the content. While any view is held, the content is open to all code of this process."""

    @property
    def size(self) -> int:
        """The size of the content in bytes."""

    @property
    def address(self) -> int:
        """The address of the content in memory. It can be touched while a view is held."""

    @property
    def locked(self) -> bool:
        """Whether all of it is locked in memory now. False after `close`."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    def lock(self) -> bool:
        """Lock it in memory. Returns whether it is locked now."""

    def unlock(self) -> bool:
        """Unlock it, so that the system may swap it out. Returns whether it is unlocked now."""

    def zero(self) -> None:
        """Overwrite the content with zeros. The same as `wipe`."""

    def wipe(self) -> None:
        """Overwrite the content with zeros, in a way that no optimiser removes. Does nothing after `close`."""

    def protect(self) -> bool:
        """Check that nothing can touch the content now: BufferError if a view is held. Returns False on Windows."""

    def unlocked(self) -> AbstractContextManager[memoryview, None]:
        """Open the content for a `with` block, which gets a writable view. The view is released at the end."""

    def close(self) -> None:
        """Wipe the content and release the memory, once. If a view is held, it is only wiped: BufferError."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        """Close the buffer. A BufferError does not replace an exception that is already under way."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class PageLock:
    """Locks the pages of a caller's own writable buffer into memory. While it is held, the buffer's size cannot change.

    Pages that several PageLocks share stay locked until the last of them is released. With `lock=False` the buffer is
    held and can be wiped, but its pages are not locked. Raises TypeError if the buffer is not writable or not
    contiguous. A SecureBuffer is locked by its own `lock`, and stays locked after the release.
    """

    def __new__(cls, buffer: Buffer, /, *, lock: bool = True) -> Self: ...
    @property
    def locked(self) -> bool:
        """Whether every page is locked now."""

    def wipe(self) -> None:
        """Overwrite the buffer with zeros, in a way that no optimiser removes. Raises ValueError after `release`."""

    def release(self) -> None:
        """Unlock the pages and release the buffer. Idempotent."""

@final
class KeyFilesCondition:
    """What the user should know about key files that were read or written."""

    @property
    def too_open(self) -> list[str]:
        """Directories and files whose mode lets other users read or change them."""

    @property
    def lockless(self) -> bool:
        """Whether their file system has no locks, so that another process can replace the pair at the same time."""

def is_encrypted_key_file(path: _Path) -> bool:
    """Return whether a private key's file is encrypted, in either form. Raises what loading raises."""

def load_key_pair(
    private_key_path: _Path, public_key_path: _Path | None = None, password: _Password = None
) -> tuple[PrivateKey, KeyFilesCondition]:
    """Read a key pair from files. Returns (key, condition of the files).

    Without `public_key_path`, the public key is derived from the private one. Raises SecurityError (wrong password,
    damaged, the halves do not belong together, a link that is not followed, a foreign owner, no regular file), OSError.
    """

def load_key_directory(key_dir: _Path, password: _Password = None) -> tuple[PrivateKey, KeyFilesCondition]:
    """Load the pair in a directory. Returns (key, condition). Raises SecurityError (also if it has none), OSError."""

def replace_key_pair(
    key_dir: _Path, password: _Password, *, key: PrivateKey | None = None, new_password: _Password = None
) -> KeyFilesCondition:
    """Write `key`, or the present pair if `key` is None, under `new_password` over a pair that `password` opens.

    The replacement is atomic. Returns the condition of the files.
    Raises SecurityError, OSError, and ValueError if the new password is too short.
    """

def open_key_directory(
    key_dir: _Path, bits: int, password: _Password = None
) -> tuple[PrivateKey, bool, KeyFilesCondition, str | None]:
    """Load the key pair in a directory, or generate one of `bits` if there is none.

    Returns (key, whether it is new, condition of the files, plain). `plain` is the private key's file if a password was
    given but the file is not encrypted, and otherwise None. If several processes start on one empty directory, all get
    the same pair. Raises SecurityError, OSError, and ValueError if the password is too short for a new pair.
    """

def write_key_directory(key_dir: _Path, key: PrivateKey, password: _Password = None) -> KeyFilesCondition:
    """Replace the key pair in a directory atomically, or write the first one there.

    Returns the condition of the files. Raises SecurityError (also if the present pair is encrypted and no password is
    given), OSError, and ValueError if the password is too short.
    """

def rotate_key_directory(
    key_dir: _Path, key: PrivateKey, own: list[PublicKey], password: _Password = None
) -> KeyFilesCondition | None:
    """Write a key pair atomically, if the directory has none or one of `own` that the password opens.

    Returns the condition of the files, or None if the directory has another pair, which stays as it is.
    Raises SecurityError, OSError, and ValueError if the password is too short.
    """

def seal(
    payload: dict[str, Any],
    key: PublicKey,
    *,
    limit_bytes: int = 10485760,
    processed_at: int | None = None,
    padded: bool = False,
) -> bytes:
    """Write a payload as JSON into locked memory and seal it for `key` under a fresh AES-256 key.

    The JSON is that of `json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))`, for the same
    types, except that a SecureBuffer (UTF-8) may stand for any string value, a lone surrogate is written as its escape,
    nesting beyond 200 levels below the payload is refused, and an int may have at most 4,300 digits. At most 48 KiB of
    the JSON is in memory at a time, and it is wiped. If it is `padded`, spaces behind the JSON fill it up to the next
    size of the Padmé scheme (at most 12 % more), or to the limit if that is less.

    Raises ValueError or TypeError if JSON cannot hold a value: the message has the path to it (`messages[3].content`)
    and no content. Raises ValueError if the payload is empty, or larger than `limit_bytes` as JSON; RuntimeError if
    another thread changed the size of a dict meanwhile.
    """

def check_payload(payload: dict[str, Any], *, limit_bytes: int = 10485760) -> None:
    """Check a payload: raise the error that `seal` would raise for it, without sealing anything."""

def fits(payload: dict[str, Any], limit_bytes: int) -> bool:
    """Return whether `seal` would accept this payload with this limit."""

def open_package(
    package: Buffer,
    key: PrivateKey,
    object_type: type[dict[str, Any]] | None = None,
    judge: Callable[[Any], object] | None = None,
) -> tuple[Any, str, int | float | None]:
    """Open a package. Returns (the JSON object, the algorithm's name, `processed_at` of the outer object).

    The values are those of `json.loads`, NaN and Infinity among them. JSON objects become instances of `object_type`, a
    subclass of dict that can be called without arguments. Besides text that is not JSON, these are refused: a field
    that an object has twice, nesting beyond 200 levels below the object, integers of more than 4,300 digits, and values
    that would take more than 512 MiB as Python objects.

    The plaintext is in locked memory, is checked there before the first Python object is made, and is wiped before this
    returns. Other threads get the GIL in turn meanwhile.

    If `judge` is given, it is called with `_metadata` (None if it is missing) before any other Python object is made of
    the plaintext; what it raises ends the opening, and the plaintext is wiped.

    Raises the same SecurityError for every failure up to the tag, another that says "not JSON" if the tag is genuine
    but the plaintext is no such object, and DisposedError if the key was wiped.
    """

def open_together(packages: Sequence[tuple[bytes, PrivateKey]]) -> list[OpenedText | Exception]:
    """Open packages, one after the other, with the GIL released once for all of them.

    Returns an `OpenedText` for each, or the error that `open_package` would raise before it makes objects. The texts
    are in locked memory at the same time.
    """

@final
class OpenedText:
    """The text of a package that `open_together` has opened. It is wiped when it was read, or is dropped."""

    def read(
        self, object_type: type[dict[str, Any]] | None = None, judge: Callable[[Any], object] | None = None
    ) -> tuple[Any, str, int | float | None]:
        """Make Python objects of the text and wipe it, as `open_package` does. Raises DisposedError the second time."""

def open_secret(
    package: Buffer, key: PrivateKey, object_type: type[dict[str, Any]] | None = None
) -> tuple[SecureBuffer, SecureBuffer | None, dict[str, Any], str, int | float | None]:
    """Open a package that holds a chat completion, without making Python objects of its text.

    Returns (JSON, content, plain values, the algorithm's name, `processed_at`). Content is the first choice's
    `message.content` as UTF-8, its escapes resolved (U+FFFD for a lone surrogate), or None if that is no string. The
    plain values are a dict of id, model, usage, finish_reason (the first choice's) and _metadata, each None if it is
    missing; JSON objects in it are instances of `object_type`. Raises the same errors as `open_package`.
    """

def seal_bytes(content: bytes, key: PublicKey, context: bytes) -> bytes:
    """Seal bytes for `key` under a fresh AES-256 key. Returns a package that opens in the same `context` only.

    The context says what the bytes are for. GCM authenticates it as associated data. A message of the protocol has no
    context, so neither can take the other's place. Raises ValueError for an empty context.
    """

def open_bytes(package: Buffer, key: PrivateKey, context: bytes) -> SecureBuffer:
    """Open bytes that `seal_bytes` sealed in the same context. They are written into locked memory and nowhere else.

    Raises the same SecurityError for every failure, and DisposedError if the key was wiped.
    """

def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of bytes that are no secret, in hexadecimal. Releases the GIL for 256 KiB and more."""

@final
class ChainEnd:
    """The end of a hash-chained file (`nomyo/trust/chain.py`) that stays open, for any number of threads."""

    def __new__(cls, descriptor: int, path: _Path, size_bytes: int, chain: str) -> Self: ...
    def append(self, objects: list[bytes], lines: list[tuple[int, bytes]]) -> bool:
        """Append all `objects`, JSON, as lines in one write, and move them to `lines` as one (offset, lines).

        Returns False if the file was changed or is locked by somebody else. Raises OSError. Releases the GIL.
        """

def warm_up() -> None:
    """Draw the process's first random bytes (some 30 ms), so that no request waits for them. Releases the GIL."""

def can_lock() -> bool:
    """Return whether a page can be locked under the present limit, by locking one and releasing it."""

def in_locked_memory(function: Callable[[], _T]) -> _T:
    """Call a function and return its value; while it runs, this thread's working memory must be locked.

    Raises SecurityError if sealing, opening or a new SecureBuffer would take memory that is not locked, or if anything
    else of the native core took such memory meanwhile.
    """

def new_payload_id() -> str:
    """Draw a UUID4 (RFC 9562, section 5.4) by the system's random bytes. Unlike `uuid.uuid4`, this keeps the GIL."""

def memory_status() -> dict[str, int]:
    """Return figures of the arena, in bytes.

    locked_bytes; unlocked_bytes (now); unlocked_peak_bytes (the most in use at one time so far); in_use_bytes;
    limit_bytes (-1 if there is no limit); budget_bytes (what the arena takes at most of that limit); page_size.
    """

def all_locked() -> bool:
    """Return whether all working memory is locked and always was. Cheap enough to be asked for every request."""

def harden_process() -> None:
    """Switch off core dumps and tracing, see `nomyo.harden_process`. Idempotent. Raises OSError."""

def hide_memory() -> str | None:
    """Hide memory, see `nomyo.harden_process`. Returns None, or why the system refuses. Raises SecurityError."""

def memory_is_hidden() -> bool | None:
    """Return whether reading working memory as others would was tried and failed; None if it cannot be tried."""

def refused_calls() -> list[str]:
    """Return which calls were refused that a protection needs: MADV_DONTDUMP, pthread_atfork, atexit, memfd_secret."""

def dumpable() -> int | None:
    """Return PR_GET_DUMPABLE (prctl(2)), None if there is none.

    1: the process's user may trace and dump it. 2: root alone. 0: root may trace it, and there are no dumps.
    """

def cpu_features() -> dict[str, bool]:
    """Return the instructions by which the crypto library chooses its code, and whether this processor has them."""

def crypto_version() -> str:
    """Return the name and version of the crypto library."""

def build_info() -> dict[str, Any]:
    """Return what this core was built from and with: rust/python/src/build_info.rs has the meaning of each name."""

def examine_quote(
    quote: bytes, signature: bytes, public: bytes, qualifying_data: bytes, pcrs: list[tuple[str, int, bytes]]
) -> tuple[dict[str, tuple[bool | None, str]], str | None]:
    """Examine a TPM's quote: TPMS_ATTEST, TPMT_SIGNATURE, TPM2B_PUBLIC, and PCRs as (bank, index, value).

    Returns (findings, fingerprint). The findings are a dict of (True, False or None, reason) for the checks
    "signature", "quote", "fresh", "key_attributes", "selection" and "digest", in this order; the reason is empty for
    True. The fingerprint is that of the key's SPKI DER, or None if there is no key. Raises ValueError for a bank other
    than "sha256", "sha384" and "sha512".
    """

def examine_endorsement(public: bytes, chain: list[bytes], roots: list[bytes], now_s: int) -> tuple[bool | None, str]:
    """Check whether certificates lead from a TPM2B_PUBLIC to a root, all in DER. Returns (outcome, reason)."""

def is_certificate(der: bytes) -> bool:
    """Return whether bytes are one certificate in DER."""
