"""What is said of an address at which no router answers: the same everywhere, in Python and in every command.

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
_PAGE: Final = f"{CHECK_ADDRESS}, and log in if this network asks for that in a browser first"
_REDIRECT: Final = "give the address to which it leads (base_url=, --base-url or NOMYO_BASE_URL)"
_NO_TLS: Final = f"{CHECK_ADDRESS}; for local work, write http:// and permit it (allow_http=True or --allow-http)"
_PEM_BEGINS: Final = b"-----BEGIN "
_BAD_REQUEST: Final = 400


def of_status(address: str, status: int, said: str = "") -> str:
    """Return what is said of a server that answers the request for the key with a status other than 200.

    Args:
        address: The router's, as the client has it.
        status: The HTTP status.
        said: The server's own words, bounded and without credentials; empty for none.
    """
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
    quoted = f" ({said})" if said else ""
    return f"there is no router at {address}: {came} instead of a public key{quoted}; {advice or CHECK_ADDRESS}"
