"""The options of a client, checked once, when it is made."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from .._core import SecureBuffer
from ..in_range import check_int, check_number
from .effects import Timeouts
from .protocol import check_header_value

KeyDir: TypeAlias = str | PathLike[str]
SecureMemory: TypeAlias = bool | Literal["require"]
Password: TypeAlias = str | SecureBuffer

KEY_SIZES = (2048, 4096)
SHORTEST_PASSWORD = 8
LONGEST_S = 10 * 366 * 86_400
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


class Default(str):
    """The default of an option, told apart from the same text given by the caller."""

    __slots__ = ()


DEFAULT_BASE_URL = Default("https://api.nomyo.ai")
DEFAULT_KEY_DIR = Default("client_keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a client was asked for; see `SecureChatCompletion` for the meaning of each."""

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
    max_connections: int = 100
    http_client: Any = None
    pins: frozenset[str] = field(init=False, default=frozenset())
    """Fingerprints, one of which the router's key must have; empty for no pinning."""

    def __post_init__(self) -> None:
        """Fill in what the environment gives, and refuse what cannot work.

        Raises:
            ValueError: An option is out of range, or the URL is not an http(s) URL.
            TypeError: An option has the wrong type.
            SecurityError: The API key cannot be sent as an HTTP header.
        """
        self._set("base_url", router_address(self.base_url))
        self._set("api_key", _api_key(self.api_key))
        self._set("pins", _fingerprints(self.server_key_fingerprint))
        if self.secure_memory not in (True, False, "require"):
            raise ValueError("secure_memory must be True, False or 'require'")
        if self.key_size not in KEY_SIZES:
            raise ValueError(f"key_size must be 2048 or 4096, not {self.key_size!r}")
        for name in ("allow_http", "debug"):
            _check_type(name, getattr(self, name), bool)
        for name in ("key_dir", "key_rotation_dir"):
            if getattr(self, name) is not None:
                check_path(name, getattr(self, name))
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
    def timeouts(self) -> Timeouts:
        """What `timeout` means in detail."""
        return Timeouts(self.timeout, self.timeout, self.timeout)

    @property
    def rotation_target(self) -> KeyDir | None:
        """Where rotation writes: nowhere for keys in memory, unless a directory was given."""
        if self.key_dir is None and isinstance(self.key_rotation_dir, Default):
            return None
        return self.key_rotation_dir


def check_path(name: str, path: object) -> None:
    """Refuse what names no directory or file.

    Raises:
        TypeError: It is neither a str nor an `os.PathLike` of one.
        ValueError: It is empty or has a null character.
    """
    path = os.fspath(path) if isinstance(path, PathLike) else path
    _check_type(name, path, str)
    if not path or "\0" in str(path):
        raise ValueError(f"{name} must not be empty or have a null character")


def check_password(name: str, password: object) -> None:
    """Refuse a password that could not encrypt a key file.

    Raises:
        TypeError: It is neither a str nor a SecureBuffer.
        ValueError: It has fewer than 8 characters.
    """
    if password is None:
        return
    if not isinstance(password, (str, SecureBuffer)):
        raise TypeError(f"{name} must be a str or a SecureBuffer, not {type(password).__name__}")
    if len(password) < SHORTEST_PASSWORD:
        raise ValueError(f"{name} must have at least {SHORTEST_PASSWORD} characters")


def router_address(url: str) -> str:
    """Return the router's URL without a final slash or `/v1`; the default gives way to the environment.

    Raises:
        ValueError, TypeError: It is no router's URL.
    """
    if isinstance(url, Default):
        url = os.environ.get("NOMYO_BASE_URL") or url
    _check_type("the router's URL", url, str)
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError("the router's URL must be ASCII without spaces")
    fault = _url_fault(url)
    if fault is not None:
        raise ValueError(f"the router's URL {fault}")
    parts = urlsplit(url)
    path = parts.path
    while (shorter := path.rstrip("/").removesuffix("/v1")) != path:  # what is read twice must not change once more
        path = shorter
    return str(parts._replace(path=path).geturl())


def _url_fault(url: str) -> str | None:
    """Say why a URL cannot be a router's, without showing it: it may hold a password."""
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
        check_header_value("api_key", key)
    return key or ""  # not None, which would ask the environment again when the settings are copied


def _fingerprints(pins: str | Collection[str] | None) -> frozenset[str]:
    """Return the pins as a set.

    An empty collection is refused: whoever passes one meant to pin, and would not be.
    """
    if pins is None:
        return frozenset()
    if not isinstance(pins, Collection):
        raise TypeError(f"server_key_fingerprint must be a str or several, not {type(pins).__name__}")
    wanted = frozenset([pins] if isinstance(pins, str) else pins)
    if not wanted or not all(isinstance(pin, str) and _FINGERPRINT.fullmatch(pin) for pin in wanted):
        raise ValueError('server_key_fingerprint must be "SHA256:" and 43 base64 characters, or several of these')
    return wanted


def _check_type(name: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be a {wanted.__name__}, not {type(value).__name__}")
