"""The options of a client, checked once, when it is made."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict
from urllib.parse import urlsplit

from .._checks import check_int, check_number
from .._core import SecureBuffer
from ..attestation import MODES, AttestationMode, PolicySource
from ..attestation.policy import NO_POLICY, Policy, read_policy
from .effects import Timeouts
from .loopback import is_loopback
from .paths import KeyDir, absolute_path, file_path, working_directory
from .protocol import check_header_value
from .trace import debug_logger, logger

SecureMemory: TypeAlias = bool | Literal["require"]
Password: TypeAlias = str | SecureBuffer

KEY_SIZES = (2048, 3072, 4096)
SHORTEST_PASSWORD = 8
LONGEST_S = 10 * 366 * 86_400
LONGEST_CONNECT_S = 60.0
"""Bounds the connecting, however long an answer may take: a host that takes no connection in this time is away."""
PATIENT_TIMEOUT_S = 600.0
"""How long the OpenAI SDKs wait for an answer: a slow model writes for minutes, and each attempt costs money."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


class Default(str):
    """The default of an option; its type tells it from the same text given by the caller."""

    __slots__ = ()


DEFAULT_BASE_URL = Default("https://api.nomyo.ai")
DEFAULT_KEY_DIR = Default("client_keys")


class ClientOptions(TypedDict, total=False):
    """The options that clients, transports, the SDK's classes and batches all take, under the same names.

    A new option goes here, into `Settings`, and into the signature and the docstring of `SecureChatCompletion`.
    """

    debug: bool
    key_dir: KeyDir | None
    key_rotation_interval: float
    key_rotation_dir: KeyDir | None
    key_rotation_password: Password | None
    server_key_ttl: float
    server_key_fingerprint: str | Collection[str] | None
    known_routers: KeyDir | None
    attestation: AttestationMode
    attestation_policy: PolicySource | None
    max_connections: int
    pad_requests: bool
    audit_log: KeyDir | None
    audit_model: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of a client, with their defaults; see `SecureChatCompletion` for the meaning of each."""

    base_url: str = DEFAULT_BASE_URL
    allow_http: bool = False
    api_key: str | None = field(default=None, repr=False)
    secure_memory: SecureMemory = True
    timeout: float = 60.0
    debug: bool = False
    max_retries: int = 2
    key_size: int = 4096
    key_dir: KeyDir | None = DEFAULT_KEY_DIR
    key_rotation_interval: float = 86_400.0
    key_rotation_dir: KeyDir | None = DEFAULT_KEY_DIR
    key_rotation_password: Password | None = field(default=None, repr=False)
    server_key_ttl: float = 300.0
    server_key_fingerprint: str | Collection[str] | None = None
    known_routers: KeyDir | None = None
    attestation: AttestationMode = "check"
    attestation_policy: PolicySource | None = None
    max_connections: int = 100
    pad_requests: bool = False
    audit_log: KeyDir | None = None
    audit_model: bool = False
    http_client: Any = None
    lacks_api_key: bool = field(init=False, default=False)
    """Whether neither the caller nor the environment gave an API key. The caller's `""` counts as given."""
    made_in: str | None = field(init=False, default=None)
    """The working directory in which the client was made; None if that was gone."""
    pins: frozenset[str] = field(init=False, default=frozenset())
    """Fingerprints, one of which the router's key must have; empty for no pinning."""
    policy: Policy = field(init=False, default=NO_POLICY)
    """What attestations are compared with."""

    def __post_init__(self) -> None:
        """Fill in what the environment gives, and check each option.

        Raises:
            ValueError: An option is out of range, or the URL is not an http(s) URL.
            TypeError: An option has the wrong type.
            SecurityError: The API key cannot be sent as an HTTP header.
            OSError: The file of the policy cannot be read.
        """
        self._set("base_url", router_address(self.base_url))
        self._set("lacks_api_key", self.api_key is None and not os.environ.get("NOMYO_API_KEY"))
        self._set("api_key", _api_key(self.api_key))
        self._set("pins", _fingerprints(self.server_key_fingerprint))
        if not isinstance(self.secure_memory, bool) and self.secure_memory != "require":
            raise ValueError("secure_memory must be True, False or 'require'")
        check_key_size(self.key_size)
        self._set("made_in", working_directory())
        if self.attestation not in MODES:
            raise ValueError(f"attestation must be one of {', '.join(MODES)}")
        if isinstance(self.attestation_policy, (str, os.PathLike)):
            self._set("attestation_policy", absolute_path("attestation_policy", self.attestation_policy))
        self._set("policy", read_policy(self.attestation_policy))
        for name in ("allow_http", "debug", "pad_requests", "audit_model"):
            _check_type(name, getattr(self, name), bool)
        self._set("key_dir", _fixed("key_dir", self.key_dir))
        if self.audit_log is not None:
            self._set("audit_log", file_path("audit_log", self.audit_log))
        if self.rotation_target is not None:
            self._set("key_rotation_dir", _fixed("key_rotation_dir", self.key_rotation_dir))
        if self.known_routers is not None:
            self._set("known_routers", file_path("known_routers", self.known_routers))
        check_password("key_rotation_password", self.key_rotation_password)
        for name in ("timeout", "key_rotation_interval", "server_key_ttl"):
            check_number(name, getattr(self, name), 0, LONGEST_S)
        if self.timeout == 0:
            raise ValueError("timeout must be more than 0")
        check_int("max_retries", self.max_retries, 0)
        check_int("max_connections", self.max_connections, 1)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def plain_http(self) -> bool:
        """Whether the router is spoken to without TLS."""
        return self.base_url.startswith("http://")

    @property
    def needs_api_key(self) -> bool:
        """Whether no API key was given for a router with TLS on another machine, which usually asks for one."""
        return self.lacks_api_key and not self.plain_http and not is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def log(self) -> logging.Logger:
        """Where the client's steps are logged."""
        return debug_logger if self.debug else logger

    @property
    def timeouts(self) -> Timeouts:
        """What `timeout` means in detail."""
        return Timeouts(min(self.timeout, LONGEST_CONNECT_S), self.timeout, self.timeout)

    @property
    def rotation_target(self) -> KeyDir | None:
        """Where rotation writes: nowhere for keys in memory, unless a directory was given."""
        if self.key_dir is None and isinstance(self.key_rotation_dir, Default):
            return None
        return self.key_rotation_dir


def client_repr(client: object, settings: Settings | None) -> str:
    """Return what a client shows of itself: no key and no password, and no address can hold one.

    Args:
        client: The client, or what has one inside.
        settings: Its options; None if an option was refused, so that it has none.
    """
    name = type(client).__name__
    if settings is None:
        return f"<{name}, which could not be made>"
    directory = None if settings.key_dir is None else os.fsdecode(settings.key_dir)
    return f"<{name} base_url={str(settings.base_url)!r} key_dir={directory!r} pinned={bool(settings.pins)}>"


def check_key_size(key_size: object) -> None:
    """Check the size of a key pair to generate.

    Raises:
        ValueError: `key_size` is not the int 2048, 3072 or 4096.
    """
    if not isinstance(key_size, int) or key_size not in KEY_SIZES:
        raise ValueError(f"key_size must be 2048, 3072 or 4096, not {key_size!r}")


def check_password(name: str, password: object) -> None:
    """Check a password for key files.

    Raises:
        TypeError: `password` is neither a str nor a SecureBuffer.
        ValueError: `password` has fewer than 8 characters, or a lone surrogate, which UTF-8 cannot encode.
    """
    if password is None:
        return
    if not isinstance(password, (str, SecureBuffer)):
        raise TypeError(f"{name} must be a str or a SecureBuffer, not {type(password).__name__}")
    if _characters(password) < SHORTEST_PASSWORD:
        raise ValueError(f"{name} must have at least {SHORTEST_PASSWORD} characters")
    if isinstance(password, str) and not password.isascii() and _SURROGATE.search(password):
        raise ValueError(f"{name} must not have a lone surrogate")


def _characters(password: Password) -> int:
    """Count a password's characters; in UTF-8, each has one byte that does not continue another."""
    if isinstance(password, str):
        return len(password)
    with memoryview(password) as view:
        return sum(byte & 0xC0 != 0x80 for byte in view)


def router_address(url: str) -> str:
    """Return the router's URL without a final slash or `/v1`; NOMYO_BASE_URL replaces the default.

    Raises:
        ValueError, TypeError: `url` is not an http(s) URL of a host, or has parts that no router's URL has.
    """
    name = "the router's URL"
    if isinstance(url, Default) and os.environ.get("NOMYO_BASE_URL"):
        name, url = f"{name} (of NOMYO_BASE_URL)", os.environ["NOMYO_BASE_URL"]
    _check_type(name, url, str)
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError(f"{name} must be ASCII without spaces")
    fault = _url_fault(url)
    if fault is not None:
        raise ValueError(f"{name} {fault}")
    parts = urlsplit(url)
    path = parts.path
    while (shorter := path.rstrip("/").removesuffix("/v1")) != path:  # a second pass must change nothing
        path = shorter
    return str(parts._replace(path=path).geturl())


def _url_fault(url: str) -> str | None:
    """Return why a URL cannot be a router's, without showing the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "has a host or port that cannot be read"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must start with https:// (or http://) and name a host"
    if parts.username is not None or parts.query or parts.fragment:
        return "must not hold credentials, a query or a fragment"
    return "must not name port 0" if port == 0 else None


def _api_key(api_key: str | None) -> str | None:
    key = os.environ.get("NOMYO_API_KEY") if api_key is None else api_key
    if key is not None:
        check_header_value("NOMYO_API_KEY" if api_key is None else "api_key", key)
    return key or ""  # None would read the environment again when the settings are copied


def _fingerprints(pins: str | Collection[str] | None) -> frozenset[str]:
    """Return the pins as a set.

    Raises:
        TypeError: `pins` is neither a str nor a collection.
        ValueError: A pin is no fingerprint; or there is none, although a caller who passes a collection means to pin.
    """
    if pins is None:
        return frozenset()
    if not isinstance(pins, Collection):
        raise TypeError(f"server_key_fingerprint must be a str or several, not {type(pins).__name__}")
    wanted = frozenset([pins] if isinstance(pins, str) else pins)
    if not wanted or not all(map(is_fingerprint, wanted)):
        raise ValueError('server_key_fingerprint must be "SHA256:" and 43 base64 characters, or several of these')
    return wanted


def is_fingerprint(text: object) -> bool:
    """Return whether something is a key's fingerprint as text."""
    return isinstance(text, str) and _FINGERPRINT.fullmatch(text) is not None


def _fixed(name: str, directory: KeyDir | None) -> KeyDir | None:
    """Return a directory as an absolute path; a default stays a `Default`."""
    if directory is None:
        return None
    path = absolute_path(name, directory)
    return Default(path) if isinstance(directory, Default) else path


def _check_type(name: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be a {wanted.__name__}, not {type(value).__name__}")
