"""Which hosts `NO_PROXY` exempts from the proxy.

There is no standard. We read what users write for curl, Go, Python's urllib and container desktops as these read it,
and ignore entries that mean nothing. Commas, semicolons or blanks separate the entries:

- `*`: every host
- `corp.example`, `.corp.example`: the host and all below it (curl, CURLOPT_NOPROXY); `*.corp.example`: those below it
- `10.0.0.1`, `::1`, `[::1]`: an address; `10.0.0.0/8`, `fd00::/8`, `[fd00::]/8`: a network; no name is looked up
- each with a port (`corp.example:8080`, `[::1]:8080`) or a scheme (`https://corp.example`): requests to it alone
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Final

_SEPARATORS: Final = re.compile(r"[\s,;]+")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_IN_BRACKETS: Final = re.compile(r"\[([^\]]*)\](/[0-9]+)?(?::([0-9]{1,5}))?")
_WITH_PORT: Final = re.compile(r"([^:]*):([0-9]{1,5})")


def bypasses_proxy(no_proxy: str, scheme: str, host: str, port: int) -> bool:
    """Return whether requests to a host bypass the proxy.

    Args:
        no_proxy: The variable's value.
        scheme: "http" or "https".
        host: A name or an address, without brackets.
        port: The port, the scheme's own included.
    """
    return any(_matches(entry, scheme, in_ascii(host), port) for entry in _SEPARATORS.split(no_proxy) if entry)


def _matches(entry: str, scheme: str, host: str, port: int) -> bool:
    found = _SCHEME.match(entry)
    if found is not None:
        if found[1].lower() not in ("all", scheme):
            return False
        entry = entry[found.end() :].partition("/")[0]
    pattern, wanted_port = _without_port(entry)
    if wanted_port not in (None, port):
        return False
    return _covers(in_ascii(pattern), host)


def _without_port(entry: str) -> tuple[str, int | None]:
    """Return an entry's host, network or pattern, and the port that it names."""
    found = _IN_BRACKETS.fullmatch(entry)
    if found is not None:
        return found[1] + (found[2] or ""), int(found[3]) if found[3] else None
    found = _WITH_PORT.fullmatch(entry)  # more than one colon: an IPv6 address, which has a port in brackets alone
    return (found[1], int(found[2])) if found is not None else (entry, None)


def _covers(pattern: str, host: str) -> bool:
    if "*" in pattern:
        return fnmatchcase(host, pattern)
    address = _address(host)
    if address is not None:
        return _contains(pattern, address)
    name = pattern.lstrip(".")
    return bool(name) and (host == name or host.endswith("." + name))


def _contains(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether a network, or an address, contains an address; one that we cannot read contains none."""
    with suppress(ValueError):
        return address in ipaddress.ip_network(network, strict=False)
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return getattr(address, "ipv4_mapped", None) or address
    return None


def in_ascii(host: str) -> str:
    """Return a host as it is compared and looked up: in lower case and ASCII, without the root's dot."""
    host = host.lower().removesuffix(".")
    if host.isascii():
        return host
    with suppress(UnicodeError):
        return host.encode("idna").decode("ascii")
    return host
