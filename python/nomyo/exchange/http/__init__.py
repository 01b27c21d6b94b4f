"""The one place that names the HTTP libraries: httpx for the caller's clients, aiohttp and httpcore for ours.

Rules, for both twins:

- One pool of connections for a client's lifetime (and event loop), made on first use.
- Every phase of an exchange ends within its timeout.
- No redirect is followed, no compressed body is unpacked, and no more is read than the bound.
- Whatever goes wrong on the way becomes a value, a `NetworkFailure`: an exception of the HTTP
  library would carry the request, and with it the API key, in its context.

Modules, from the ground up; each imports only from those above it:

    no_proxy            the hosts that `NO_PROXY` exempts from the proxy
    environment         reads proxies and certificates from the environment
    credentials         secrets of a request beside the API key
    upload              a request's body, in pieces that each have a time for writing
    body                an answer's body, read within its bounds
    failures            failures of an HTTP library, in words that hold nothing of the request
    httpx_request       a request of ours as one of httpx
    lookup              looks up a host's name in a thread that nobody has to wait for
    forks               what a forked child lets go of
    connection_options  what both kinds of connections are made with
    phases              bounds each phase of an exchange, with one timer for a loop
    head                the head of a request as bytes
    connector           the connections of one event loop, and what reads their answers, by aiohttp
    session             exchanges requests for answers over them
    loop_pool           closes a session with its loop at the latest
    framing             how far an answer reaches in the bytes of a connection
    sync_channels       a socket, TLS over a socket, or TLS over TLS; each wait ends
    sync_socket         sockets for the sync client
    sync_connections    connections of the sync client, each used by one request at a time
    given_peer          whom a connection of the caller's own client leads to
    deadlines           deadlines for a client of the caller's own
    async_http          the client for event loops
    sync_http           the client without an event loop
"""

from __future__ import annotations

from .async_http import AsyncHttp
from .sync_http import SyncHttp

__all__ = ["AsyncHttp", "SyncHttp"]
