"""What is said of an address at which no router answers: the same everywhere, in Python and in every command.

If a gateway or firewall refuses, nobody knows whether a router is behind it: the message says that instead.

Three things, in this order: what answers there, what was expected, what to do. A server's own words stand apart, in
brackets: where they must not be shown, `of_status` gives the rest.
"""

from __future__ import annotations

from typing import Final

CHECK_ADDRESS: Final = "check the address (base_url=, --base-url or NOMYO_BASE_URL)"
TRY_TLS: Final = "if TLS is spoken there, write https://"
PLAIN_HTTP: Final = (
    "the router's URL is plain HTTP: write https://, or permit it for local work (allow_http=True or --allow-http)"
)
_LOG_IN: Final = "log in if this network asks for that in a browser first"
_PAGE: Final = f"{CHECK_ADDRESS}, and {_LOG_IN}"
_REDIRECT: Final = f"give the address to which it leads (base_url=, --base-url or NOMYO_BASE_URL), or {_LOG_IN}"
_NO_TLS: Final = f"{CHECK_ADDRESS}; for local work, write http:// and permit it (allow_http=True or --allow-http)"
_REFUSED: Final = f"the address may be right: ask whoever runs that gateway or firewall, or {CHECK_ADDRESS}"
_PEM_BEGINS: Final = b"-----BEGIN "
_BAD_REQUEST: Final = 400
_LOGIN_REQUIRED: Final = 511
REFUSALS: Final = frozenset({401, 403, 407})
"""Statuses of gateways, firewalls and proxies that let nobody through, or not this client."""


def of_status(address: str, status: int, said: str = "") -> str:
    """Return what is said of a server that answers the request for the key with a status other than 200.

    Args:
        address: The router's, as the client has it.
        status: The HTTP status.
        said: The server's own words, bounded and without credentials; empty for none.
    """
    if status in REFUSALS:
        return f"something before the router at {address} refused (HTTP {status}){_quoted(said)}; {_REFUSED}"
    if status == _LOGIN_REQUIRED:
        return _no_router(address, f"HTTP {status}", said, _PAGE)
    if 300 <= status < 400:
        return _no_router(address, f"a redirect (HTTP {status})", said, _REDIRECT)
    # Servers of TLS that see HTTP in clear say so with this status: nginx, Apache, Go's.
    may_want_tls = status == _BAD_REQUEST and address.startswith("http://")
    return _no_router(address, f"HTTP {status}", said, f"{TRY_TLS}, or {CHECK_ADDRESS}" if may_want_tls else "")


def of_body(address: str, body: bytes) -> str | None:
    """Return what is said of a server that answers with 200 and no key; None if the body may hold one."""
    if _PEM_BEGINS in body:
        return None
    if not body.strip():
        return _no_router(address, "an empty answer (HTTP 200)")
    if body.lstrip().startswith(b"<"):
        return _no_router(address, "a web page (HTTP 200)", advice=_PAGE)
    return _no_router(address, "something else (HTTP 200)")


def of_clear_answer(address: str) -> str:
    """Return what is said of a server that answers without TLS where TLS was begun."""
    return _no_router(address, "an answer without TLS", advice=_NO_TLS)


def _no_router(address: str, came: str, said: str = "", advice: str = "") -> str:
    came = f"{came} instead of a public key{_quoted(said)}"
    return f"there is no router at {address}: {came}; {advice or CHECK_ADDRESS}"


def _quoted(said: str) -> str:
    return f" ({said})" if said else ""
