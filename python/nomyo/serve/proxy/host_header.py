"""The grammar of a `Host` header, as strict as what a browser sends.

RFC 9110, section 7.2 has `uri-host [ ":" port ]`; RFC 3986, section 3.2.2 lets a host be more than anybody sends for a
machine of their own: percent-encoding, sub-delimiters, IPvFuture, an empty port. None of that is taken, since what two
readers read in two ways could pass here as a name of this machine.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

_HOST: Final = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>0|[1-9][0-9]{0,4}))?")
_MOST_PORT: Final = 65_535


class NamedHost(NamedTuple):
    """What a `Host` header names."""

    name: str
    """In lower case, an IPv6 address in its brackets."""
    port: int | None


def parse_host(text: str) -> NamedHost | None:
    """Return what a `Host` header names; None if it has not exactly the form `name`, `name:port` or `[IPv6]:port`.

    Args:
        text: The header's value.
    """
    found = _HOST.fullmatch(text.lower())
    if found is None:
        return None
    name, port = found["name"], int(found["port"]) if found["port"] else None
    if name.startswith("[") and not is_address(name):
        return None
    return NamedHost(name, port) if port is None or port <= _MOST_PORT else None


def is_address(name: str) -> bool:
    """Return whether the name in a `Host` header is an IPv4 address, or an IPv6 address in brackets."""
    try:
        if name.startswith("["):
            ipaddress.IPv6Address(name[1:-1])
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
