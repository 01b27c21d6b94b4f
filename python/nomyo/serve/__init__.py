"""The servers: the router, which is the server side of the protocol, and the proxy. Needs the extra `serve`.

Modules, from the ground up; each imports only from those above it:

    bounds       the bounds of a server: connections, and how long each state of one may last
    log          what a server's log tells, and what it never does
    connections  the connections of a server, bounded
    access_log   one log line a request
    bearer       bearer tokens, compared in constant time
    body         a request's body, bounded in size and time
    strict_http  HTTP/1.1 requests read strictly
    timed_http   a deadline for each state of a connection
    listener     address, TLS files, socket and URL of a server
    tls_files    checks the TLS files before the server starts
    acceptor     accepts connections, a few at a time
    server       runs an ASGI application under uvicorn
    router       the server side of the protocol, for local work and tests
    proxy        an OpenAI-compatible server, whose requests travel on sealed
"""

from importlib.util import find_spec

from nomyo._install_command import install_command

if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
    raise ImportError(f"nomyo.serve needs the extra 'serve': {install_command('serve')}", name=missing[0])
