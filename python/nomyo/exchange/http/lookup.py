"""Looks a host's name up in a thread that nobody has to wait for.

`getaddrinfo` can take as long as the resolver's own timeouts, and cannot be interrupted. An event loop waits for the
threads of its executor when it ends, and a few slow names would occupy all of them.
"""

from __future__ import annotations

import errno
import socket
import threading
from concurrent.futures import Future
from typing import TypeAlias

from ..._threads import is_no_thread, no_thread

Address: TypeAlias = tuple[socket.AddressFamily, int, str, int]
"""Family, protocol, the host's address as text, port."""


def look_up(host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> Future[list[Address]]:
    """Begin to look a name up.

    Args:
        host: The name.
        port: What the addresses are to name.
        family: The wanted kind of addresses.

    Returns:
        A future of the addresses. Its error is an OSError if the lookup failed, a ConfigurationError if the machine
        gives no thread. A caller that gives up need not cancel it.
    """
    found: Future[list[Address]] = Future()
    thread = threading.Thread(target=_work, args=(found, host, port, family), name="nomyo-lookup", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        if not is_no_thread(error):
            raise
        found.set_exception(no_thread("the lookup of the host's name"))
    return found


def _work(found: Future[list[Address]], host: str, port: int, family: socket.AddressFamily) -> None:
    if not found.set_running_or_notify_cancel():
        return
    try:
        infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found.set_result([(kind, protocol, _in_text(at), port) for kind, _, protocol, _, at in infos])
    except (OSError, UnicodeError) as error:
        found.set_exception(error if isinstance(error, OSError) else OSError(errno.EINVAL, "not a host's name"))


def _in_text(address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """Return the host of an address, with the scope of one that is link-local (RFC 4007, section 11)."""
    if len(address) == 4:
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return str(address[0])
