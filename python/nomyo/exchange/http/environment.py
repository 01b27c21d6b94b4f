"""Reads from the environment which proxy leads to the router, and which certificates to trust.

Both twins use this one reading. A setting that cannot work raises a `ConfigurationError` before anything is sent,
because neither the network nor the router is at fault. It names the variable, and shows its value without credentials.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

import certifi

from ..._printable import printable
from ..._system_errors import is_of_the_system
from ...errors import ConfigurationError
from ..settings import Settings
from .no_proxy import bypasses_proxy, in_ascii

_HAS_SYSTEM_SETTINGS: Final = sys.platform in ("darwin", "win32")
if _HAS_SYSTEM_SETTINGS:  # elsewhere nobody needs it, and it brings the standard library's HTTP client along
    import urllib.request
_PORTS: Final = {"http": 80, "https": 443}
_SOCKS: Final = ("socks", "socks4", "socks4a", "socks5", "socks5h")
_OTHERS: Final = ("ftp", "ftps", "ws", "wss", "tcp", "tls", "ssl", "ssh", "quic", "file")
"""Other schemes that users write by mistake; an error shows these. Any other word could be the first part of a
secret."""
_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\s:\\\[\]<>^`{|}\"%]+)(?::(?P<port>[0-9]{1,5})?)?")
_BEHIND_HOST: Final = re.compile(r"[/?#\s]")
_SHOWN_CHARS: Final = 1000
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


@dataclass(slots=True)
class Proxy:
    """The proxy for a router."""

    url: str
    """`scheme://host:port`, without credentials."""
    variable: str
    """The variable that names it."""
    tunnels: bool
    """Whether it opens a tunnel to the router (CONNECT). If the router has no TLS, it forwards each request instead."""
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    """Its credentials, if there are any, as `Proxy-Authorization`: sent in CONNECT, or in each request without a
    tunnel."""

    was_reached: bool = False
    """Whether it has passed a request on. If so, its settings are right, and a later failure may pass."""

    @property
    def host(self) -> str:
        """Its name or address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        return urlsplit(self.url).port or 0

    @property
    def has_tls(self) -> bool:
        """Whether we speak TLS to the proxy itself."""
        return self.url.startswith("https:")

    @property
    def named(self) -> str:
        """What to call it in an error."""
        return f"{self.variable} ({self.url})"


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a router; None if it names none.

    Args:
        url: The router's address, or one below it.

    Raises:
        ConfigurationError: nomyo cannot use this kind of proxy, or cannot read its address.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    found = _named(parts.scheme) or _named("all") or _system_proxy(parts.scheme, host)
    if found is None or bypasses_proxy(_value("no")[1], parts.scheme, host, port):
        return None
    return _read(*found, tunnels=parts.scheme == "https")


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """Return the context for connections to the router and its proxy, shared by all clients.

    It trusts the certificates in `SSL_CERT_FILE`, else in `SSL_CERT_DIR`, else those of certifi. If no connection has
    TLS, it trusts none, because to load them takes 20 ms.

    Raises:
        ConfigurationError: The variable's file or directory does not exist, cannot be read, or holds no certificate.
    """
    proxy = proxy_for(settings.base_url)
    if settings.plain_http and not (proxy and proxy.has_tls):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _ssl_context_for(os.environ.get("SSL_CERT_FILE") or "", os.environ.get("SSL_CERT_DIR") or "")


def _named(scheme: str) -> tuple[str, str] | None:
    """Return the variable that names the proxy for a scheme, and its value."""
    name, value = _value(scheme)
    # A CGI program's HTTP_PROXY is the `Proxy` header of whoever asks it (CVE-2016-1000110).
    if not value or (name == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ):
        return None
    return name, value


def _value(scheme: str) -> tuple[str, str]:
    """Return a variable and its value; the lower-case one wins even if it is empty, as with urllib and curl."""
    lower, upper = f"{scheme}_proxy", f"{scheme}_proxy".upper()
    name = lower if lower in os.environ else upper
    return name, os.environ.get(name, "").strip()


def _system_proxy(scheme: str, host: str) -> tuple[str, str] | None:
    """Return the proxy from the settings of macOS or Windows, which count if no variable names one."""
    if not _HAS_SYSTEM_SETTINGS:
        return None
    value = urllib.request.getproxies().get(scheme)
    return ("the system's proxy settings", value) if value and not urllib.request.proxy_bypass(host) else None


def _read(variable: str, value: str, *, tunnels: bool) -> Proxy:
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value.removeprefix("//")
    scheme = scheme.lower()
    credentials, _, address = rest.rpartition("@")
    address = _BEHIND_HOST.split(address, maxsplit=1)[0]
    if scheme in _SOCKS:
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy ({_shown(scheme, address)}), which nomyo cannot use: name an HTTP proxy "
            f"(http://HOST:PORT) in {'HTTPS_PROXY' if tunnels else 'HTTP_PROXY'}, or the router's host in NO_PROXY"
        )
    found = _ADDRESS.fullmatch(address)
    port = int(found["port"] or _PORTS.get(scheme, 0)) if found else 0
    if found is None or scheme not in _PORTS or not 0 < port < 65536 or _BEHIND_HOST.search(credentials):
        raise ConfigurationError(
            f"{variable} names no proxy that can be used ({_shown(scheme, address)}): expected http://HOST:PORT, with "
            "credentials, if any, percent-encoded before an @"
        )
    return Proxy(f"{scheme}://{in_ascii(found['host'])}:{port}", variable, tunnels, _authorization(credentials))


def _shown(scheme: str, address: str) -> str:
    """Return what an error may show of a value: neither credentials, nor parts that could be misplaced credentials."""
    return f"{scheme if scheme in (*_PORTS, *_SOCKS, *_OTHERS) else '...'}://{_visible(address)}"


def _authorization(credentials: str) -> dict[str, str]:
    """Return the header for `user:password`, both percent-encoded (RFC 3986, section 3.2.1; RFC 7617)."""
    if not credentials:
        return {}
    user, _, password = credentials.partition(":")
    decoded = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return {"Proxy-Authorization": "Basic " + base64.b64encode(decoded).decode("ascii")}


def _visible(text: str) -> str:
    return printable(text, _SHOWN_CHARS, instead="?")


@lru_cache(maxsize=8)
def _ssl_context_for(cert_file: str, cert_dir: str) -> ssl.SSLContext:
    if cert_file:
        return _from_file(cert_file)
    if cert_dir:
        return _from_directories(cert_dir)
    return _context(cafile=certifi.where())


def _from_file(path: str) -> ssl.SSLContext:
    fault = "it holds no certificate in PEM"
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # OpenSSL would wait for a pipe without end
            raise _no_certificates("SSL_CERT_FILE", path, "it is no regular file")
        return _context(cafile=path)
    except ssl.SSLError:
        pass
    except OSError as error:
        if not is_of_the_system(error):
            raise
        fault = error.strerror or fault
    raise _no_certificates("SSL_CERT_FILE", path, fault)


def _from_directories(path: str) -> ssl.SSLContext:
    """Return a context that looks certificates up by the hash of their subject, in a directory or several.

    OpenSSL looks only when a peer presents a certificate, and says nothing of a directory that does not exist.
    """
    if not any(_has_certificates(directory) for directory in path.split(os.pathsep)):
        fault = "no such directory, or no certificate in it (see openssl-rehash(1))"
        raise _no_certificates("SSL_CERT_DIR", path, fault)
    return _context(capath=path)


def _context(**certificates: str) -> ssl.SSLContext:
    """Return what `ssl.create_default_context` makes, but ignore SSLKEYLOGFILE: a key log decrypts the API key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    context.load_verify_locations(**certificates)
    return context


def _has_certificates(directory: str) -> bool:
    try:
        return any(_HASHED.fullmatch(entry.name) for entry in Path(directory).iterdir())
    except OSError as error:
        if not is_of_the_system(error):
            raise
        return False


def _no_certificates(variable: str, path: str, fault: str) -> ConfigurationError:
    words = f"{variable} is {_visible(path)}: {fault}; set it to where the certificates are that you trust, or unset it"
    return ConfigurationError(words)
