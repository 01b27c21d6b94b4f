"""What listens: the router, the server side of the protocol. Needs the extra `serve`."""

from importlib.util import find_spec

if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
    raise ImportError("nomyo.serve needs the extra 'serve': pip install 'nomyo[serve]'", name=missing[0])
